/** `gantry create / list / get / update / delete`: the everyday operations with good defaults and readable results. */
import type { Settings } from '../config.ts'
import { decimal, instanceIdOf, trueOrFalse, wholeNumber } from './arguments.ts'
import { callData, callOperation, findTarget, refusalText, type Target } from './client.ts'
import { CommandError, UsageError } from './errors.ts'
import { type OutputOptions, print, step } from './output.ts'
import { processOfInstance } from './processes.ts'
import { anyTable, type Facts, facts, table } from './tables.ts'
import { type InstanceShown, untilGone, untilPartRuns, untilRunning } from './waiting.ts'
import { withZone } from './zone.ts'

type Input = Record<string, unknown>

// ---- instances

export interface NewInstance {
  readonly series: string
  readonly subSeries: string
  readonly spec?: string
  readonly retention?: string
  readonly internet?: boolean
  readonly vpcAuthFree?: boolean
  readonly remark?: string
}

export interface CreateInstanceOptions extends NewInstance, OutputOptions {
  readonly wait: boolean
}

/** The smallest specification of each combination that has one. */
const smallestSpecs: Readonly<Record<string, string>> = {
  'standard cluster_ha': 'rmq.s2.2xlarge',
  'standard single_node': 'rmq.s1.micro',
  'professional cluster_ha': 'rmq.p2.2xlarge',
  'ultimate cluster_ha': 'rmq.u2.10xlarge',
}

/**
 * CreateInstance's body for a laptop: pay-as-you-go, the smallest specification. Whether clients show credentials is
 * the API's default (they do) unless it was asked for otherwise.
 */
export function instanceRequest(name: string | undefined, options: NewInstance): Input {
  const spec = options.spec ?? smallestSpecs[`${options.series} ${options.subSeries}`]
  const serverless = options.subSeries === 'serverless'
  return {
    serviceCode: 'rmq',
    ...(name === undefined ? {} : { instanceName: name }),
    ...(options.remark === undefined ? {} : { remark: options.remark }),
    seriesCode: options.series,
    subSeriesCode: options.subSeries,
    paymentType: 'PayAsYouGo',
    ...(serverless ? { commodityCode: 'ons_rmqsrvlesspost_public_cn' } : {}),
    productInfo: {
      ...(spec === undefined ? {} : { msgProcessSpec: spec }),
      ...(options.retention === undefined
        ? {}
        : { messageRetentionTime: wholeNumber('--retention', options.retention) }),
    },
    networkInfo: {
      vpcInfo: {
        vpcId: 'vpc-gantry',
        vSwitches: [{ vSwitchId: 'vsw-gantry-a' }, ...(serverless ? [{ vSwitchId: 'vsw-gantry-b' }] : [])],
      },
      internetInfo:
        options.internet === true
          ? { internetSpec: 'enable', flowOutType: 'payByTraffic' }
          : { internetSpec: 'disable', flowOutType: 'uninvolved' },
    },
    ...(options.vpcAuthFree === true ? { aclInfo: { defaultVpcAuthFree: true } } : {}),
  }
}

export async function createInstance(
  settings: Settings,
  name: string | undefined,
  options: CreateInstanceOptions,
): Promise<void> {
  const request = instanceRequest(name, options)
  const target = findTarget(settings)
  const instanceId = await step(
    'CreateInstance',
    () => callData<string>(target, 'CreateInstance', request),
    (id) => id,
  )
  if (!options.wait) {
    print({ instanceId }, options, () => instanceId)
    return
  }
  const instance = await step(
    'waiting until it runs',
    () => untilRunning(target, instanceId),
    (found) => found.status,
  )
  print(instance, options, () => instanceFacts(instance, target.zoneMinutes))
}

export async function getInstance(settings: Settings, name: string, options: OutputOptions): Promise<void> {
  const target = findTarget(settings)
  const instanceId = await instanceIdOf(target, name)
  const { status, body } = await callOperation(target, 'GetInstance', { instanceId })
  if (status >= 400) throw new CommandError(refusalText('GetInstance', status, body))
  const instance = body.data as InstanceShown
  const forPeople = options.output === undefined || options.output === 'table'
  const process = forPeople ? await processOfInstance(settings, instanceId) : []
  const reason: Facts = body.message === 'Success' ? [] : [['reason', String(body.message)]]
  print(instance, options, () => instanceFacts(instance, target.zoneMinutes, [...reason, ...process]))
}

