/**
 * May this caller do this? Asked for every operation, without exception.
 *
 * The account itself may do everything with what it owns; anyone else only what the policies attached to them
 * allow (policy.ts). A refusal says which action on which resource was refused and why, in the vendor's
 * accessDeniedDetail (auth-and-wire §6.4); the same facts, readable by whoever decodes the base64, are in its
 * diagnostic message.
 */
import { type AccessDeniedDetail, ApiError } from '../catalogue/errors.ts'
import { type AccessRequest, type Decision, evaluate, type PolicyDocument } from './policy.ts'
import type { Principal } from './principal.ts'

export interface Policies {
  /** Documents attached to the caller: to the user, its groups or the role. */
  attachedTo(principal: Principal): Promise<readonly PolicyDocument[]>
}

/** Used until policies can be written: no caller has one, so only the account itself is allowed anything. */
export const noPolicies: Policies = { attachedTo: async () => [] }

/** Throws 403 `NoPermission` unless the caller may. */
export async function authorize(policies: Policies, principal: Principal, request: AccessRequest): Promise<void> {
  if (principal.kind === 'account') return
  const decision = evaluate(await policies.attachedTo(principal), request)
  if (decision !== 'Allow') throw noPermission(principal, request, decision)
}

const WHY: Record<Exclude<Decision, 'Allow'>, string> = {
  ExplicitDeny: 'a policy denies it explicitly',
  ImplicitDeny: 'no policy attached to it allows this',
}

/** No valid name is longer; a refusal repeats the name three times, so a longer one is shortened. */
const longestShown = 1_024

function noPermission(principal: Principal, request: AccessRequest, decision: Exclude<Decision, 'Allow'>): ApiError {
  const resource =
    request.resource.length <= longestShown ? request.resource : `${request.resource.slice(0, longestShown)}…`
  const facts = {
    AuthAction: request.action,
    AuthPrincipalDisplayName: principal.id,
    AuthPrincipalOwnerId: principal.accountId,
    AuthPrincipalType: principal.kind === 'role' ? 'AssumedRoleUser' : 'SubUser',
    NoPermissionType: decision,
    PolicyType: 'AccountLevelIdentityBasedPolicy',
  } satisfies Omit<AccessDeniedDetail, 'EncodedDiagnosticMessage'>
  const accessDenied = {
    ...facts,
    EncodedDiagnosticMessage: diagnosticMessage({ ...facts, AuthResource: resource }),
  }
  return new ApiError(
    403,
    'NoPermission',
    `You are not authorized to perform this action. ${principal.arn} asked for ${request.action} on ${resource}, and ${WHY[decision]}.`,
    { accessDenied },
  )
}

/** The vendor's start with `AQ`, which two leading bytes 1, 1 give; JSON follows. */
function diagnosticMessage(facts: Readonly<Record<string, string>>): string {
  return Buffer.concat([Buffer.from([1, 1]), Buffer.from(JSON.stringify(facts))]).toString('base64')
}
