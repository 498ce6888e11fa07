/**
 * The ARN a RAM policy must name for a call: one per resource kind of the catalogue (api-semantics §1.6).
 * Pure.
 */
import type { ResourceKind } from '../catalogue/operation.ts'

export interface ResourceOwner {
  readonly regionId: string
  readonly accountId: string
}

/**
 * `input` is the call's decoded input. An operation on one instance names it as `instanceId`, or, like
 * ChangeResourceGroup, as `resourceId`; without either the name covers all instances.
 */
export function resourceName(
  kind: ResourceKind,
  { regionId, accountId }: ResourceOwner,
  input: Readonly<Record<string, unknown>>,
): string {
  const prefix = `acs:rocketmq:${regionId}:${accountId}:`
  const instance = `${prefix}instance/${text(input['instanceId']) ?? text(input['resourceId']) ?? '*'}`
  switch (kind) {
    case 'any':
      return '*'
    case 'newInstance':
      return `${prefix}Instance/*`
    case 'anyInstance':
      return `${prefix}instance/*`
    case 'instance':
      return instance
    case 'topic':
      return `${instance}/topic/${text(input['topicName']) ?? '*'}`
    case 'group':
      return `${instance}/consumergroup/${text(input['consumerGroupId']) ?? '*'}`
  }
}

function text(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null
}
