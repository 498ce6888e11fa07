/** `gantry create / list / get / delete`: the everyday operations with good defaults and readable results. */
import type { Settings } from '../config.ts'
import { CommandError, callData, callOperation, findTarget, refusalText, UsageError } from './client.ts'
import { processOfInstance } from './processes.ts'
import { facts, step, table } from './terminal.ts'
import { type InstanceShown, untilGone, untilPartRuns, untilRunning } from './waiting.ts'

export interface CreateInstanceOptions {
  readonly series: string
  readonly subSeries: string
  readonly spec?: string
  readonly retention?: string
  readonly internet?: boolean
  readonly auth?: boolean
  readonly wait: boolean
  readonly json?: boolean
}

/** The smallest specification of each combination that has one. */
const smallestSpecs: Readonly<Record<string, string>> = {
  'standard cluster_ha': 'rmq.s2.2xlarge',
  'standard single_node': 'rmq.s1.micro',
  'professional cluster_ha': 'rmq.p2.2xlarge',
  'ultimate cluster_ha': 'rmq.u2.10xlarge',
}

/** CreateInstance's body for a laptop: pay-as-you-go, password-free in its VPC unless asked otherwise. */
export function instanceRequest(
  name: string | undefined,
  options: Omit<CreateInstanceOptions, 'wait' | 'json'>,
): Record<string, unknown> {
  const spec = options.spec ?? smallestSpecs[`${options.series} ${options.subSeries}`]
  const serverless = options.subSeries === 'serverless'
  return {
    serviceCode: 'rmq',
    ...(name === undefined ? {} : { instanceName: name }),
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
    aclInfo: { defaultVpcAuthFree: options.auth !== true },
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
    process.stdout.write(options.json === true ? `${JSON.stringify({ instanceId })}\n` : `${instanceId}\n`)
    return
  }
  const instance = await step(
    'waiting until it runs',
    () => untilRunning(target, instanceId),
    (found) => found.status,
  )
  writeInstance(instance, options)
}

export async function createTopic(
  settings: Settings,
  instanceId: string,
  topicName: string,
  options: { type: string; remark?: string },
): Promise<void> {
  const target = findTarget(settings)
  await step(`CreateTopic ${topicName}`, () =>
    callData(target, 'CreateTopic', {
      instanceId,
      topicName,
      messageType: options.type,
      ...(options.remark === undefined ? {} : { remark: options.remark }),
    }),
  )
  await step('waiting until it runs', () => untilPartRuns(target, 'GetTopic', { instanceId, topicName }))
}

export async function createGroup(
  settings: Settings,
  instanceId: string,
  consumerGroupId: string,
  options: { order: string; retries: string },
): Promise<void> {
  const maxRetryTimes = wholeNumber('--retries', options.retries)
  const target = findTarget(settings)
  await step(`CreateConsumerGroup ${consumerGroupId}`, () =>
    callData(target, 'CreateConsumerGroup', {
      instanceId,
      consumerGroupId,
      deliveryOrderType: options.order,
      consumeRetryPolicy: { retryPolicy: 'DefaultRetryPolicy', maxRetryTimes },
    }),
  )
  await step('waiting until it runs', () => untilPartRuns(target, 'GetConsumerGroup', { instanceId, consumerGroupId }))
}

function wholeNumber(option: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new UsageError(`${option} takes a whole number, not ${JSON.stringify(text)}.`)
  return Number(text)
}

interface Page<Entry> {
  readonly totalCount: number
  readonly list: readonly Entry[]
}

interface ListOptions {
  readonly filter?: string
  readonly json?: boolean
}

export async function listInstances(settings: Settings, options: ListOptions): Promise<void> {
  await list<InstanceShown>(
    settings,
    'ListInstances',
    {},
    200,
    options,
    ['INSTANCE', 'NAME', 'STATUS', 'EDITION', 'TOPICS', 'GROUPS', 'CREATED'],
    (found) => [
      found.instanceId,
      found.instanceName,
      found.status,
      `${found.seriesCode} ${found.subSeriesCode}`,
      String(found.topicCount),
      String(found.groupCount),
      found.createTime,
    ],
  )
}

