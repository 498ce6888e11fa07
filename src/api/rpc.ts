/**
 * RPC-style requests, `POST /?Action=…`: a parameter names the operation, query and form together are one flat list.
 * Signed by parameters (authenticate-rpc.ts), as Terraform's provider does, or by headers, as current SDKs do with
 * `x-acs-action`.
 */
import { ApiError } from '../catalogue/errors.ts'
import type { Operation } from '../catalogue/index.ts'
import { authenticate } from '../iam/authenticate.ts'
import { authenticateRpc, type RpcParameters } from '../iam/authenticate-rpc.ts'
import { parseQuery } from '../iam/percent.ts'
import type { ServedProduct } from '../resources/handler.ts'
import { rpcReply } from './envelope.ts'
import { isStorable } from './json.ts'
import { type ApiRequest, headerOf } from './request.ts'
import { expectedOf, type Style } from './style.ts'

/** No ROA operation is at `/`, so whatever names an action there is RPC. */
export function isRpc(request: ApiRequest): boolean {
  if (request.rawPath !== '/' || (request.method !== 'POST' && request.method !== 'GET')) return false
  if (headerOf(request, 'x-acs-action') !== undefined) return true
  return (
    /(?:^|&)Action=/.test(request.rawQuery) || (isForm(request) && bodyText(request.body.subarray(0, 7)) === 'Action=')
  )
}

export function rpcStyle(products: readonly ServedProduct[]): Style {
  const find = finderOf(products.filter(({ product }) => product.style === 'RPC'))
  return {
    address(request) {
      const parameters = parametersOf(request)
      const bySignedHeaders = headerOf(request, 'authorization') !== undefined
      const sent = (header: string, parameter: string) =>
        bySignedHeaders ? headerOf(request, header) : parameters.get(parameter)
      const version = sent('x-acs-version', 'Version')
      const { served, operation } = find(sent('x-acs-action', 'Action') ?? '', version)
      return {
        served,
        operation,
        version,
        authenticate: (authenticator) =>
          bySignedHeaders
            ? authenticate(authenticator, request, expectedOf(operation), request.at)
            : authenticateRpc(authenticator, request.method, parameters, request.at),
        raw: () => ({ path: {}, query: ownParameters(operation, parameters) }),
        reply: (data) => rpcReply(request.requestId, data, served.product.rpcReply ?? 'data'),
      }
    },
  }
}

interface Found {
  readonly served: ServedProduct
  readonly operation: Operation
}

/** All RPC products share the address `/`: an action that several of them have is told apart by the version. */
function finderOf(products: readonly ServedProduct[]): (action: string, version: string | undefined) => Found {
  const byAction = new Map<string, Found[]>()
  for (const served of products) {
    for (const operation of served.product.operations) {
      byAction.set(operation.action, [...(byAction.get(operation.action) ?? []), { served, operation }])
    }
  }
  return (action, version) => {
    const candidates = byAction.get(action) ?? []
    const found = candidates.find(({ served }) => served.product.version === version) ?? candidates[0]
    if (found !== undefined) return found
    throw new ApiError(
      404,
      'InvalidAction.NotFound',
      `Specified api is not found, please check your url and method. At / this server has ${[...byAction.keys()].join(', ')}.`,
    )
  }
}

const MAX_PARAMETERS = 256
/** Parameters are read before the caller is known, for they hold the signature; the largest call of the vendor's has a few kilobytes. */
const MAX_FORM_BYTES = 128 * 1024

/** Query and form together. A name that occurs twice could be read two ways, so it is refused. */
function parametersOf(request: ApiRequest): RpcParameters {
  if (request.body.length > 0 && !isForm(request)) {
    throw new ApiError(
      400,
      'UnsupportedContentType',
      'The body of an RPC request must be application/x-www-form-urlencoded.',
    )
  }
  if (request.body.length > MAX_FORM_BYTES) {
    throw new ApiError(
      400,
      'InvalidParameter',
      `The form has ${request.body.length} bytes; the parameters of a request may have ${MAX_FORM_BYTES}.`,
    )
  }
  const most = MAX_PARAMETERS + 1
  const pairs = [...parseQuery(request.rawQuery, most), ...parseQuery(bodyText(request.body), most)]
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

const bodyText = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8')

/** What every RPC request carries besides the parameters of its operation. */
const COMMON = new Set([
  'Action',
  'Version',
  'Format',
  'Timestamp',
  'AccessKeyId',
  'Signature',
  'SignatureMethod',
  'SignatureVersion',
  'SignatureNonce',
  'SignatureType',
  'SecurityToken',
  'RegionId',
])

function ownParameters(operation: Operation, parameters: RpcParameters): Array<[string, string]> {
  const names = operation.parameters.map(({ name }) => name)
  return [...parameters].filter(([name]) => names.includes(name) || !COMMON.has(name))
}
