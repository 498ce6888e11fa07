/**
 * The path of a request, from its bytes to its answer: `carryOut` is the list of steps, in the order in which
 * a request can be refused. It knows nothing of sockets or Fastify (server.ts) and never throws: whatever happens
 * becomes an answer in the vendor's shape.
 *
 * Parameters are judged before permission, as the gateway does; nothing is leaked by it, for the rules are public.
 * An operation without a handler is refused with 501 only after its caller is known and permitted.
 */
import { ApiError, invalid, notImplemented, refusalOf } from '../catalogue/errors.ts'
import type { Problem } from '../catalogue/index.ts'
import { type Authenticator, nonceUsed, shareOwner } from '../iam/authenticate.ts'
import { authorize, type Policies } from '../iam/authorize.ts'
import type { Principal } from '../iam/principal.ts'
import { resourceName } from '../iam/resource-name.ts'
import { LedgerError } from '../ledger/errors.ts'
import type { OneUse } from '../ledger/ledger.ts'
import { EngineError } from '../model/refusals.ts'
import type { Log } from '../observability/log.ts'
import { type Call, type ServedProduct, type Services, WithMessage } from '../resources/handler.ts'
import { conditionContext } from './condition-context.ts'
import { errorReply } from './envelope.ts'
import { hostNameOf, regionOf, type VendorEndpoints, vendorEndpoints } from './host-header.ts'
import { isStorable } from './json.ts'
import { type AccessRecord, type ApiReply, type ApiRequest, headerOf } from './request.ts'
import { roaStyle } from './roa.ts'
import { isRpc, rpcStyle } from './rpc.ts'
import type { Addressed, Style } from './style.ts'
import { createThrottle, type Rates, throttledServer } from './throttle.ts'

export interface ApiHandlerOptions {
  readonly products: readonly ServedProduct[]
  readonly services: Services
  readonly authenticator: Authenticator
  readonly policies: Policies
  readonly rates: Rates
  /** Calls being carried out at once; more are refused as throttled. */
  readonly inFlight: number
  /** A handler that takes longer is answered for with 503. */
  readonly handlerMs: number
  readonly log: Log
}

export interface ApiHandler {
  /** Calls `authenticated` with whose it is once the request's signature is verified, whatever it is answered then. */
  answer(request: ApiRequest, authenticated: (caller: string) => void): Promise<ApiReply>
  /** From now on everything is refused with 503, so that clients turn elsewhere while we stop. */
  closing(): void
}

/** What a refused caller is told to wait when the server is full, milliseconds. */
const FULL_RETRY_MS = 1_000

export function createApiHandler(options: ApiHandlerOptions): ApiHandler {
  const { services, log, products } = options
  const { clock } = services.world
  const parts: Parts = {
    ...options,
    roa: roaStyle(products),
    rpc: rpcStyle(products),
    endpoints: vendorEndpoints(products.map(({ product }) => product)),
    throttle: createThrottle(options.rates, clock),
  }
  let inFlight = 0
  let closing = false

  return {
    async answer(request, authenticated) {
      const record: AccessRecord = { product: null, action: null, caller: null, code: null }
      const startedAt = clock.monotonic()
      let reply: ApiReply
      inFlight++
      try {
        if (closing) throw serviceUnavailable('The server is stopping.')
        if (inFlight > options.inFlight) throw throttledServer(FULL_RETRY_MS)
        reply = await carryOut(parts, request, record, authenticated)
      } catch (error) {
        reply = refuse(log, request, record, services.settings.defaultRegionId, error)
      } finally {
        inFlight--
      }
      const { action, caller, code } = record
      const ms = Math.round((clock.monotonic() - startedAt) * 10) / 10
      const { method, requestId } = request
      log.info({ requestId, action, method, status: reply.status, code, caller, ms }, 'request')
      return reply
    },
    closing() {
      closing = true
    },
  }
}