export async function listTopics(settings: Settings, instanceId: string, options: ListOptions): Promise<void> {
  await list<Record<string, string>>(
    settings,
    'ListTopics',
    { instanceId },
    1000,
    options,
    ['TOPIC', 'TYPE', 'STATUS', 'CREATED', 'REMARK'],
    (found) => [
      found.topicName ?? '',
      found.messageType ?? '',
      found.status ?? '',
      found.createTime ?? '',
      found.remark ?? '',
    ],
  )
}

export async function listGroups(settings: Settings, instanceId: string, options: ListOptions): Promise<void> {
  await list<Record<string, string>>(
    settings,
    'ListConsumerGroups',
    { instanceId },
    100,
    options,
    ['CONSUMER GROUP', 'STATUS', 'CREATED', 'REMARK'],
    (found) => [found.consumerGroupId ?? '', found.status ?? '', found.createTime ?? '', found.remark ?? ''],
  )
}

async function list<Entry>(
  settings: Settings,
  action: string,
  input: Readonly<Record<string, unknown>>,
  pageSize: number,
  options: ListOptions,
  header: readonly string[],
  row: (entry: Entry) => string[],
): Promise<void> {
  const target = findTarget(settings)
  const entries: Entry[] = []
  for (let pageNumber = 1; ; pageNumber++) {
    const page = await callData<Page<Entry>>(target, action, {
      ...input,
      pageNumber,
      pageSize,
      ...(options.filter === undefined ? {} : { filter: options.filter }),
    })
    entries.push(...page.list)
    if (page.list.length === 0 || entries.length >= page.totalCount) break
  }
  process.stdout.write(
    options.json === true ? `${JSON.stringify(entries, null, 2)}\n` : `${table(header, entries.map(row))}\n`,
  )
}

export async function getInstance(settings: Settings, instanceId: string, options: { json?: boolean }): Promise<void> {
  const { status, body } = await callOperation(findTarget(settings), 'GetInstance', { instanceId })
  if (status >= 400) throw new CommandError(refusalText('GetInstance', status, body))
  const instance = body.data as InstanceShown
  writeInstance(instance, options, [
    ...(body.message === 'Success' ? [] : [['reason', String(body.message)] as const]),
    ...(options.json === true ? [] : await processOfInstance(settings, instanceId)),
  ])
}

function writeInstance(instance: InstanceShown, options: { json?: boolean }, more: Facts = []): void {
  process.stdout.write(
    options.json === true ? `${JSON.stringify(instance, null, 2)}\n` : `${instanceFacts(instance, more)}\n`,
  )
}

export async function show(
  settings: Settings,
  action: string,
  input: Readonly<Record<string, unknown>>,
): Promise<void> {
  process.stdout.write(`${JSON.stringify(await callData(findTarget(settings), action, input), null, 2)}\n`)
}

export async function deleteInstance(
  settings: Settings,
  instanceId: string,
  options: { wait: boolean },
): Promise<void> {
  const target = findTarget(settings)
  await step(`DeleteInstance ${instanceId}`, () => callData(target, 'DeleteInstance', { instanceId }))
  if (options.wait) await step('waiting until it is gone', () => untilGone(target, instanceId))
}

export async function remove(
  settings: Settings,
  action: string,
  what: string,
  input: Readonly<Record<string, unknown>>,
): Promise<void> {
  const target = findTarget(settings)
  await step(`${action} ${what}`, () => callData(target, action, input))
}

type Facts = ReadonlyArray<readonly [name: string, value: string]>

function instanceFacts(instance: InstanceShown, more: Facts): string {
  const endpoints = instance.networkInfo?.endpoints ?? []
  return facts([
    ['instance', instance.instanceId],
    ['name', instance.instanceName],
    ['status', instance.status],
    [
      'edition',
      `${instance.seriesCode} ${instance.subSeriesCode}, ${instance.productInfo.msgProcessSpec ?? 'no specification'}`,
    ],
    ...endpoints.map(({ endpointType, endpointUrl }) => [endpointType, endpointUrl] as const),
    ['user', instance.accountInfo?.username ?? ''],
    ['topics', String(instance.topicCount)],
    ['groups', String(instance.groupCount)],
    ['created', instance.createTime],
    ...more,
  ])
}