export interface InstanceChanges extends OutputOptions {
  readonly name?: string
  readonly remark?: string
  readonly retention?: string
  readonly sendReceiveRatio?: string
  readonly autoScaling?: string
  readonly trace?: string
  readonly vpcAuthFree?: string
  readonly ipWhitelist?: string
}

export async function updateInstance(settings: Settings, name: string, options: InstanceChanges): Promise<void> {
  const productInfo = given({
    messageRetentionTime: when(options.retention, (text) => wholeNumber('--retention', text)),
    sendReceiveRatio: when(options.sendReceiveRatio, (text) => decimal('--send-receive-ratio', text)),
    autoScaling: when(options.autoScaling, (text) => trueOrFalse('--auto-scaling', text)),
    traceOn: when(options.trace, (text) => trueOrFalse('--trace', text)),
  })
  const whitelist = options.ipWhitelist
  const aclInfo = given({
    defaultVpcAuthFree: when(options.vpcAuthFree, (text) => trueOrFalse('--vpc-auth-free', text)),
  })
  const changes = given({
    instanceName: options.name,
    remark: options.remark,
    productInfo: isEmpty(productInfo) ? undefined : productInfo,
    aclInfo: isEmpty(aclInfo) ? undefined : aclInfo,
    networkInfo:
      whitelist === undefined
        ? undefined
        : { internetInfo: { ipWhitelist: whitelist === '' ? [] : whitelist.split(',') } },
  })
  refuseNothing('instance', changes)
  const target = findTarget(settings)
  const instanceId = await instanceIdOf(target, name)
  await step(`UpdateInstance ${instanceId}`, () => callData(target, 'UpdateInstance', { instanceId, ...changes }))
  const instance = await step('waiting until it runs', () => untilRunning(target, instanceId))
  print(instance, options, () => instanceFacts(instance, target.zoneMinutes))
}

export async function deleteInstance(
  settings: Settings,
  name: string,
  options: OutputOptions & { readonly wait: boolean },
): Promise<void> {
  const target = findTarget(settings)
  const instanceId = await instanceIdOf(target, name)
  await step(`DeleteInstance ${instanceId}`, () => callData(target, 'DeleteInstance', { instanceId }))
  if (options.wait) await step('waiting until it is gone', () => untilGone(target, instanceId))
  print({ instanceId }, options, () => '')
}

/** An instance for people, with what a client needs to connect. */
export function instanceFacts(instance: InstanceShown, zoneMinutes: number | null, more: Facts = []): string {
  const { instanceId, productInfo, networkInfo, accountInfo, aclInfo } = instance
  return facts([
    ['instance', instanceId],
    ['name', instance.instanceName],
    ['status', instance.status],
    [
      'edition',
      `${instance.seriesCode} ${instance.subSeriesCode}, ${productInfo.msgProcessSpec ?? 'no specification'}`,
    ],
    ...(instance.remark === undefined ? [] : [['remark', instance.remark] as const]),
    ...(networkInfo?.endpoints ?? []).map(({ endpointType, endpointUrl }) => [endpointType, endpointUrl] as const),
    ['user', accountInfo?.username ?? ''],
    [
      'password',
      aclInfo?.defaultVpcAuthFree === true
        ? 'not asked for on TCP_VPC'
        : `gantry accounts ${instanceId} --show-password`,
    ],
    ['topics', String(instance.topicCount)],
    ['groups', String(instance.groupCount)],
    ['created', withZone(instance.createTime, zoneMinutes)],
    ...more,
  ])
}

// ---- topics

export interface TopicOptions extends OutputOptions {
  readonly type: string
  readonly remark?: string
  readonly maxSendTps?: string
  readonly liteExpiration?: string
}

export async function createTopic(
  settings: Settings,
  instance: string,
  topicName: string,
  options: TopicOptions,
): Promise<void> {
  const members = topicMembers(options)
  const target = findTarget(settings)
  const instanceId = await instanceIdOf(target, instance)
  await step(`CreateTopic ${topicName}`, () =>
    callData(target, 'CreateTopic', { instanceId, topicName, messageType: options.type, ...members }),
  )
  await topicRuns(target, { instanceId, topicName }, options)
}

