/** The commands on instances, topics, consumer groups and messages: names, options and help. What they do is in the files they load. */

import type { Command } from 'commander'
import type { Flags, Settings } from '../config.ts'
import type { ConsumerGroupId, TopicName } from '../model/ids.ts'
import { type CommandSpec, command, family, type OptionSpec } from './command.ts'

/** Options as commander hands them over; each command's file names the ones it takes. */
type Given = any
type ReadSettings = (flags: Flags) => Settings

const filter = (of: string): OptionSpec => ({ flags: '--filter <text>', help: `part of ${of}` })
const noWait = (help: string): OptionSpec => ({ flags: '--no-wait', help })
const trueFalse = ['true', 'false']

const topicOptions: readonly OptionSpec[] = [
  { flags: '--remark <text>', help: 'a note for people' },
  { flags: '--max-send-tps <n>', help: 'most sends a second to this topic; 0: only the limit of the instance' },
  { flags: '--lite-expiration <minutes>', help: 'when an idle lite topic goes away, 15 to 720; -1 is never (LITE)' },
]
const groupOptions: readonly OptionSpec[] = [
  { flags: '--retries <n>', help: 'deliveries after the first; 16 by default' },
  {
    flags: '--retry-policy <policy>',
    help: 'growing pauses, or one fixed pause; Orderly has the fixed one unless told otherwise',
    values: ['DefaultRetryPolicy', 'FixedRetryPolicy', 'BackoffRetryPolicy'],
  },
  { flags: '--retry-interval <seconds>', help: 'the fixed pause, 10 to 1800, Orderly 1 to 600 (FixedRetryPolicy)' },
  {
    flags: '--dead-letter-topic <topic>',
    help: 'where a message goes after its last delivery; %DLQ%GROUP unless told',
  },
  { flags: '--max-receive-tps <n>', help: 'most deliveries a second to this group; 0: only the limit of the instance' },
  { flags: '--remark <text>', help: 'a note for people' },
]

