/**
 * RPC-style calls, `POST /?Action=…`: the billing service's two actions (resources/billing.ts) on the same port, so
 * that Terraform's provider finds everything it asks at one address. Signed by parameters (authenticate-rpc.ts), as the
 * provider does, or by headers, as current SDKs do with `x-acs-action`.
 *
 * The steps and their order are those of pipeline.ts, which calls this and answers for whatever is thrown.
 */
import { ApiError } from '../catalogue/errors.ts'
import { type Authenticator, authenticate } from '../iam/authenticate.ts'
import { authenticateRpc, type RpcParameters } from '../iam/authenticate-rpc.ts'
import { authorize, type Policies } from '../iam/authorize.ts'
import { parseQuery } from '../iam/percent.ts'
import { type RpcAction, rpcActions } from '../resources/billing.ts'
import type { Call, Services } from '../resources/handler.ts'
import { conditionContext } from './condition-context.ts'
import { replyHeaders } from './envelope.ts'
import { isStorable } from './json.ts'
import { type ApiReply, type ApiRequest, headerOf, type Trail } from './request.ts'

export interface RpcParts {
  readonly services: Services
  readonly authenticator: Authenticator
  readonly policies: Policies
  throttle(accountId: string, accessLevel: RpcAction['accessLevel']): void
}

/** The API of this product has nothing at `/`, so whatever names an action there is RPC. */
export function isRpc(request: ApiRequest): boolean {
  if (request.rawPath !== '/' || (request.method !== 'POST' && request.method !== 'GET')) return false
  if (headerOf(request, 'x-acs-action') !== undefined) return true
  return /(?:^|&)Action=/.test(request.rawQuery) || (isForm(request) && bodyText(request).startsWith('Action='))
}

export async function carryOutRpc(parts: RpcParts, request: ApiRequest, trail: Trail): Promise<unknown> {
  const { services } = parts
  const parameters = parametersOf(request)
  const bySignedHeaders = headerOf(request, 'authorization') !== undefined
  const name = (bySignedHeaders ? headerOf(request, 'x-acs-action') : parameters.get('Action')) ?? ''
  const action = Object.hasOwn(rpcActions, name) ? rpcActions[name]! : null
  if (action === null) {
    throw new ApiError(
      404,
      'InvalidAction.NotFound',
      `Specified api is not found, please check your url and method. At / this server has ${Object.keys(rpcActions).join(' and ')}.`,
    )
  }
  trail.action = name
  const principal = bySignedHeaders
    ? (await authenticate(parts.authenticator, request, request.at)).principal
    : await authenticateRpc(parts.authenticator, request.method, parameters, request.at)
  trail.caller = principal.arn
  checkVersion(bySignedHeaders ? headerOf(request, 'x-acs-version') : parameters.get('Version'), action)
  await authorize(parts.policies, principal, {
    action: action.ramAction,
    resource: `acs:bssapi:*:${principal.accountId}:*`,
    context: conditionContext(principal, request),
  })
  parts.throttle(principal.accountId, action.accessLevel)
  const call: Call = {
    requestId: request.requestId,
    regionId: services.settings.defaultRegionId,
    at: request.at,
    principal,
    reachedHost: request.localAddress ?? '127.0.0.1',
  }
  return action.run(services, call, parameters)
}

/** The envelope of RPC services: capitalised members, and the outcome as a word. */
export function rpcReply(requestId: string, data: unknown): ApiReply {
  const body = JSON.stringify({
    RequestId: requestId,
    Success: true,
    Code: 'Success',
    Message: 'Successful!',
    Data: data,
  })
  return { status: 200, headers: replyHeaders(requestId, body), body }
}

const MAX_PARAMETERS = 256

/** Query and form together. A name that occurs twice could be read two ways, so it is refused. */
function parametersOf(request: ApiRequest): RpcParameters {
  const form = isForm(request) ? parseQuery(bodyText(request)) : []
  if (request.body.length > 0 && !isForm(request)) {
    throw new ApiError(
      400,
      'UnsupportedContentType',
      'The body of an RPC request must be application/x-www-form-urlencoded.',
    )
  }
  const pairs = [...parseQuery(request.rawQuery), ...form]
  if (pairs.length > MAX_PARAMETERS) {
    throw new ApiError(400, 'InvalidParameter', `The request has more than ${MAX_PARAMETERS} parameters.`)
  }
  const parameters = new Map<string, string>()
  for (const [name, value] of pairs) {
    if (parameters.has(name)) {
      throw new ApiError(400, 'InvalidParameter', `The parameter ${name.slice(0, 60)} was sent more than once.`)
    }
    if (!isStorable(name) || !isStorable(value)) {
      throw new ApiError(400, 'InvalidParameter', 'A parameter contains U+0000 or half a surrogate pair.')
    }
    parameters.set(name, value)
  }
  return parameters
}

function isForm(request: ApiRequest): boolean {
  return /^application\/x-www-form-urlencoded\b/i.test(headerOf(request, 'content-type') ?? '')
}

const bodyText = (request: ApiRequest): string => Buffer.from(request.body).toString('utf8')

function checkVersion(version: string | undefined, action: RpcAction): void {
  if (version === undefined || version === '') {
    throw new ApiError(400, 'MissingVersion', `Version is mandatory for this action. Send ${action.version}.`)
  }
  if (version !== action.version) {
    throw new ApiError(400, 'InvalidVersion', `Specified parameter Version is not valid. It must be ${action.version}.`)
  }
}
