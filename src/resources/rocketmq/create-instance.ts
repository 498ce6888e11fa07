/**
 * CreateInstance: the call itself. What is wanted, and every rule between parameters, is `wanted-instance.ts`; it is decided
 * before anything is written, so a refused request leaves no trace, and its `clientToken` stays unused.
 * Nothing here starts an instance: the loop does, and the reply does not wait for it.
 */
import { createHash } from 'node:crypto'
import { ApiError } from '../../catalogue/errors.ts'
import type { Specification } from '../../catalogue/rocketmq/specifications.ts'
import { insertAccount } from '../../ledger/accounts.ts'
import { claimClientToken } from '../../ledger/client-tokens.ts'
import { networkInfoOf, productInfoOf } from '../../ledger/instance-documents.ts'
import { insertInstance, instanceIdTaken } from '../../ledger/instances.ts'
import type { Reader } from '../../ledger/ledger.ts'
import { putTags, type Tag } from '../../ledger/tags.ts'
import type { InstanceId } from '../../model/ids.ts'
import type { Random } from '../../world/world.ts'
import { causeOf, instanceResource } from '../change-names.ts'
import { isBlank, shown } from '../check.ts'
import { withNotes } from '../handler.ts'
import type { Handler } from './handler.ts'
import { traceNotes } from './instance-rules.ts'
import { type Parameters, wantedInstance } from './wanted-instance.ts'

export const createInstance: Handler<'CreateInstance'> = async (services, call, input) => {
  const { world, ledger, settings, engine } = services
  const { clientToken, ...parameters } = input
  const { columns, tags, specification } = wantedInstance(parameters, {
    at: call.at,
    regionId: call.regionId,
    accountId: settings.accountId,
    zoneMinutes: settings.timeZoneOffsetMinutes,
    engine,
  })
  let isNew = true
  const instanceId = await ledger.change(causeOf(call, 'CreateInstance'), async ({ tx, record }) => {
    const make = async (): Promise<string> => {
      const id = await freeInstanceId(tx, world.random)
      await insertInstance(tx, { instance_id: id, ...columns, instance_name: input.instanceName || id })
      await insertAccount(tx, ledger.secrets, defaultAccount(id, call.at, world.random))
      await putTags(tx, { regionId: call.regionId, instanceId: id, at: call.at }, tags)
      await record(instanceResource(id), { created: detailOf(columns, tags) })
      return id
    }
    if (isBlank(clientToken)) return make()
    const fingerprint = fingerprintOf(parameters)
    const claim = { operation: 'CreateInstance', regionId: call.regionId, clientToken, fingerprint, at: call.at }
    const outcome = await claimClientToken(tx, claim, make)
    if (outcome.kind === 'mismatch') throw tokenMismatch(clientToken)
    isNew = outcome.kind === 'made'
    return outcome.result
  })
  if (isNew) services.wake(instanceId)
  return withNotes(instanceId, notesOf(parameters, specification))
}

/** What was sent and has no effect, which the vendor takes, and Terraform sends. */
function notesOf(input: Parameters, specification: Specification): string[] {
  const { period, periodUnit, autoRenew, autoRenewPeriod } = input
  const ofSubscription = Object.entries({ period, periodUnit, autoRenew, autoRenewPeriod })
    .filter(([, value]) => value !== undefined && value !== false)
    .map(([name]) => name)
  return [
    ...traceNotes(input.productInfo?.traceOn, specification),
    ...(input.paymentType === 'Subscription' || ofSubscription.length === 0
      ? []
      : [`No effect, for they count with paymentType Subscription: ${ofSubscription.join(', ')}.`]),
    ...(input.paymentType === 'Subscription' && autoRenewPeriod !== undefined && autoRenew !== true
      ? ['autoRenewPeriod has no effect without autoRenew true.']
      : []),
  ]
}

/** What the history keeps of a creation: what was chosen, none of it secret. */
function detailOf(columns: ReturnType<typeof wantedInstance>['columns'], tags: readonly Tag[]) {
  return {
    seriesCode: columns.series_code,
    subSeriesCode: columns.sub_series_code,
    paymentType: columns.payment_type,
    commodityCode: columns.commodity_code,
    resourceGroupId: columns.resource_group_id,
    productInfo: productInfoOf(columns),
    networkInfo: networkInfoOf(columns),
    tags,
  }
}

/** The same parameters give the same text, in whatever order they were sent. */
const fingerprintOf = (parameters: Parameters): string =>
  createHash('sha256')
    .update(JSON.stringify(sorted(parameters)))
    .digest('hex')

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value).filter(([, each]) => each !== undefined)
  return Object.fromEntries(members.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, each]) => [name, sorted(each)]))
}

const tokenMismatch = (clientToken: string): ApiError =>
  new ApiError(
    400,
    'IdempotentParameterMismatch',
    `The clientToken ${shown(clientToken)} was used within 24 hours for a request with other parameters. Send the same parameters again, or another token.`,
    { field: 'clientToken' },
  )

/** The account of intelligent identification: 16 letters and digits each, as in a live answer. */
const defaultAccount = (instanceId: InstanceId, at: number, random: Random) => ({
  instance_id: instanceId,
  username: randomText(random, ALPHANUMERIC, 16),
  password: randomText(random, ALPHANUMERIC, 16),
  account_type: 'DEFAULT' as const,
  account_status: 'ENABLE' as const,
  remark: null,
  create_time_ms: at,
  update_time_ms: at,
})

const ALPHANUMERIC = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
const LOWER_ALPHANUMERIC = '0123456789abcdefghijklmnopqrstuvwxyz'

function randomText(random: Random, alphabet: string, length: number): string {
  return Array.from({ length }, () => alphabet[random.below(alphabet.length)]).join('')
}

/** `rmq-cn-` and 11 letters or digits, as every id of the vendor seen in public. */
async function freeInstanceId(reader: Reader, random: Random): Promise<string> {
  for (let attempt = 0; attempt < 10; attempt++) {
    const instanceId = `rmq-cn-${randomText(random, LOWER_ALPHANUMERIC, 11)}`
    if (!(await instanceIdTaken(reader, instanceId))) return instanceId
  }
  throw new Error('Ten random instance ids were all taken, which only a broken source of randomness explains.')
}
