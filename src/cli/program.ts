/**
 * The command line: names, options and help of every command. What a command does is in the file of
 * its name, loaded only when it is called.
 */
import { Command, CommanderError } from 'commander'
import { type Flags, readSettings, SettingError, type Settings, settingRules } from '../config.ts'

const about = `Gantry: a self-hosted ApsaraMQ for RocketMQ 5.x.

"gantry up" starts a server that answers Alibaba Cloud's management API (version
2022-08-01). Every instance it creates is a working RocketMQ 5 instance that the
official clients use.`

const examples = `
Start here:
  gantry up                          start the server; Ctrl-C stops it
  eval "$(gantry env)"               point SDKs, the aliyun CLI and Terraform at it
  gantry demo                        an instance, a topic, a group, and messages through it

Then:
  gantry create instance orders      make an instance and wait until it runs
  gantry create topic <id> events
  gantry list instances
  gantry call GetInstance --instanceId <id>

Settings: a flag beats the environment (GANTRY_HOME, GANTRY_PORT, …), which beats
gantry.yaml in the home. "gantry up --help" lists them.`

/** Runs one command; the exit status is 0, 1 for a failure with its sentence, 2 for a wrong command line. */
export async function runCommandLine(argv: readonly string[]): Promise<void> {
  const program = createProgram()
  try {
    await program.parseAsync(argv as string[])
  } catch (error) {
    process.exitCode = await complain(error)
  }
}

export function createProgram(): Command {
  const program = new Command('gantry')
    .description(about)
    .version(process.env.GANTRY_VERSION ?? '0.0.0-source', '-V, --version')
    .addHelpText('after', examples)
    .exitOverride()
    .showHelpAfterError('(gantry --help shows the commands)')
    .helpCommand(false)
    .option(settingRules.home.flag!, 'the home of every command; may stand before or after its name')
    .hook('preAction', (_program, command) => {
      // Given before the command's name, it is the program's; the command has it as its own.
      const { home } = program.opts<Flags>()
      if (home !== undefined) command.setOptionValue('home', home)
    })

  homeOption(program.command('up'))
    .description('run the server in the foreground')
    .option(settingRules.host.flag!, shown('host'))
    .option(settingRules.port.flag!, shown('port'))
    .option(settingRules.region.flag!, shown('region'))
    .option(settingRules.brokerProcesses.flag!, shown('brokerProcesses'))
    .option(settingRules.logLevel.flag!, shown('logLevel'))
    .option('--json', 'print one line of JSON when ready, instead of the card')
    .addHelpText(
      'after',
      `\nSettings without a flag (or as members of gantry.yaml in the home):\n${settingsWithoutFlag()}\n${exampleLines('gantry up', 'gantry up --home ./gantry-home --port 0 --json', 'GANTRY_ACCESS_KEY_ID=test-key GANTRY_ACCESS_KEY_SECRET=test-secret gantry up')}`,
    )
    .action(async (options: Flags & { json?: boolean }) => {
      await (await import('./up.ts')).up(settingsOf(options), { json: options.json === true })
    })

  homeOption(program.command('env'))
    .description('print export lines that point SDKs, the aliyun CLI and Terraform at the running server')
    .addHelpText('after', exampleLines('eval "$(gantry env)"'))
    .action(async (options: Flags) => (await import('./env.ts')).env(settingsOf(options)))

  homeOption(program.command('demo'))
    .description('the main job, visibly: instance, topic, group, then messages through the official client')
    .option('--messages <n>', 'how many messages to send', '10')
    .option('--keep', 'leave the instance there afterwards')
    .option('--start', 'when no server runs, start one for the demo and take it away afterwards')
    .addHelpText('after', exampleLines('gantry demo', 'gantry demo --messages 1000 --keep', 'gantry demo --start'))
    .action(async (options: Flags & { messages: string; keep?: boolean; start?: boolean }) => {
      await (await import('./demo.ts')).demo(settingsOf(options), {
        messages: options.messages,
        keep: options.keep === true,
        start: options.start === true,
      })
    })

  addResourceCommands(program)

  homeOption(program.command('call [action]'))
    .description('call any operation of the API, signed')
    .usage('ACTION [--parameter value] [--body JSON]')
    .option('--list', 'list all operations')
    .allowUnknownOption()
    .allowExcessArguments()
    .helpOption(false)
    .addHelpText('after', '')
    .action(async (action: string | undefined, options: Flags & { list?: boolean }, command: Command) => {
      await (await import('./call.ts')).call(
        settingsOf(options),
        action,
        command.args.slice(action === undefined ? 0 : 1),
        options.list === true,
      )
    })

  homeOption(program.command('doctor'))
    .description('what is wrong with this machine or this home, and how to mend it')
    .addHelpText(
      'after',
      `\nChanges nothing. Exit status 1 when there is something to mend.\n${exampleLines('gantry doctor')}`,
    )
    .action(async (options: Flags) => (await import('./doctor.ts')).doctor(settingsOf(options)))

  for (const command of program.commands) explainMistakes(command, `gantry ${command.name()}`)
  return program
}

