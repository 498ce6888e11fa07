import type { ConditionContext } from '../iam/policy.ts'
import type { Principal } from '../iam/principal.ts'
import { formatIsoDate } from '../iam/request-date.ts'
import { type ApiRequest, headerOf } from './request.ts'

/**
 * What the conditions of a policy may ask of any request. Caller-supplied `x-acs-source-ip` and
 * `x-acs-secure-transport` are not believed (auth-and-wire §1.1).
 */
export function conditionContext(principal: Principal, request: ApiRequest): ConditionContext {
  return {
    'acs:CurrentTime': formatIsoDate(request.at),
    'acs:SourceIp': request.remoteAddress ?? undefined,
    'acs:SecureTransport': String(request.secure),
    'acs:MFAPresent': 'false',
    'acs:PrincipalARN': principal.arn,
    'acs:UserAgent': headerOf(request, 'user-agent'),
  }
}
