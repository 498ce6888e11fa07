/** The planner's choices as transcripts: what is wanted, what the engine holds, and the steps. */
import { describe, expect, it } from 'vitest'
import type { Row } from '../ledger/schema.ts'
import type { InstanceObservation } from '../model/observations.ts'
import { type PlanInput, plan, presume, type Step, type Wanted } from './plan.ts'

const id = 'i1'

interface Case {
  readonly name: string
  /** `present 0/1 r0/1 ports -` : wanted, applied/wanted generation, applied/wanted revision, recorded ports. */
  readonly ledger: string
  /** `orders 0/1`, `-audit 1/2` (wanted absent); groups begin with `%`. */
  readonly holds?: string
  /** `running@1 orders@1 %workers@1`, `nothing`, or `unseen` when it was not told since the start. */
  readonly engine: string
  readonly more?: Partial<PlanInput> & {
    readonly partial?: boolean
    /** Accounts and grants were not loaded. */
    readonly leftOut?: boolean
    readonly public?: boolean
    readonly failure?: string
    readonly resets?: readonly Row<'offset_resets'>[]
  }
  readonly steps: readonly string[]
}

const cases: readonly Case[] = [
  // Making
  {
    name: 'a new instance first needs a port',
    ledger: 'present 0/1 r0/1 ports -',
    engine: 'nothing',
    steps: ['allocatePorts vpc', 'planAgain'],
  },
  {
    name: 'and two with a public endpoint',
    ledger: 'present 0/1 r0/1 ports -',
    engine: 'nothing',
    more: { public: true },
    steps: ['allocatePorts vpc internet', 'planAgain'],
  },
  {
    name: 'with a port set aside it is made first',
    ledger: 'present 0/1 r0/3 ports -',
    holds: 'orders 0/1, audit 0/2, %workers 0/1',
    engine: 'unseen',
    more: { reserved: { vpc: 7801 } },
    steps: ['ensureInstance @1 serving vpc:7801', 'planAgain'],
  },
  {
    name: 'then what is in it, and all is recorded at once with its port',
    ledger: 'present 0/1 r0/3 ports -',
    holds: 'orders 0/1, audit 0/2, %workers 0/1',
    engine: 'running@1',
    more: { reserved: { vpc: 7801 }, toldPorts: { vpc: 7801, internet: null } },
    steps: [
      'ensureTopics orders@1 audit@2',
      'ensureGroups workers@1',
      'recordApplied @1 r3 vpc:7801 topics orders@1 audit@2 groups workers@1',
    ],
  },
  {
    name: 'a missing public port is found without moving the recorded one',
    ledger: 'present 1/1 r1/1 ports 7801',
    engine: 'running@1',
    more: { public: true, reserved: { vpc: 9999, internet: 7805 } },
    steps: ['ensureInstance @1 serving vpc:7801 internet:7805', 'recordApplied @1 r1 vpc:7801 internet:7805'],
  },
  {
    name: 'made on a port that the ledger does not know: told the one set aside now',
    ledger: 'present 0/1 r0/1 ports -',
    engine: 'running@1',
    more: { reserved: { vpc: 7804 } },
    steps: ['ensureInstance @1 serving vpc:7804', 'recordApplied @1 r1 vpc:7804'],
  },
  {
    name: 'remains of a half-made instance are brought up first; only then it shows what they hold',
    ledger: 'present 0/1 r0/1 ports 7801',
    holds: 'orders -2/3',
    engine: 'stopped@0',
    steps: ['ensureInstance @1 serving vpc:7801', 'planAgain'],
  },
  {
    name: 'and so is everything after a restart of an engine that keeps no specification, topics deleted meanwhile included',
    ledger: 'present 1/1 r1/2 ports 7801',
    holds: '-orders 1/2',
    engine: 'stopped@0',
    steps: ['ensureInstance @1 serving vpc:7801', 'planAgain'],
  },

  // Offsets
  {
    name: 'a wanted reset is carried out after what it needs, and recorded by its id',
    ledger: 'present 1/1 r1/3 ports 7801',
    holds: 'orders 1/1, %workers 0/1',
    engine: 'running@1 orders@1',
    more: { resets: [reset('a', 'orders', 77), reset('b', 'audit', null)] },
    steps: [
      'ensureGroups workers@1',
      'resetOffsets workers/orders:77 workers/audit:end',
      'recordApplied @1 r3 vpc:7801 groups workers@1 resets a b',
    ],
  },
  {
    name: 'and once more when the record was lost, although everything else is recorded',
    ledger: 'present 1/1 r3/3 ports 7801',
    engine: 'running@1',
    more: { partial: true, resets: [reset('a', 'orders', 77)] },
    steps: ['resetOffsets workers/orders:77', 'recordApplied @1 r3 vpc:7801 resets a'],
  },
  {
    name: 'but nothing is reset in an instance that is only to be removed',
    ledger: 'absent 1/2 r1/2 ports 7801',
    engine: 'running@1 orders@1',
    more: { resets: [reset('a', 'orders', 77)] },
    steps: ['removeInstance', 'forget'],
  },

  // At rest
  {
    name: 'as wanted and recorded: nothing',
    ledger: 'present 4/4 r9/9 ports 7801',
    holds: 'orders 2/2',
    engine: 'running@4 orders@2',
    steps: [],
  },
  {
    name: 'as wanted and recorded, but not seen since the start: told, and compared with what it answers',
    ledger: 'present 4/4 r9/9 ports 7801',
    holds: 'orders 2/2',
    engine: 'unseen',
    steps: ['ensureInstance @4 serving vpc:7801', 'planAgain'],
  },
  {
    name: 'lost by the engine: the same',
    ledger: 'present 4/4 r9/9 ports 7801',
    holds: 'orders 2/2',
    engine: 'nothing',
    steps: ['ensureInstance @4 serving vpc:7801', 'planAgain'],
  },
  {
    name: 'in force, not recorded',
    ledger: 'present 3/4 r8/9 ports 7801',
    holds: 'orders 1/2',
    engine: 'running@4 orders@2',
    steps: ['recordApplied @4 r9 vpc:7801 topics orders@2'],
  },
  {
    name: 'a mended failure is taken back',
    ledger: 'present 1/1 r1/1 ports 7801',
    engine: 'running@1',
    more: { failure: 'Port 7801 is taken.' },
    steps: ['recordApplied @1 r1 vpc:7801'],
  },

  // Changing
  {
    name: 'a wanted change',
    ledger: 'present 1/2 r1/2 ports 7801',
    engine: 'running@1',
    steps: ['ensureInstance @2 serving vpc:7801', 'recordApplied @2 r2 vpc:7801'],
  },
  {
    name: 'a failed instance is tried again',
    ledger: 'present 1/1 r1/1 ports 7801',
    engine: 'failed@1',
    steps: ['ensureInstance @1 serving vpc:7801'],
  },
  {
    name: 'removals come before what is made, groups before topics going and after topics coming',
    ledger: 'present 1/1 r1/5 ports 7801',
    holds: '-old 1/2, new 0/1, kept 1/3, -%gone 1/2, %fresh 0/1',
    engine: 'running@1 old@1 kept@1 %gone@1',
    steps: [
      'removeGroup gone',
      'removeTopic old',
      'ensureTopics new@1 kept@3',
      'ensureGroups fresh@1',
      'recordApplied @1 r5 vpc:7801 topics new@1 kept@3 groups fresh@1 gone old@2 %gone@2',
    ],
  },
  {
    name: 'deleted before it was ever made: only the row goes',
    ledger: 'present 1/1 r1/2 ports 7801',
    holds: '-never 0/2',
    engine: 'running@1',
    steps: ['recordApplied @1 r2 vpc:7801 gone never@2'],
  },
  {
    name: 'created again over a deleted predecessor: that one goes first, with its messages',
    ledger: 'present 1/1 r1/3 ports 7801',
    holds: 'orders -2/3',
    engine: 'running@1 orders@1',
    steps: ['removeTopic orders', 'ensureTopics orders@3', 'recordApplied @1 r3 vpc:7801 topics orders@3'],
  },
  {
    name: 'created again and changed once more after the engine has it: the new one stays',
    ledger: 'present 1/1 r1/4 ports 7801',
    holds: 'orders -2/4',
    engine: 'running@1 orders@3',
    steps: ['ensureTopics orders@4', 'recordApplied @1 r4 vpc:7801 topics orders@4'],
  },
  {
    name: 'made, never recorded, and changed: it is changed in place',
    ledger: 'present 1/1 r1/3 ports 7801',
    holds: 'orders 0/2',
    engine: 'running@1 orders@1',
    steps: ['ensureTopics orders@2', 'recordApplied @1 r3 vpc:7801 topics orders@2'],
  },
  {
    name: 'a topic the engine lost is made again, and was recorded already',
    ledger: 'present 1/1 r2/2 ports 7801',
    holds: 'orders 1/1',
    engine: 'running@1',
    steps: ['ensureTopics orders@1'],
  },
  {
    name: 'a topic and a group the ledger does not know go when all rows are at hand',
    ledger: 'present 1/1 r2/2 ports 7801',
    holds: 'orders 1/1',
    engine: 'running@1 orders@1 stray@4 %stray@1',
    steps: ['removeGroup stray', 'removeTopic stray'],
  },
  {
    name: 'and stay when only the differing rows are',
    ledger: 'present 1/1 r1/2 ports 7801',
    holds: 'orders 1/2',
    engine: 'running@1 orders@1 audit@1',
    more: { partial: true },
    steps: ['ensureTopics orders@2', 'recordApplied @1 r2 vpc:7801 topics orders@2'],
  },

  // Accounts and grants left out
  {
    name: 'what changed in the instance needs no accounts and grants',
    ledger: 'present 1/1 r1/2 ports 7801',
    holds: 'orders 1/2',
    engine: 'running@1 orders@1',
    more: { partial: true, leftOut: true },
    steps: ['ensureTopics orders@2', 'recordApplied @1 r2 vpc:7801 topics orders@2'],
  },
  {
    name: 'they are loaded when the instance is to be told again, at an expiry or after a loss, before anything is done',
    ledger: 'present 1/1 r1/2 ports 7801',
    holds: 'orders 1/2',
    engine: 'running@1 orders@1',
    more: { at: 1000, leftOut: true },
    steps: ['loadAccess', 'planAgain'],
  },

  // Expiry and release
  {
    name: 'one millisecond before the expiry',
    ledger: 'present 1/1 r1/1 ports 7801',
    engine: 'running@1',
    more: { at: 999 },
    steps: [],
  },
  {
    name: 'at the expiry it stops under the same generation',
    ledger: 'present 1/1 r1/1 ports 7801',
    engine: 'running@1',
    more: { at: 1000 },
    steps: ['ensureInstance @1 stopped vpc:7801'],
  },
  {
    name: 'stopped stays stopped',
    ledger: 'present 1/1 r1/1 ports 7801',
    engine: 'stopped@1',
    more: { at: 1999 },
    steps: [],
  },
  {
    name: 'at the release time the change is written first, and nothing is removed before',
    ledger: 'present 1/1 r1/1 ports 7801',
    engine: 'stopped@1',
    more: { at: 2000 },
    steps: ['release @1', 'planAgain'],
  },

  // Made by use
  {
    name: 'groups that clients made by using them become the ledger’s, and then are ensured like others',
    ledger: 'present 1/1 r1/1 ports 7801',
    holds: '%workers 1/1, -%leaving 1/2',
    engine: 'running@1 %workers@1 %leaving@0 %found@0 %other@0',
    steps: ['adoptGroups found other', 'planAgain'],
  },
  {
    name: 'but not where only what changed was loaded, as others may be there',
    ledger: 'present 1/1 r1/1 ports 7801',
    engine: 'running@1 %found@0',
    more: { partial: true },
    steps: [],
  },

  // Going
  {
    name: 'deleted',
    ledger: 'absent 1/2 r1/2 ports 7801',
    engine: 'running@1 orders@1',
    steps: ['removeInstance', 'forget'],
  },
  {
    name: 'deleted, half of it gone',
    ledger: 'absent 1/2 r1/2 ports 7801',
    engine: 'stopped@0',
    steps: ['removeInstance', 'forget'],
  },
  {
    name: 'deleted, not seen since the start',
    ledger: 'absent 1/2 r1/2 ports 7801',
    engine: 'unseen',
    steps: ['removeInstance', 'forget'],
  },
  { name: 'unknown on both sides', ledger: 'unknown', engine: 'nothing', steps: [] },
  {
    name: 'unknown, deleted earlier',
    ledger: 'unknown',
    engine: 'stopped@3 orders@1',
    more: { knownDeleted: true },
    steps: ['removeOrphan'],
  },
  {
    name: 'unknown, never deleted: somebody else’s messages',
    ledger: 'unknown',
    engine: 'stopped@3 orders@1',
    steps: ['leaveForeign'],
  },
]