/** A wrong command line is answered with how the command is used. */
function explainMistakes(command: Command, name: string): void {
  command.showHelpAfterError(`Usage: ${name} ${command.usage()}\n("${name} --help" tells more)`)
  for (const inner of command.commands) explainMistakes(inner, `${name} ${inner.name()}`)
}

function addResourceCommands(program: Command): void {
  const load = () => import('./resources.ts')

  const create = program
    .command('create')
    .description('make an instance, a topic or a consumer group')
    .addHelpText(
      'after',
      exampleLines(
        'gantry create instance orders',
        'gantry create topic rmq-cn-… events',
        'gantry create group rmq-cn-… readers',
      ),
    )
  homeOption(create.command('instance [name]'))
    .description('make an instance and wait until it runs')
    .option('--series <code>', 'standard, professional or ultimate', 'standard')
    .option('--sub-series <code>', 'cluster_ha, single_node or serverless', 'cluster_ha')
    .option('--spec <code>', 'msgProcessSpec; by default the smallest of the series')
    .option('--retention <hours>', 'how long messages are kept')
    .option('--internet', 'give it a public endpoint too')
    .option('--auth', 'make clients on the VPC endpoint show credentials')
    .option('--no-wait', 'print the id at once; do not wait until it runs')
    .option('--json', 'print the instance as JSON')
    .addHelpText(
      'after',
      exampleLines(
        'gantry create instance orders',
        'gantry create instance big --series professional --spec rmq.p2.4xlarge --retention 48',
        'gantry create instance --json | jq -r .instanceId',
      ),
    )
    .action(async (name: string | undefined, options) =>
      (await load()).createInstance(settingsOf(options), name, options),
    )
  homeOption(create.command('topic <instance> <name>'))
    .description('make a topic')
    .option('--type <type>', 'NORMAL, FIFO, DELAY, TRANSACTION, PRIORITY or LITE', 'NORMAL')
    .option('--remark <text>', 'a remark')
    .addHelpText(
      'after',
      exampleLines('gantry create topic rmq-cn-… events', 'gantry create topic rmq-cn-… steps --type FIFO'),
    )
    .action(async (instance: string, name: string, options) =>
      (await load()).createTopic(settingsOf(options), instance, name, options),
    )
  homeOption(create.command('group <instance> <id>'))
    .description('make a consumer group')
    .option('--order <order>', 'Concurrently or Orderly', 'Concurrently')
    .option('--retries <n>', 'retries before the dead letters', '16')
    .addHelpText(
      'after',
      exampleLines(
        'gantry create group rmq-cn-… readers --retries 3',
        'gantry create group rmq-cn-… in-order --order Orderly',
      ),
    )
    .action(async (instance: string, id: string, options) =>
      (await load()).createGroup(settingsOf(options), instance, id, options),
    )

  const list = program
    .command('list')
    .description('list instances, topics, consumer groups or broker processes')
    .addHelpText('after', exampleLines('gantry list instances', 'gantry list topics rmq-cn-…'))
  homeOption(list.command('instances'))
    .description('list the instances')
    .addHelpText('after', exampleLines('gantry list instances', 'gantry list instances --filter ord --json'))
    .option('--filter <text>', 'part of the id or the name')
    .option('--json', 'print the data as JSON')
    .action(async (options) => (await load()).listInstances(settingsOf(options), options))
  homeOption(list.command('processes'))
    .description("list the broker processes of this machine's home")
    .addHelpText('after', exampleLines('gantry list processes'))
    .option('--json', 'print the data as JSON')
    .action(async (options) => (await import('./processes.ts')).listProcesses(settingsOf(options), options))
  homeOption(list.command('topics <instance>'))
    .description('list the topics of an instance')
    .addHelpText(
      'after',
      exampleLines('gantry list topics rmq-cn-…', 'gantry list topics rmq-cn-… --filter ord --json'),
    )
    .option('--filter <text>', 'part of the name')
    .option('--json', 'print the data as JSON')
    .action(async (instance: string, options) => (await load()).listTopics(settingsOf(options), instance, options))
  homeOption(list.command('groups <instance>'))
    .description('list the consumer groups of an instance')
    .addHelpText(
      'after',
      exampleLines('gantry list groups rmq-cn-…', 'gantry list groups rmq-cn-… --filter ord --json'),
    )
    .option('--filter <text>', 'part of the id')
    .option('--json', 'print the data as JSON')
    .action(async (instance: string, options) => (await load()).listGroups(settingsOf(options), instance, options))

  const get = program
    .command('get')
    .description('show one instance, topic or consumer group')
    .addHelpText('after', exampleLines('gantry get instance rmq-cn-…'))
  homeOption(get.command('instance <id>'))
    .description('show an instance and its endpoints')
    .addHelpText('after', exampleLines('gantry get instance rmq-cn-…', 'gantry get instance rmq-cn-… --json'))
    .option('--json', 'print the data as JSON')
    .action(async (id: string, options) => (await load()).getInstance(settingsOf(options), id, options))
  homeOption(get.command('topic <instance> <name>'))
    .description('show a topic as JSON')
    .addHelpText('after', exampleLines('gantry get topic rmq-cn-… events'))
    .action(async (instance: string, name: string, options) =>
      (await load()).show(settingsOf(options), 'GetTopic', { instanceId: instance, topicName: name }),
    )
  homeOption(get.command('group <instance> <id>'))
    .description('show a consumer group as JSON')
    .addHelpText('after', exampleLines('gantry get group rmq-cn-… readers'))
    .action(async (instance: string, id: string, options) =>
      (await load()).show(settingsOf(options), 'GetConsumerGroup', { instanceId: instance, consumerGroupId: id }),
    )

  const remove = program
    .command('delete')
    .description('delete an instance, a topic or a consumer group')
    .addHelpText('after', exampleLines('gantry delete instance rmq-cn-…'))
  homeOption(remove.command('instance <id>'))
    .description('delete an instance with its messages')
    .option('--no-wait', 'do not wait until it is gone')
    .addHelpText('after', exampleLines('gantry delete instance rmq-cn-…'))
    .action(async (id: string, options) => (await load()).deleteInstance(settingsOf(options), id, options))
  homeOption(remove.command('topic <instance> <name>'))
    .description('delete a topic with its messages')
    .addHelpText('after', exampleLines('gantry delete topic rmq-cn-… events'))
    .action(async (instance: string, name: string, options) =>
      (await load()).remove(settingsOf(options), 'DeleteTopic', `topic ${name}`, {
        instanceId: instance,
        topicName: name,
      }),
    )
  homeOption(remove.command('group <instance> <id>'))
    .description('delete a consumer group')
    .addHelpText('after', exampleLines('gantry delete group rmq-cn-… readers'))
    .action(async (instance: string, id: string, options) =>
      (await load()).remove(settingsOf(options), 'DeleteConsumerGroup', `consumer group ${id}`, {
        instanceId: instance,
        consumerGroupId: id,
      }),
    )
}

