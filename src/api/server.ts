/**
 * The HTTP host of the management API, and the only file that knows Fastify.
 *
 * It turns bytes into an `ApiRequest`, hands it to the steps of pipeline.ts and writes their answer. Fastify's own
 * routing, body parsing and error pages never see a request: the path is signed exactly as it was sent, and every
 * answer, whatever went wrong, must be a JSON object in the vendor's shape.
 *
 * It must stay open to others whatever one client does: slow headers and bodies time out, sizes are bounded, and
 * connections of callers that are not known make room for new ones (connections.ts).
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { ApiError } from '../catalogue/errors.ts'
import { noPolicies, type Policies } from '../iam/authorize.ts'
import type { KeyRing } from '../iam/keys.ts'
import type { NonceStore } from '../iam/nonces.ts'
import { splitTarget } from '../iam/sign.ts'
import type { Log } from '../observability/log.ts'
import type { ServedProduct, Services } from '../resources/handler.ts'
import { readBody } from './body.ts'
import { Connections } from './connections.ts'
import { errorReply, replyHeaders } from './envelope.ts'
import { checkSite, type VendorEndpoints, vendorEndpoints } from './host-header.ts'
import { type ApiHandler, createApiHandler } from './pipeline.ts'
import type { ApiReply, ApiRequest } from './request.ts'

export interface ApiLimits {
  /** Largest body, bytes. */
  readonly bodyBytes: number
  /** Incomplete bodies of all connections together, bytes; half of them at most for those that are not authenticated. */
  readonly bufferedBytes: number
  /** Request line and headers, bytes: a query with twenty tags in percent-encoded Chinese fits. */
  readonly headerBytes: number
  /** Authenticated connections open at once; the idlest of the caller with the most make room for new ones. */
  readonly connections: number
  /** Connections beside them that have not sent a request with a valid signature, and for how long each (connections.ts). */
  readonly strangers: number
  readonly strangerMs: number
  /** An answer of which nothing more is taken for so long ends its connection, as do more requests ahead of their answers than this. */
  readonly unreadMs: number
  readonly pipelined: number
  /** Calls carried out at once. */
  readonly inFlight: number
  /** Calls a second for each account; null is no limit. */
  readonly readsPerSecond: number | null
  readonly writesPerSecond: number | null
  /** From the first byte (or from connecting) to the last header, and to the end of the body. */
  readonly headersMs: number
  readonly requestMs: number
  /** An idle connection stays open this long; clients pool them for 25 s. */
  readonly keepAliveMs: number
  /** A handler that takes longer is answered for with 503. */
  readonly handlerMs: number
  /** How long `close` waits for calls being carried out. */
  readonly closeMs: number
}

export const defaultLimits: ApiLimits = {
  bodyBytes: 1024 * 1024,
  bufferedBytes: 64 * 1024 * 1024,
  headerBytes: 64 * 1024,
  connections: 2_048,
  strangers: 512,
  strangerMs: 30_000,
  unreadMs: 30_000,
  pipelined: 32,
  inFlight: 1_024,
  readsPerSecond: null,
  writesPerSecond: null,
  headersMs: 10_000,
  requestMs: 30_000,
  keepAliveMs: 30_000,
  handlerMs: 30_000,
  closeMs: 5_000,
}

export interface ApiOptions {
  readonly products: readonly ServedProduct[]
  readonly services: Services
  readonly keyRing: KeyRing
  readonly nonces: NonceStore
  /** Refuse bodies of the legacy scheme without Content-MD5. */
  readonly requireContentMd5?: boolean
  readonly policies?: Policies
  /** Names to answer to besides addresses, localhost, the vendor's endpoints and the advertised host (host-header.ts). */
  readonly allowedHosts?: readonly string[]
  readonly limits?: Partial<ApiLimits>
  readonly log: Log
  /** Of Gantry, for the health answer. */
  readonly version: string
}

export interface Api {
  /** Port 0 picks a free one. Rejects with the system's error (`EADDRINUSE`, `EACCES`, …). */
  listen(host: string, port: number): Promise<{ port: number }>
  /** Refuses new calls, lets those in hand finish within `closeMs`, then closes every connection. */
  close(): Promise<void>
}

/** Keep-Alive as the gateway announces it; we keep the connection a little longer, so that a client's next request does not meet a closing connection. */
const KEEP_ALIVE_HEADER = 'timeout=25'

/** Connections the system may hold before we accept them: many at once must not make others wait for a retransmission. */
const BACKLOG = 2_048