describe('plan', () => {
  it.each(cases)('$name', (one) => {
    expect(plan(inputOf(one)).map(textOf)).toEqual(one.steps)
  })

  it.each([
    ['what is recorded', 'orders 1/2, -audit 1/2, %workers 1/1', {}, 'orders@1 audit@1 %workers@1'],
    ['nothing of what was just created', 'orders 0/1, %workers 0/1', {}, ''],
    ['nothing certain about a topic that changed before its record', 'orders 1/2, audit 0/2', {}, null],
    ['nothing certain about one that was created again', 'orders -2/3', {}, null],
    ['nothing certain about a group deleted before its record', '-%workers 0/2', {}, null],
    ['nothing when everything is to be compared', 'orders 1/2', { partial: false }, null],
  ] as const)('presumes %s', (_, holds, more, expected) => {
    const { wanted } = inputOf({
      name: '',
      ledger: 'present 1/1 r1/2 ports 7801',
      holds,
      engine: 'nothing',
      more: { partial: true, ...more },
      steps: [],
    })
    const told = observationOf('running@1')!
    expect(presume(wanted as Wanted, told)).toEqual(
      expected === null ? null : observationOf(`running@1 ${expected}`.trim()),
    )
  })
})

// Reading and writing the transcripts

function textOf(step: Step): string {
  const ports = (listen: ReadonlyArray<{ kind: string; port: number }>): string =>
    listen.map(({ kind, port }) => `${kind}:${port}`).join(' ')
  const versioned = (list: readonly { name: string; generation: number }[], sign = ''): string =>
    list.map(({ name, generation }) => ` ${sign}${name}@${generation}`).join('')
  switch (step.do) {
    case 'allocatePorts':
      return `allocatePorts ${step.kinds.join(' ')}`
    case 'ensureInstance':
      return `ensureInstance @${step.spec.generation} ${step.spec.serving ? 'serving' : 'stopped'} ${ports(step.spec.listen)}`
    case 'ensureTopics':
      return `ensureTopics${versioned(step.topics.map((one) => ({ ...one, name: one.topicName })))}`
    case 'ensureGroups':
      return `ensureGroups${versioned(step.groups.map((one) => ({ ...one, name: one.consumerGroupId })))}`
    case 'adoptGroups':
      return `adoptGroups ${step.names.join(' ')}`
    case 'removeTopic':
      return `removeTopic ${step.topicName}`
    case 'removeGroup':
      return `removeGroup ${step.consumerGroupId}`
    case 'resetOffsets':
      return `resetOffsets${step.resets.map(({ consumerGroupId, topicName, toMs }) => ` ${consumerGroupId}/${topicName}:${toMs ?? 'end'}`).join('')}`
    case 'recordApplied': {
      const held = Object.entries(step.ports).flatMap(([kind, port]) => (port === null ? [] : [{ kind, port }]))
      const part = (word: string, text: string): string => (text === '' ? '' : ` ${word}${text}`)
      return [
        `recordApplied @${step.generation} r${step.revision} ${ports(held)}`,
        part('topics', versioned(step.topics)),
        part('groups', versioned(step.groups)),
        part('gone', versioned(step.goneTopics) + versioned(step.goneGroups, '%')),
        part('resets', step.resets.map(({ resetId }) => ` ${resetId}`).join('')),
      ].join('')
    }
    case 'release':
      return `release @${step.generation}`
    case 'loadAccess':
    case 'removeInstance':
    case 'forget':
    case 'removeOrphan':
    case 'leaveForeign':
    case 'planAgain':
      return step.do
  }
}