export function addResourceCommands(program: Command, settings: ReadSettings): void {
  const instances = () => import('./instances.ts')
  const topics = () => import('./topics.ts')
  const groups = () => import('./consumer-groups.ts')
  const parts = () => import('./parts.ts')
  const add = (parent: Command, spec: CommandSpec): Command => command(parent, spec)

  const create = family(program, 'create', 'create an instance, a topic or a consumer group', [
    'gantry create instance orders',
    'gantry create topic orders events',
    'gantry create group orders readers',
  ])
  add(create, {
    usage: 'instance [name]',
    about: 'create an instance and wait until it runs',
    options: [
      {
        flags: '--series <code>',
        help: 'edition',
        fallback: 'standard',
        values: ['standard', 'professional', 'ultimate'],
      },
      {
        flags: '--sub-series <code>',
        help: 'deployment',
        fallback: 'cluster_ha',
        values: ['cluster_ha', 'single_node', 'serverless'],
      },
      { flags: '--spec <code>', help: 'msgProcessSpec; by default the smallest of the series' },
      { flags: '--retention <hours>', help: 'how long messages are kept; 72 by default' },
      { flags: '--internet', help: 'give it a public endpoint too' },
      { flags: '--vpc-auth-free', help: 'let clients on the VPC endpoint connect without user name and password' },
      { flags: '--remark <text>', help: 'a note for people' },
      noWait('print the id at once; do not wait until it runs'),
    ],
    notes:
      'As in the cloud, clients show a user name and a password: "gantry accounts NAME --show-password"\nprints them.',
    examples: [
      'gantry create instance orders',
      'gantry create instance big --series professional --spec rmq.p2.4xlarge --retention 48',
      'gantry create instance ci --vpc-auth-free -o json | jq -r .instanceId',
    ],
  }).action(async (name: string | undefined, options: Given) =>
    (await instances()).createInstance(settings(options), name, options),
  )
  add(create, {
    usage: 'topic <instance> <name>',
    about: 'create a topic',
    options: [
      {
        flags: '--type <type>',
        help: 'what may be sent to it',
        fallback: 'NORMAL',
        values: ['NORMAL', 'FIFO', 'DELAY', 'TRANSACTION', 'LITE', 'PRIORITY'],
      },
      ...topicOptions,
    ],
    examples: ['gantry create topic orders events', 'gantry create topic orders steps --type FIFO --remark "in order"'],
  }).action(async (instance: string, name: string, options: Given) =>
    (await topics()).createTopic(settings(options), instance, name, options),
  )
  add(create, {
    usage: 'group <instance> <id>',
    about: 'create a consumer group',
    options: [
      {
        flags: '--order <order>',
        help: 'whether messages of a message group wait for each other',
        fallback: 'Concurrently',
        values: ['Concurrently', 'Orderly'],
      },
      { flags: '--lite-of <topic>', help: 'make it a group of lite consumers of this LITE topic' },
      { flags: '--exclusive', help: 'each lite topic has one consumer at a time (with --lite-of)' },
      ...groupOptions,
    ],
    examples: [
      'gantry create group orders readers --retries 3',
      'gantry create group orders in-order --order Orderly',
      'gantry create group orders listeners --lite-of chats',
    ],
  }).action(async (instance: string, id: string, options: Given) =>
    (await groups()).createGroup(settings(options), instance, id, options),
  )

  const list = family(program, 'list', 'list instances, topics, consumer groups or broker processes', [
    'gantry list instances',
    'gantry list topics orders',
  ])
  add(list, {
    usage: 'instances',
    about: 'list the instances',
    options: [filter('the id or the name')],
    examples: ['gantry list instances', 'gantry list instances --filter ord -o json'],
  }).action(async (options: Given) => (await instances()).listInstances(settings(options), options))
  add(list, {
    usage: 'topics <instance>',
    about: 'list the topics of an instance',
    options: [filter('the name')],
    examples: ['gantry list topics orders', 'gantry list topics orders --filter ev -o json'],
  }).action(async (instance: string, options: Given) =>
    (await topics()).listTopics(settings(options), instance, options),
  )
  add(list, {
    usage: 'groups <instance>',
    about: 'list the consumer groups of an instance',
    options: [filter('the id')],
    examples: ['gantry list groups orders', 'gantry list groups orders --filter read -o json'],
  }).action(async (instance: string, options: Given) =>
    (await groups()).listGroups(settings(options), instance, options),
  )
  add(list, {
    usage: 'processes',
    about: "list the broker processes of this machine's home",
    examples: ['gantry list processes', 'gantry list processes -o json'],
  }).action(async (options: Given) => (await import('./processes.ts')).listProcesses(settings(options), options))

  const get = family(program, 'get', 'show one instance, topic or consumer group', ['gantry get instance orders'])
  add(get, {
    usage: 'instance <instance>',
    about: 'show an instance and its endpoints',
    examples: ['gantry get instance orders', 'gantry get instance orders -o json'],
  }).action(async (instance: string, options: Given) =>
    (await instances()).getInstance(settings(options), instance, options),
  )
  add(get, {
    usage: 'topic <instance> <name>',
    about: 'show a topic',
    examples: ['gantry get topic orders events', 'gantry get topic orders events -o yaml'],
  }).action(async (instance: string, topicName: TopicName, options: Given) =>
    (await parts()).show(settings(options), 'GetTopic', instance, { topicName }, options),
  )
  add(get, {
    usage: 'group <instance> <id>',
    about: 'show a consumer group',
    examples: ['gantry get group orders readers', 'gantry get group orders readers -o yaml'],
  }).action(async (instance: string, consumerGroupId: ConsumerGroupId, options: Given) =>
    (await parts()).show(settings(options), 'GetConsumerGroup', instance, { consumerGroupId }, options),
  )

  const update = family(program, 'update', 'change an instance, a topic or a consumer group', [
    'gantry update instance orders --retention 48',
    'gantry update topic orders events --remark "what happens"',
    'gantry update group orders readers --retries 5',
  ])
  add(update, {
    usage: 'instance <instance>',
    about: 'change an instance; what is not named stays as it is',
    options: [
      { flags: '--name <name>', help: 'new name' },
      { flags: '--remark <text>', help: 'new note' },
      { flags: '--retention <hours>', help: 'how long messages are kept' },
      { flags: '--send-receive-ratio <n>', help: 'share of the TPS kept for sending, such as 0.5' },
      { flags: '--auto-scaling <bool>', help: 'whether it may pass its base TPS for a while', values: trueFalse },
      { flags: '--trace <bool>', help: 'message traces (serverless; others always have them)', values: trueFalse },
      {
        flags: '--vpc-auth-free <bool>',
        help: 'whether clients on the VPC endpoint connect without user name and password',
        values: trueFalse,
      },
      { flags: '--ip-whitelist <list>', help: 'who may use the public endpoint, a,b,c; empty: everyone' },
    ],
    examples: [
      'gantry update instance orders --retention 48 --remark "two days"',
      'gantry update instance orders --vpc-auth-free true',
    ],
  }).action(async (instance: string, options: Given) =>
    (await instances()).updateInstance(settings(options), instance, options),
  )
  add(update, {
    usage: 'topic <instance> <name>',
    about: 'change a topic; what is not named stays as it is',
    options: topicOptions,
    examples: ['gantry update topic orders events --remark "what happens" --max-send-tps 500'],
  }).action(async (instance: string, name: string, options: Given) =>
    (await topics()).updateTopic(settings(options), instance, name, options),
  )
  add(update, {
    usage: 'group <instance> <id>',
    about: 'change a consumer group; what is not named stays as it is',
    options: groupOptions,
    examples: [
      'gantry update group orders readers --retries 5',
      'gantry update group orders readers --retry-policy FixedRetryPolicy --retry-interval 30',
    ],
  }).action(async (instance: string, id: string, options: Given) =>
    (await groups()).updateGroup(settings(options), instance, id, options),
  )

  const remove = family(program, 'delete', 'delete an instance, a topic or a consumer group', [
    'gantry delete instance orders',
  ])
  add(remove, {
    usage: 'instance <instance>',
    about: 'delete an instance with its messages',
    options: [noWait('do not wait until it is gone')],
    examples: ['gantry delete instance orders', 'gantry delete instance rmq-cn-... --no-wait'],
  }).action(async (instance: string, options: Given) =>
    (await instances()).deleteInstance(settings(options), instance, options),
  )
  add(remove, {
    usage: 'topic <instance> <name>',
    about: 'delete a topic with its messages',
    examples: ['gantry delete topic orders events'],
  }).action(async (instance: string, topicName: TopicName, options: Given) =>
    (await parts()).remove(settings(options), 'DeleteTopic', instance, { topicName }, options),
  )
  add(remove, {
    usage: 'group <instance> <id>',
    about: 'delete a consumer group',
    examples: ['gantry delete group orders readers'],
  }).action(async (instance: string, consumerGroupId: ConsumerGroupId, options: Given) =>
    (await parts()).remove(settings(options), 'DeleteConsumerGroup', instance, { consumerGroupId }, options),
  )

  add(program, {
    usage: 'accounts <instance>',
    about: 'show with which user names and passwords clients connect',
    options: [
      { flags: '--username <name>', help: 'one account instead of all' },
      { flags: '--show-password', help: 'show passwords; -o json and -o yaml of one account always hold its' },
    ],
    examples: [
      'gantry accounts orders --show-password',
      "gantry accounts orders --show-password -o json | jq -r '.[0].password'",
    ],
  }).action(async (instance: string, options: Given) =>
    (await import('./accounts.ts')).accounts(settings(options), instance, options),
  )
}

