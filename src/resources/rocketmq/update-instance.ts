/**
 * UpdateInstance: what may change after creation. Absent members stay as they are, and so do empty
 * objects, which Terraform sends as a matter of routine. Only what really differs is written, and only
 * what concerns the engine raises the instance's generation.
 */

import { invalid } from '../../catalogue/errors.ts'
import type { InputOf } from '../../catalogue/rocketmq/index.ts'
import type { Specification } from '../../catalogue/rocketmq/specifications.ts'
import { type AclInfo, aclInfoOf, asDocument, networkInfoOf, productInfoOf } from '../../ledger/instance-documents.ts'
import type { InstanceColumns, InstanceRow } from '../../ledger/instances.ts'
import { checkAutoScaling, publicWhitelistOf, refuseAdaptiveElasticity, traceOnOf } from './instance-rules.ts'

export interface InstanceChange {
  /** Columns that differ from the row. */
  readonly columns: InstanceColumns
  /** The engine is concerned: more than name, remark or traces differ. */
  readonly specification: boolean
}

/** Null when nothing differs; throws `ApiError` for the first rule that is broken. */
export function changeOf(
  row: InstanceRow,
  input: InputOf<'UpdateInstance'>,
  specification: Specification,
): InstanceChange | null {
  const wanted = {
    instance_name: input.instanceName || row.instance_name,
    remark: input.remark === undefined ? row.remark : input.remark || null,
    product_info_json: asDocument(productOf(row, input.productInfo ?? {}, specification)),
    network_info_json: asDocument(networkOf(row, input.networkInfo?.internetInfo?.ipWhitelist)),
    acl_info_json: asDocument(aclOf(row, input.aclInfo ?? {})),
  }
  const columns = Object.fromEntries(
    Object.entries(wanted).filter(([column, value]) => value !== row[column as keyof typeof wanted]),
  ) as InstanceColumns
  if (Object.keys(columns).length === 0) return null
  return { columns, specification: concernsEngine(row, wanted) }
}

function productOf(
  row: InstanceRow,
  asked: NonNullable<InputOf<'UpdateInstance'>['productInfo']>,
  specification: Specification,
) {
  refuseAdaptiveElasticity(asked.adaptiveElasticity)
  const stored = productInfoOf(row)
  return {
    ...stored,
    sendReceiveRatio: asked.sendReceiveRatio ?? stored.sendReceiveRatio,
    autoScaling: checkAutoScaling(asked.autoScaling ?? stored.autoScaling, specification),
    messageRetentionTime: asked.messageRetentionTime ?? stored.messageRetentionTime,
    traceOn: traceOnOf(asked.traceOn ?? stored.traceOn, specification),
  }
}

function networkOf(row: InstanceRow, ipWhitelist: readonly string[] | undefined) {
  const stored = networkInfoOf(row)
  if (ipWhitelist === undefined) return stored
  const { internetInfo } = stored
  const list = publicWhitelistOf(ipWhitelist, internetInfo.internetSpec)
  return { ...stored, internetInfo: { ...internetInfo, ipWhitelist: list } }
}

function aclOf(row: InstanceRow, asked: NonNullable<InputOf<'UpdateInstance'>['aclInfo']>): AclInfo {
  const stored = aclInfoOf(row)
  return {
    aclTypes: asked.aclTypes === undefined ? stored.aclTypes : aclTypesOf(asked.aclTypes),
    defaultVpcAuthFree: asked.defaultVpcAuthFree ?? stored.defaultVpcAuthFree,
  }
}

/**
 * `default` is recognition by the account every instance has, `apache_acl` by custom accounts with grants; with both the
 * user name decides. `aliyun_ram`, seen in a vendor's test only, needs the cloud's own identities.
 */
function aclTypesOf(asked: readonly string[]): AclInfo['aclTypes'] {
  const field = 'aclInfo.aclTypes'
  if (asked.includes('aliyun_ram')) {
    throw invalid(field, 'aliyun_ram is not available on this server; send default, apache_acl, or both.')
  }
  if (asked.length === 0) {
    throw invalid(
      field,
      'It is empty; at least one of default (the default account) and apache_acl (accounts with grants) is needed.',
    )
  }
  return [...new Set(asked)] as AclInfo['aclTypes'][number][]
}

/** Traces are read from the log, which is written in any case (traces.ts), so `traceOn` alone does not concern the engine. */
function concernsEngine(
  row: InstanceRow,
  wanted: Pick<InstanceRow, 'product_info_json' | 'network_info_json' | 'acl_info_json'>,
) {
  const withoutTraces = (from: Pick<InstanceRow, 'product_info_json'>) =>
    JSON.stringify({ ...productInfoOf(from), traceOn: undefined })
  return (
    withoutTraces(wanted) !== withoutTraces(row) ||
    wanted.network_info_json !== row.network_info_json ||
    wanted.acl_info_json !== row.acl_info_json
  )
}