function inputOf({ ledger, holds, engine, more = {} }: Case): PlanInput {
  const { partial, leftOut, public: isPublic, failure, resets = [], ...rest } = more
  const read = /^(present|absent) (\d+)\/(\d+) r(\d+)\/(\d+) ports (-|\d+)$/.exec(ledger)
  const [, wanted, applied, generation, appliedRevision, revision, port] = read ?? []
  const children = holds === undefined ? [] : holds.split(', ').map(childOf)
  return {
    instanceId: id,
    wanted:
      ledger === 'unknown'
        ? null
        : {
            instance: {
              ...instance,
              network_info_json: JSON.stringify({ internetInfo: { internetSpec: isPublic ? 'enable' : 'disable' } }),
              wanted: wanted as 'present',
              applied_generation: Number(applied),
              generation: Number(generation),
              applied_revision: Number(appliedRevision),
              revision: Number(revision),
              vpc_port: port === '-' ? null : Number(port),
              failure: failure ?? null,
            },
            access: leftOut ? null : { accounts: [], grants: [] },
            topics: children
              .filter(({ isGroup }) => !isGroup)
              .map((child) => ({ ...topic, ...child, topic_name: child.name })),
            groups: children
              .filter(({ isGroup }) => isGroup)
              .map((child) => ({ ...group, ...child, consumer_group_id: child.name })),
            resets,
            complete: !partial,
          },
    observed: engine === 'unseen' ? undefined : observationOf(engine),
    knownDeleted: false,
    toldPorts: { vpc: port === '-' || port === undefined ? null : Number(port), internet: null },
    reserved: {},
    listenHost: '127.0.0.1',
    at: 500,
    ...rest,
  }
}