interface Parts extends ApiHandlerOptions {
  readonly roa: Style
  readonly rpc: Style
  readonly endpoints: VendorEndpoints
  readonly throttle: ReturnType<typeof createThrottle>
}

/** Answers what the operation answered; every refusal is thrown. */
async function carryOut(
  parts: Parts,
  request: ApiRequest,
  record: AccessRecord,
  authenticated: (caller: string) => void,
): Promise<ApiReply> {
  const { services } = parts
  const hostName = hostNameOf(headerOf(request, 'host'))
  const regionId = regionOf(hostName, services.settings.regionIds, parts.endpoints)
  checkForm(request)
  const addressed = (isRpc(request) ? parts.rpc : parts.roa).address(request)
  record.product = addressed.served.product.code
  record.action = addressed.operation.action
  const { principal, once } = await addressed.authenticate(parts.authenticator)
  record.caller = principal.arn
  authenticated(shareOwner(principal))
  try {
    return await carryOutFor({ principal, once, hostName, regionId }, parts, request, addressed)
  } finally {
    // A handler that has not ended in time is over for its caller: what it still does is refused as made before.
    parts.authenticator.nonces.release(once)
  }
}

interface Caller {
  readonly principal: Principal
  readonly once: OneUse
  /** Under which the caller reached us. */
  readonly hostName: string | null
  readonly regionId: string
}

/** The steps once the caller is known. */
async function carryOutFor(caller: Caller, parts: Parts, request: ApiRequest, addressed: Addressed): Promise<ApiReply> {
  const { principal, once, hostName, regionId } = caller
  const { operation, served } = addressed
  const { product, handlers } = served
  checkVersion(addressed)
  const handler = Object.hasOwn(handlers, operation.action) ? handlers[operation.action] : undefined
  const input = readInput(addressed, { judge: handler !== undefined })
  if (operation.ramAction !== null) {
    const place = { regionId, accountId: principal.accountId }
    await authorize(parts.policies, principal, {
      action: operation.ramAction,
      resource: operation.resource === null ? '*' : resourceName(product.resources[operation.resource]!, place, input),
      context: { ...conditionContext(principal, request), ...Object.fromEntries(requestTags(input)) },
    })
  }
  parts.throttle(principal.accountId, operation.accessLevel)
  if (handler === undefined) throw notImplemented(operation.action)
  const reachedHost = hostName ?? request.localAddress ?? '127.0.0.1'
  const call: Call = { requestId: request.requestId, regionId, at: request.at, principal, once, reachedHost }
  const answer = await withinLimit(parts, handler(parts.services, call, input))
  return answer instanceof WithMessage ? addressed.reply(answer.data, answer.message) : addressed.reply(answer)
}

const MAX_HEADERS = 128

/** Things no signature can mend. */
function checkForm(request: ApiRequest): void {
  let count = 0
  for (const values of request.headers.values()) count += values.length
  if (count > MAX_HEADERS) {
    throw new ApiError(400, 'InvalidHeader', `The request has more than ${MAX_HEADERS} headers.`)
  }
  const encoding = headerOf(request, 'content-encoding')
  if (encoding !== undefined && !/^identity$/i.test(encoding)) {
    throw new ApiError(400, 'InvalidContentEncoding', 'Send the body without a Content-Encoding.')
  }
}

function checkVersion({ version, served }: Addressed): void {
  const expected = served.product.version
  if (version === undefined || version === '') {
    throw new ApiError(
      400,
      'MissingVersion',
      `Version is mandatory for this action. Send ${served.product.style === 'ROA' ? `x-acs-version: ${expected}` : expected}.`,
    )
  }
  if (version !== expected) {
    throw new ApiError(400, 'InvalidVersion', `Specified parameter Version is not valid. It must be ${expected}.`)
  }
}