const homeOption = (command: Command): Command =>
  command.option(settingRules.home.flag!, `${settingRules.home.help} (default: ~/.gantry)`).exitOverride()

const exampleLines = (...lines: readonly string[]): string =>
  `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`

const shown = (key: keyof Settings): string => `${settingRules[key].help} (default: ${settingRules[key].fallback})`

function settingsWithoutFlag(): string {
  const rules = Object.values(settingRules).filter((rule) => rule.flag === null)
  const widest = Math.max(...rules.map((rule) => rule.env.length))
  return rules.map((rule) => `  ${rule.env.padEnd(widest)}  ${rule.help}`).join('\n')
}

function settingsOf(options: Flags): Settings {
  const flags = Object.fromEntries(
    Object.keys(settingRules)
      .filter((key) => options[key as keyof Settings] !== undefined)
      .map((key) => [key, options[key as keyof Settings]]),
  )
  return readSettings(flags, process.env)
}

async function complain(error: unknown): Promise<number> {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  const named = error instanceof Error ? error : new Error(String(error))
  if (error instanceof SettingError) {
    process.stderr.write(`gantry: ${named.message}\n`)
    return 2
  }
  if (named.name === 'UsageError') {
    process.stderr.write(`gantry: ${named.message}\n`)
    return 2
  }
  // A stack is for the unexpected: what the system refused (with a syscall) and what we refuse are sentences.
  const expected = ['CommandError', 'HomeError', 'EngineError', 'LedgerError']
  const system = (named as NodeJS.ErrnoException).syscall !== undefined
  const detail = expected.includes(named.name) || system ? systemSentence(named) : (named.stack ?? named.message)
  process.stderr.write(`gantry: ${detail}\n`)
  return 1
}

function systemSentence(error: Error): string {
  const { code, syscall, port, address, hostname } = error as NodeJS.ErrnoException & {
    port?: number
    address?: string
    hostname?: string
  }
  if (syscall === 'getaddrinfo') return `The host name ${hostname} has no address here; choose another with --host.`
  if (code === 'ENOSPC') return `The disk is full (${error.message}). Free space on it, or move the home.`
  if (syscall !== 'listen') return error.message
  if (code === 'EADDRINUSE') {
    return `Port ${port} on ${address} is taken by another program. Stop it, or choose another port with --port (0 picks a free one).`
  }
  if (code === 'EACCES') return `Port ${port} may not be opened by this user; choose one above 1023 with --port.`
  if (code === 'EADDRNOTAVAIL') return `This machine has no address ${address}; choose another with --host.`
  return error.message
}