function childOf(text: string) {
  const [, absent, percent, name, applied, generation] = /^(-?)(%?)(\w+) (-?\d+)\/(\d+)$/.exec(text)!
  return {
    isGroup: percent === '%',
    name: name!,
    wanted: absent === '-' ? ('absent' as const) : ('present' as const),
    applied_generation: Number(applied),
    generation: Number(generation),
  }
}

function observationOf(text: string): InstanceObservation | null {
  if (text === 'nothing') return null
  const [[state, generation], ...children] = text.split(' ').map((part) => part.split('@')) as [string[], ...string[][]]
  const seen = children.map(([name, version]) => ({ name: name!, generation: Number(version) }))
  return {
    instanceId: id,
    generation: Number(generation),
    state: state as 'running',
    reason: state === 'failed' ? 'It broke.' : null,
    topics: seen
      .filter(({ name }) => !name.startsWith('%'))
      .map((one) => ({ topicName: one.name, generation: one.generation })),
    groups: seen
      .filter(({ name, generation: made }) => name.startsWith('%') && made > 0)
      .map((one) => ({ consumerGroupId: one.name.slice(1), generation: one.generation })),
    groupsMadeByUse: seen
      .filter(({ name, generation: made }) => name.startsWith('%') && made === 0)
      .map(({ name }) => name.slice(1)),
  }
}