export function createApi(options: ApiOptions): Api {
  const limits: ApiLimits = { ...defaultLimits, ...options.limits }
  const { clock } = options.services.world
  const connections = new Connections(limits, clock)
  const handler = createApiHandler({
    products: options.products,
    services: options.services,
    authenticator: {
      keyRing: options.keyRing,
      nonces: options.nonces,
      requireContentMd5: options.requireContentMd5 ?? false,
    },
    policies: options.policies ?? noPolicies,
    rates: limits,
    inFlight: limits.inFlight,
    handlerMs: limits.handlerMs,
    log: options.log,
  })
  const endpoints = vendorEndpoints(options.products.map(({ product }) => product))
  const host: Host = { ...options, limits, connections, handler, endpoints, closing: false }
  const app = createHost(host)
  let closed: Promise<void> | null = null

  const close = async (): Promise<void> => {
    host.closing = true
    handler.closing()
    connections.closeIdle()
    const cancel = clock.after(limits.closeMs, () => connections.closeAll())
    await app.close()
    cancel()
    connections.closeAll()
  }
  return {
    async listen(address, port) {
      await app.listen({ host: address, port, backlog: BACKLOG })
      return { port: (app.server.address() as AddressInfo).port }
    },
    close() {
      closed ??= close()
      return closed
    },
  }
}

interface Host extends ApiOptions {
  readonly limits: ApiLimits
  readonly connections: Connections
  readonly handler: ApiHandler
  readonly endpoints: VendorEndpoints
  /** From then on every answer ends its connection. */
  closing: boolean
}

function createHost(host: Host): FastifyInstance {
  const app = fastify({
    logger: false,
    return503OnClosing: false,
    forceCloseConnections: false,
    // The path is ours to read, malformed escapes included; Fastify sees one route.
    rewriteUrl: () => '/',
    serverFactory: (handler) => createHttpServer(host, handler as (q: IncomingMessage, s: ServerResponse) => void),
  })
  const serve = (request: FastifyRequest, reply: FastifyReply) => handle(host, request, reply)
  app.addHook('onRequest', serve)
  app.setNotFoundHandler(serve)
  return app
}

function createHttpServer(host: Host, handler: (request: IncomingMessage, response: ServerResponse) => void): Server {
  const { limits, connections } = host
  const server = createServer(
    {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.keepAliveMs,
      connectionsCheckingInterval: Math.min(1_000, limits.headersMs),
      // An answer without a Host header is ours to give, as JSON.
      requireHostHeader: false,
    },
    handler,
  )
  // Node would silently drop headers above a count; the size bounds them, and the steps count them.
  server.maxHeadersCount = 0
  server.on('connection', (socket) => connections.opened(socket))
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => answerBrokenRequest(host, error, socket as Socket))
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    const fits = Number(request.headers['content-length'] ?? 0) <= limits.bodyBytes
    if (fits) response.writeContinue()
    handler(request, response)
  })
  // Expectations we do not know are no reason to refuse, least of all with Node's empty 417.
  server.on('checkExpectation', handler)
  return server
}

/** The one route: every request Fastify accepts is handled here. */
async function handle(host: Host, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { raw } = request
  const { connections, limits, services } = host
  const url = (raw as { originalUrl?: string }).originalUrl ?? '/'
  const target = originOf(url)
  const requestId = services.world.random.uuid()
  const stranger = strangerIn(host, raw, url)
  if (stranger !== null) {
    // Thrown away as it comes, so that who writes before it reads sees the refusal.
    const body = await readBody(raw, { limitBytes: 0, clock: services.world.clock, onKept() {} })
    if (body === 'aborted') return reply.hijack()
    void reply.header('connection', 'close')
    const { httpStatus: status, code } = stranger
    host.log.info({ requestId, action: null, method: raw.method, status, code, caller: null }, 'request')
    return send(host, reply, errorReply(requestId, hostIdOf(host), stranger))
  }
  if (target === '/_gantry/health' && raw.method === 'GET') return send(host, reply, healthReply(host, requestId))

  const body = await readBody(raw, {
    limitBytes: limits.bodyBytes,
    clock: services.world.clock,
    onKept: (sizeBytes) => connections.buffered(raw.socket, sizeBytes),
  })
  if (body === 'aborted') return reply.hijack()
  if (body === 'tooLarge') {
    void reply.header('connection', 'close')
    return send(host, reply, errorReply(requestId, hostIdOf(host), bodyTooLarge(limits.bodyBytes)))
  }
  if (!connections.began(raw.socket)) return reply.hijack()
  reply.raw.once('close', () => connections.ended(raw.socket))
  const apiRequest = toApiRequest(host, raw, target, body, requestId)
  return send(
    host,
    reply,
    await host.handler.answer(apiRequest, (caller) => connections.authenticated(raw.socket, caller)),
  )
}

