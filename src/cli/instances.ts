/** `gantry create / list / get / update / delete instance`: the everyday operations with good defaults and readable results. */

import type { Settings } from '../config.ts'
import type { InstanceId } from '../model/ids.ts'
import { decimal, instanceIdOf, instancesNamed, quoted, trueOrFalse, wholeNumber } from './arguments.ts'
import { callData, callOperation, findTarget, refusalText, type Target } from './client.ts'
import { CommandError, UsageError } from './errors.ts'
import { type Columns, type ListOptions, list } from './lists.ts'
import { given, isEmpty, type Members, refuseNothing, when } from './members.ts'
import { type OutputOptions, print, say, step } from './output.ts'
import { processOfInstance } from './processes.ts'
import { shown } from './safe-text.ts'
import { type Facts, facts } from './tables.ts'
import { type InstanceShown, untilGone, untilRunning } from './waiting.ts'
import { withZone } from './zone.ts'

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
export function instanceRequest(name: string | undefined, options: NewInstance): Members {
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
  if (name !== undefined) await noteSharedName(target, name)
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
  if (productInfo.traceOn !== undefined) await refuseUnusedTrace(target, instanceId)
  await step(`UpdateInstance ${instanceId}`, () => callData(target, 'UpdateInstance', { instanceId, ...changes }))
  const instance = await step('waiting until it runs', () => untilRunning(target, instanceId))
  if (options.name !== undefined) await noteSharedName(target, options.name)
  print(instance, options, () => instanceFacts(instance, target.zoneMinutes))
}

/** The API ignores the value where it does not count, as Terraform sends it always; a person should be told. */
async function refuseUnusedTrace(target: Target, instanceId: InstanceId): Promise<void> {
  const { subSeriesCode } = await callData<InstanceShown>(target, 'GetInstance', { instanceId })
  if (subSeriesCode === 'serverless') return
  throw new UsageError(
    `--trace counts for serverless instances; the traces of ${shown(instanceId)}, ${shown(subSeriesCode)}, are always on.`,
  )
}

async function noteSharedName(target: Target, name: string): Promise<void> {
  const ids = await instancesNamed(target, name)
  if (ids.length > 1)
    say(`${ids.length} instances have the name ${quoted(name)}; commands take them by their ids: ${ids.join(', ')}.`)
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

export const instanceColumns: Columns = [
  ['INSTANCE', 'instanceId'],
  ['NAME', 'instanceName'],
  ['STATUS', 'status'],
  ['EDITION', (row) => `${row.seriesCode} ${row.subSeriesCode}`],
  ['TOPICS', 'topicCount'],
  ['GROUPS', 'groupCount'],
  ['CREATED', 'createTime'],
]

export async function listInstances(settings: Settings, options: ListOptions): Promise<void> {
  const listing = { action: 'ListInstances', input: {}, pageSize: 200, things: 'instances', columns: instanceColumns }
  await list(findTarget(settings), listing, options)
}