function reset(resetId: string, topicName: string, toMs: number | null): Row<'offset_resets'> {
  return {
    instance_id: id,
    consumer_group_id: 'workers',
    topic_name: topicName,
    reset_id: resetId,
    to_ms: toMs,
    create_time_ms: 1,
  }
}

const instance: Row<'instances'> = {
  instance_id: id,
  region_id: 'cn-hangzhou',
  instance_name: id,
  remark: null,
  service_code: 'rmq',
  series_code: 'standard',
  sub_series_code: 'cluster_ha',
  payment_type: 'Subscription',
  commodity_code: 'ons_rmqsub_public_cn',
  resource_group_id: 'rg-1',
  product_info_json: '{"msgProcessSpec":"rmq.s2.2xlarge"}',
  network_info_json: '{}',
  acl_info_json: '{"aclTypes":["default"]}',
  ip_whitelist_json: '["0.0.0.0/0"]',
  billing_json: '{}',
  maintain_time: '02:00-06:00',
  create_time_ms: 0,
  update_time_ms: 0,
  start_time_ms: 0,
  expire_time_ms: 1000,
  release_time_ms: 2000,
  wanted: 'present',
  generation: 1,
  revision: 1,
  vpc_port: null,
  internet_port: null,
  applied_generation: 0,
  applied_revision: 0,
  failure: null,
}

const topic: Row<'topics'> = {
  instance_id: id,
  topic_name: '',
  message_type: 'NORMAL',
  remark: null,
  max_send_tps: null,
  lite_topic_expiration: null,
  create_time_ms: 0,
  update_time_ms: 0,
  wanted: 'present',
  generation: 1,
  applied_generation: 0,
}

const group: Row<'consumer_groups'> = {
  instance_id: id,
  consumer_group_id: '',
  delivery_order_type: 'Concurrently',
  consume_retry_policy_json: '{"retryPolicy":"DefaultRetryPolicy"}',
  max_receive_tps: null,
  remark: null,
  message_model: null,
  topic_name: null,
  exclusive: 0,
  made_by_use: 0,
  create_time_ms: 0,
  update_time_ms: 0,
  wanted: 'present',
  generation: 1,
  applied_generation: 0,
}