export async function updateTopic(
  settings: Settings,
  instance: string,
  topicName: string,
  options: Omit<TopicOptions, 'type'>,
): Promise<void> {
  const changes = topicMembers(options)
  refuseNothing('topic', changes)
  const target = findTarget(settings)
  const instanceId = await instanceIdOf(target, instance)
  await step(`UpdateTopic ${topicName}`, () => callData(target, 'UpdateTopic', { instanceId, topicName, ...changes }))
  await topicRuns(target, { instanceId, topicName }, options)
}

const topicMembers = (options: Omit<TopicOptions, 'type'>): Input =>
  given({
    remark: options.remark,
    maxSendTps: when(options.maxSendTps, (text) => wholeNumber('--max-send-tps', text)),
    liteTopicExpiration: when(options.liteExpiration, (text) => wholeNumber('--lite-expiration', text, -1)),
  })

async function topicRuns(target: Target, place: Record<string, string>, options: OutputOptions): Promise<void> {
  const topic = await step('waiting until it runs', () => untilPartRuns(target, 'GetTopic', place))
  print(topic, options, () => anyTable(topic))
}

// ---- consumer groups

export interface GroupOptions extends OutputOptions {
  readonly order: string
  readonly retries?: string
  readonly retryPolicy?: string
  readonly retryInterval?: string
  readonly deadLetterTopic?: string
  readonly remark?: string
  readonly maxReceiveTps?: string
}

/** The vendor's pairs: ordered delivery retries after a fixed pause, concurrent delivery by the growing table. */
const orderlyPolicy = { retryPolicy: 'FixedRetryPolicy', fixedIntervalRetryTime: 3 }

export async function createGroup(
  settings: Settings,
  instance: string,
  consumerGroupId: string,
  options: GroupOptions,
): Promise<void> {
  const policy = {
    ...(options.order === 'Orderly' ? orderlyPolicy : { retryPolicy: 'DefaultRetryPolicy' }),
    ...policyMembers(options),
  }
  const members = groupMembers(options)
  const target = findTarget(settings)
  const instanceId = await instanceIdOf(target, instance)
  await step(`CreateConsumerGroup ${consumerGroupId}`, () =>
    callData(target, 'CreateConsumerGroup', {
      instanceId,
      consumerGroupId,
      deliveryOrderType: options.order,
      consumeRetryPolicy: policy,
      ...members,
    }),
  )
  await groupRuns(target, { instanceId, consumerGroupId }, options)
}

/** The API takes the retry policy whole: what is not changed is sent as it is stored. */
export async function updateGroup(
  settings: Settings,
  instance: string,
  consumerGroupId: string,
  options: Omit<GroupOptions, 'order'>,
): Promise<void> {
  const policy = policyMembers(options)
  const members = groupMembers(options)
  refuseNothing('group', { ...policy, ...members })
  const target = findTarget(settings)
  const instanceId = await instanceIdOf(target, instance)
  const { consumeRetryPolicy } = await callData<{ consumeRetryPolicy: Input }>(target, 'GetConsumerGroup', {
    instanceId,
    consumerGroupId,
  })
  await step(`UpdateConsumerGroup ${consumerGroupId}`, () =>
    callData(target, 'UpdateConsumerGroup', {
      instanceId,
      consumerGroupId,
      consumeRetryPolicy: changedPolicy(consumeRetryPolicy, policy),
      ...members,
    }),
  )
  await groupRuns(target, { instanceId, consumerGroupId }, options)
}

/** The fixed interval belongs to the fixed policy alone. */
function changedPolicy(stored: Input, changes: Input): Input {
  const { fixedIntervalRetryTime, ...rest } = { ...stored, ...changes }
  return rest.retryPolicy === 'FixedRetryPolicy' || changes.fixedIntervalRetryTime !== undefined
    ? given({ ...rest, fixedIntervalRetryTime })
    : rest
}

const policyMembers = (options: Omit<GroupOptions, 'order'>): Input =>
  given({
    maxRetryTimes: when(options.retries, (text) => wholeNumber('--retries', text)),
    retryPolicy: options.retryPolicy,
    fixedIntervalRetryTime: when(options.retryInterval, (text) => wholeNumber('--retry-interval', text)),
    deadLetterTargetTopic: options.deadLetterTopic,
  })

const groupMembers = (options: Omit<GroupOptions, 'order'>): Input =>
  given({
    remark: options.remark,
    maxReceiveTps: when(options.maxReceiveTps, (text) => wholeNumber('--max-receive-tps', text)),
  })