function toApiRequest(
  host: Host,
  raw: IncomingMessage,
  target: string,
  body: Uint8Array,
  requestId: string,
): ApiRequest {
  const [rawPath, rawQuery] = splitTarget(target)
  return {
    requestId,
    method: raw.method ?? 'GET',
    rawPath,
    rawQuery,
    headers: headersOf(raw.rawHeaders),
    body,
    remoteAddress: raw.socket.remoteAddress ?? null,
    localAddress: raw.socket.localAddress ?? null,
    secure: (raw.socket as { encrypted?: boolean }).encrypted === true,
    at: host.services.world.clock.now(),
  }
}

/** Names in lower case with all their values. Node reads bytes as Latin-1; clients write UTF-8. */
function headersOf(rawHeaders: readonly string[]): Map<string, string[]> {
  const headers = new Map<string, string[]>()
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!.toLowerCase()
    const values = headers.get(name)
    if (values === undefined) headers.set(name, [asUtf8(rawHeaders[at + 1]!)])
    else values.push(asUtf8(rawHeaders[at + 1]!))
  }
  return headers
}

/** Why the request is refused by where it goes and comes from, or null. */
function strangerIn(
  { allowedHosts = [], services, endpoints }: Host,
  { headers, headersDistinct }: IncomingMessage,
  url: string,
): ApiError | null {
  const one = (name: string) => headers[name] as string | undefined
  const { advertisedHost } = services.settings
  // Node keeps the first; a proxy in between may have gone by another.
  if ((headersDistinct.host?.length ?? 0) > 1)
    return new ApiError(400, 'InvalidHost', 'The request has more than one Host header; send one.')
  try {
    checkSite(
      {
        host: headers.host,
        authority: /^https?:\/\/([^/?]*)/i.exec(url)?.[1] ?? null,
        origin: headers.origin,
        secFetchSite: one('sec-fetch-site'),
        secFetchMode: one('sec-fetch-mode'),
      },
      advertisedHost === null ? allowedHosts : [...allowedHosts, advertisedHost.toLowerCase()],
      endpoints,
    )
    return null
  } catch (error) {
    if (error instanceof ApiError) return error
    throw error
  }
}

/** Path and query, also of the absolute form that proxies are sent. */
function originOf(url: string): string {
  const path = url.replace(/^https?:\/\/[^/?]*/i, '')
  return asUtf8(path.startsWith('/') ? path : `/${path}`)
}

function asUtf8(latin1: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the question is whether all is ASCII
  return /^[\x00-\x7f]*$/.test(latin1) ? latin1 : Buffer.from(latin1, 'latin1').toString('utf8')
}

function send({ closing, connections }: Host, reply: FastifyReply, answer: ApiReply): FastifyReply {
  const { status, headers, body } = answer
  if (closing || !connections.mayStay(reply.request.raw.socket)) void reply.header('connection', 'close')
  else if (reply.raw.shouldKeepAlive) void reply.header('keep-alive', KEEP_ALIVE_HEADER)
  return reply.code(status).headers(headers).send(body)
}

function healthReply({ version }: Host, requestId: string): ApiReply {
  const body = JSON.stringify({ status: 'ok', version, requestId })
  return { status: 200, headers: replyHeaders(requestId, body), body }
}

/** Status 400 and this code are what the vendor's storage service answers; the API's own list has none for it. */
function bodyTooLarge(limitBytes: number): ApiError {
  return new ApiError(400, 'EntityTooLarge', `The body is larger than ${limitBytes} bytes.`, { field: 'body' })
}

/** Requests that Node's parser gave up: malformed, too large a head, or too slow. */
function answerBrokenRequest(host: Host, error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable || host.connections.isBusy(socket)) {
    socket.destroy()
    return
  }
  const reply = errorReply(host.services.world.random.uuid(), hostIdOf(host), brokenRequest(error.code, host.limits))
  const lines = Object.entries(reply.headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const { status, body } = reply
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_TEXT[status] ?? ''}\r\n${lines.join('')}content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  )
}

const STATUS_TEXT: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
}

function brokenRequest(code: string | undefined, limits: ApiLimits): ApiError {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new ApiError(431, 'InvalidHeader', `Request line and headers together exceed ${limits.headerBytes} bytes.`)
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new ApiError(
        408,
        'RequestTimeout',
        `The request did not arrive in time: ${limits.headersMs} ms for the headers, ${limits.requestMs} ms in all.`,
      )
    default:
      return new ApiError(400, 'InvalidRequest', 'This is not an HTTP/1.1 request.')
  }
}

function hostIdOf({ services }: Host): string {
  return `rocketmq.${services.settings.defaultRegionId}.aliyuncs.com`
}