/** There is no option for a password: others on the machine can read the command lines of processes. */
const connectAs: OptionSpec = {
  flags: '--username <name>',
  help: 'connect as this account; the default one unless it is given',
}

export function addMessageCommands(program: Command, settings: ReadSettings): void {
  command(program, {
    usage: 'send <instance> <topic> [body]',
    about: 'send messages through the official client',
    options: [
      { flags: '--file <file>', help: 'take the body from a file; without it and a body, from stdin' },
      { flags: '--lines', help: 'send each line as a message of its own' },
      { flags: '--tag <tag>', help: 'tag to filter by' },
      { flags: '--key <key>', help: 'key to find it by; may be given several times', many: true },
      { flags: '--property <name=value>', help: 'property of your own; may be given several times', many: true },
      { flags: '--message-group <group>', help: 'messages of one group keep their order (FIFO)' },
      { flags: '--delay <time>', help: 'deliver it so much later, such as 30s, up to 40d by the edition (DELAY)' },
      { flags: '--deliver-at <time>', help: 'deliver it then, such as 2026-01-31T18:00:00Z (DELAY)' },
      { flags: '--lite-topic <name>', help: 'lite topic inside a LITE topic' },
      { flags: '--priority <n>', help: '1 to 7, the larger the more urgent; a larger one counts as 7 (PRIORITY)' },
      connectAs,
    ],
    notes:
      'Prints the id of each message that the instance has stored. A message to a TRANSACTION topic is\ncommitted. The password of the account is read through the API (GetInstanceAccount).',
    examples: [
      'gantry send orders events "hello" --tag greeting --key order-1',
      'gantry send orders events --file order.json --property source=shop',
      'printf "one\\ntwo\\n" | gantry send orders steps --lines --message-group order-1',
    ],
  }).action(async (instance: string, topic: TopicName, body: string | undefined, options: Given) =>
    (await import('./send.ts')).send(settings(options), instance, topic, body, options),
  )
  command(program, {
    usage: 'receive <instance> <topic>',
    about: 'receive messages as a consumer of a group, through the official client',
    options: [
      { flags: '--group <id>', help: 'consumer group that receives', required: true },
      { flags: '--follow', help: 'go on until Ctrl-C; one line of JSON, or one YAML document, a message' },
      { flags: '--count <n>', help: 'end after so many; 16 unless it follows' },
      { flags: '--peek', help: 'acknowledge nothing; each is delivered again, and the delivery counts' },
      { flags: '--tag <expression>', help: 'only these tags, such as "paid || shipped"' },
      { flags: '--sql <expression>', help: 'only what the SQL92 expression matches, such as "amount > 5"' },
      { flags: '--lite-topic <name>', help: 'lite topic of a LITE topic; may be given several times', many: true },
      { flags: '--invisible <time>', help: 'how long a message is hidden from others, 10s to 12h', fallback: '30s' },
      { flags: '--wait <time>', help: 'how long to wait for the first message, 5s to 20s', fallback: '5s' },
      connectAs,
    ],
    notes:
      'A message is acknowledged once it has been printed. However the command ends, what it has not\nacknowledged is visible to the group again. "gantry messages" looks at messages without receiving\nthem.',
    examples: [
      'gantry receive orders events --group readers',
      'gantry receive orders events --group readers --follow -o json | jq -r .body',
      'gantry receive orders events --group readers --peek --count 1',
    ],
  }).action(async (instance: string, topic: TopicName, options: Given) =>
    (await import('./receive.ts')).receive(settings(options), instance, topic, options),
  )
  command(program, {
    usage: 'messages <instance> <topic>',
    about: 'look at stored messages by id, key or time; delivers nothing',
    options: [
      { flags: '--id <id>', help: 'the message of that id, whole' },
      { flags: '--key <key>', help: 'messages with that key' },
      { flags: '--start <time>', help: 'stored then or later; 10m (ago), 2026-01-31T18:00:00Z' },
      { flags: '--end <time>', help: 'stored then or earlier' },
      { flags: '--lite-topic <name>', help: 'only this lite topic' },
      { flags: '--limit <n>', help: 'at most so many, oldest first', fallback: '20' },
    ],
    notes: "A time may also be written as the API writes it, '2026-01-31 18:00:00' in the server's zone.",
    examples: [
      'gantry messages orders events',
      'gantry messages orders events --key order-1 -o json',
      'gantry messages orders events --start 10m --limit 100',
    ],
  }).action(async (instance: string, topic: TopicName, options: Given) =>
    (await import('./messages.ts')).messages(settings(options), instance, topic, options),
  )
  command(program, {
    usage: 'lag <instance> <group>',
    about: 'show what a consumer group has yet to consume',
    options: [{ flags: '--topic <topic>', help: 'only this topic' }],
    notes:
      'CONSUMED UP TO is when the last message that the group is done with was stored, as the API tells it;\nempty where there is none. A topic is shown once the group has read it.',
    examples: ['gantry lag orders readers', 'gantry lag orders readers -o json | jq .totalLag.readyCount'],
  }).action(async (instance: string, group: ConsumerGroupId, options: Given) =>
    (await import('./lag.ts')).lag(settings(options), instance, group, options),
  )
}