async function groupRuns(target: Target, place: Record<string, string>, options: OutputOptions): Promise<void> {
  const group = await step('waiting until it runs', () => untilPartRuns(target, 'GetConsumerGroup', place))
  print(group, options, () => anyTable(group))
}

// ---- lists

interface ListOptions extends OutputOptions {
  readonly filter?: string
}

type Row = Readonly<Record<string, unknown>>

/** Columns of a list: title and member. */
type Columns = ReadonlyArray<readonly [title: string, member: string | ((row: Row) => string)]>

export const instanceColumns: Columns = [
  ['INSTANCE', 'instanceId'],
  ['NAME', 'instanceName'],
  ['STATUS', 'status'],
  ['EDITION', (row) => `${row.seriesCode} ${row.subSeriesCode}`],
  ['TOPICS', 'topicCount'],
  ['GROUPS', 'groupCount'],
  ['CREATED', 'createTime'],
]
export const topicColumns: Columns = [
  ['TOPIC', 'topicName'],
  ['TYPE', 'messageType'],
  ['STATUS', 'status'],
  ['CREATED', 'createTime'],
  ['REMARK', 'remark'],
]
export const groupColumns: Columns = [
  ['CONSUMER GROUP', 'consumerGroupId'],
  ['STATUS', 'status'],
  ['CREATED', 'createTime'],
  ['REMARK', 'remark'],
]

export async function listInstances(settings: Settings, options: ListOptions): Promise<void> {
  await list(findTarget(settings), 'ListInstances', {}, 200, options, instanceColumns)
}

export async function listTopics(settings: Settings, instance: string, options: ListOptions): Promise<void> {
  const target = findTarget(settings)
  const instanceId = await instanceIdOf(target, instance)
  await list(target, 'ListTopics', { instanceId }, 1000, options, topicColumns)
}

export async function listGroups(settings: Settings, instance: string, options: ListOptions): Promise<void> {
  const target = findTarget(settings)
  const instanceId = await instanceIdOf(target, instance)
  await list(target, 'ListConsumerGroups', { instanceId }, 100, options, groupColumns)
}

async function list(
  target: Target,
  action: string,
  input: Input,
  pageSize: number,
  options: ListOptions,
  columns: Columns,
): Promise<void> {
  const entries: Row[] = []
  for (let pageNumber = 1; ; pageNumber++) {
    const page = await callData<{ totalCount: number; list: readonly Row[] }>(target, action, {
      ...input,
      pageNumber,
      pageSize,
      ...given({ filter: options.filter }),
    })
    entries.push(...page.list)
    if (page.list.length === 0 || entries.length >= page.totalCount) break
  }
  print(entries, options, () => rows(columns, entries, target.zoneMinutes))
}

export const rows = (columns: Columns, entries: readonly Row[], zoneMinutes: number | null): string =>
  table(
    columns.map(([title, member]) => (member === 'createTime' ? withZone(title, zoneMinutes) : title)),
    entries.map((entry) =>
      columns.map(([, member]) => (typeof member === 'string' ? String(entry[member] ?? '') : member(entry))),
    ),
  )

// ---- what several have in common

/** One thing, by the operation that reads it. */
export async function show(
  settings: Settings,
  action: string,
  instance: string,
  place: Readonly<Record<string, string>>,
  options: OutputOptions,
): Promise<void> {
  const target = findTarget(settings)
  const data = await callData(target, action, { instanceId: await instanceIdOf(target, instance), ...place })
  print(data, options, () => anyTable(data))
}

export async function remove(
  settings: Settings,
  action: string,
  instance: string,
  place: Readonly<Record<string, string>>,
  options: OutputOptions,
): Promise<void> {
  const target = findTarget(settings)
  const instanceId = await instanceIdOf(target, instance)
  await step(`${action} ${Object.values(place).join(' ')}`, () => callData(target, action, { instanceId, ...place }))
  print({ instanceId, ...place }, options, () => '')
}

/** Without the members that have no value: the API reads absence as "leave it". */
export const given = (members: Input): Input =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined))

const when = <T>(text: string | undefined, read: (text: string) => T): T | undefined =>
  text === undefined ? undefined : read(text)

const isEmpty = (members: Input): boolean => Object.keys(members).length === 0

function refuseNothing(what: string, changes: Input): void {
  if (isEmpty(changes))
    throw new UsageError(`Say what to change; "gantry update ${what} --help" shows what can be changed.`)
}