/** The decoded input. With `judge`, every fault is refused in one answer whose code is the first one's. */
function readInput({ served, operation, raw }: Addressed, { judge }: { judge: boolean }): Record<string, unknown> {
  const { product } = served
  if (!judge) return product.decode(operation, raw()).input
  const { input, problems } = product.read(operation, raw())
  const faults = [...problems, ...unstorableTexts(input)]
  if (faults.length > 0) throw refusalOfAll(faults)
  return input
}

function refusalOfAll(problems: readonly Problem[]): ApiError {
  const errors = problems.map(refusalOf)
  const [first, ...others] = errors
  if (others.length === 0) return first!
  return new ApiError(400, first!.code, errors.map((error) => error.message).join(' '), { field: first!.field })
}

/** Texts that a database would refuse, wherever they came from. JSON in a body was looked at by its parser. */
function unstorableTexts(value: unknown, field = ''): Problem[] {
  if (typeof value === 'string') {
    if (isStorable(value)) return []
    return [{ field, kind: 'invalid', rule: 'It contains U+0000 or half a surrogate pair.' }]
  }
  if (Array.isArray(value)) return value.flatMap((item, index) => unstorableTexts(item, `${field}[${index}]`))
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, member]) => {
    const place = field === '' ? name : `${field}.${name}`
    return [...(isStorable(name) ? [] : unstorableTexts(name, field)), ...unstorableTexts(member, place)]
  })
}

const requestTags = (input: Readonly<Record<string, unknown>>): Array<[string, string]> => {
  const tags = input['tags'] ?? input['tag']
  if (!Array.isArray(tags)) return []
  return tags
    .filter((tag) => typeof tag?.key === 'string')
    .map((tag) => [`acs:RequestTag/${tag.key}`, String(tag.value ?? '')])
}

function withinLimit<T>({ services, handlerMs }: Parts, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = services.world.clock.after(handlerMs, () =>
      reject(
        serviceUnavailable(
          `It took longer than ${handlerMs} ms; look whether it was carried out before you repeat it.`,
        ),
      ),
    )
    void work.then(resolve, reject).finally(cancel)
  })
}

function serviceUnavailable(what: string, cause?: unknown): ApiError {
  return new ApiError(
    503,
    'ServiceUnavailable',
    `The request has failed due to a temporary failure of the server. ${what}`,
    { cause },
  )
}

/** Turns whatever was thrown into an answer. What is our fault is logged here, once, with its causes. */
function refuse(log: Log, request: ApiRequest, record: AccessRecord, regionId: string, thrown: unknown): ApiReply {
  const error = asApiError(thrown)
  record.code = error.code
  const ours = (error.httpStatus >= 500 && error.httpStatus !== 501) || thrown instanceof LedgerError
  if (ours) {
    log.error({ requestId: request.requestId, action: record.action, err: thrown }, 'a request failed')
  }
  const hostId = hostNameOf(headerOf(request, 'host')) ?? `rocketmq.${regionId}.aliyuncs.com`
  return errorReply(request.requestId, hostId, error, record.product ?? undefined)
}

function asApiError(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown
  if (thrown instanceof LedgerError) {
    if (thrown.code === 'repeated') return nonceUsed('The same request was carried out already; sign it anew.')
    if (thrown.code === 'value') return invalid('request', 'It contains a value that cannot be stored.')
    if (thrown.code !== 'misuse') return serviceUnavailable('Nothing was changed.', thrown)
  }
  if (thrown instanceof EngineError) {
    // No client repeats it. The sentence says what the engine or the client that was asked cannot do.
    if (thrown.code === 'unsupported') {
      const message = `The specified operation is not supported. ${thrown.message}`
      return new ApiError(400, 'UnsupportedOperation', message, { cause: thrown })
    }
    // Other sentences are for the operator and may name files of the machine.
    return serviceUnavailable('The broker of the instance does not answer now; nothing was read.', thrown)
  }
  return new ApiError(
    500,
    'InternalError',
    'The request processing has failed due to some unknown error, exception or failure. The cause is in the server log under this request id.',
    { cause: thrown },
  )
}
