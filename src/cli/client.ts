/**
 * Signed calls to the running server, for the commands. The endpoint and the keys come from the home
 * (`server.json`, `account.json`) unless GANTRY_API_URL names another server.
 */
import { readFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import path from 'node:path'
import { readAccount } from '../account.ts'
import type { Operation } from '../catalogue/operation.ts'
import type { Product } from '../catalogue/product.ts'
import { rocketmq } from '../catalogue/rocketmq/index.ts'
import type { Settings } from '../config.ts'
import { fillPath, requestTarget, signRequest } from '../iam/sign.ts'
import { hostileHome } from '../ledger/home-trust.ts'
import { realClock, realRandom } from '../world/real.ts'
import { CommandError, LateError, UnreachableError, UsageError } from './errors.ts'
import { say } from './output.ts'
import { shown } from './safe-text.ts'

export interface Target {
  readonly apiUrl: string
  readonly region: string
  readonly accessKeyId: string
  readonly accessKeySecret: string
  /** Zone of the date texts in its replies, minutes east of UTC; null where the server's home does not tell. */
  readonly zoneMinutes: number | null
}

export interface Reply {
  readonly status: number
  readonly body: Record<string, unknown>
}

const callLimitMs = 30_000
const replyLimitBytes = 64 * 1024 * 1024

/** Which server to talk to. Throws `UnreachableError` when none runs on this home. */
export function findTarget(settings: Settings, env: NodeJS.ProcessEnv = process.env): Target {
  refuseHostileHome(settings.home)
  const account = readAccount(settings.home)
  const accessKeyId = settings.accessKeyId ?? account?.accessKeyId
  const accessKeySecret = settings.accessKeySecret ?? account?.accessKeySecret
  const running = readServerFile(settings.home)
  const apiUrl = given(env.GANTRY_API_URL) ?? running?.apiUrl
  if (apiUrl === undefined || apiUrl === '') {
    throw new UnreachableError(
      `No Gantry server runs on ${shown(settings.home)}. Start one with "gantry up", or name its home with --home.`,
    )
  }
  if (accessKeyId === undefined || accessKeySecret === undefined) {
    throw new CommandError(
      `The home ${shown(settings.home)} holds no keys for ${apiUrl}; set GANTRY_ACCESS_KEY_ID and GANTRY_ACCESS_KEY_SECRET.`,
    )
  }
  return {
    apiUrl,
    region: running?.region ?? settings.region,
    accessKeyId,
    accessKeySecret,
    zoneMinutes: apiUrl === running?.apiUrl ? (running.timeZoneOffsetMinutes ?? null) : null,
  }
}

/**
 * Throws `CommandError` for a home that other users can write to: they could have replaced its keys, address and
 * locks.
 */
export function refuseHostileHome(home: string): void {
  const hostile = hostileHome(home)
  if (hostile !== null) throw new CommandError(shown(hostile))
}

/** Whether `findTarget` would find a server: one named by the environment, or one that says it runs on the home. */
export const isTargetKnown = (settings: Settings, env: NodeJS.ProcessEnv = process.env): boolean =>
  given(env.GANTRY_API_URL) !== undefined || readServerFile(settings.home) !== null

function given(url: string | undefined): string | undefined {
  if (url === undefined || url === '') return undefined
  if (/^http:\/\/[^/]+\/?$/.test(url) && URL.canParse(url)) return url
  throw new UsageError(`GANTRY_API_URL is ${JSON.stringify(url)} but it must look like http://127.0.0.1:7800.`)
}

/** Zone in which texts for people of this home are, minutes east of UTC: that of its server. */
export const zoneOfHome = (settings: Settings): number =>
  readServerFile(settings.home)?.timeZoneOffsetMinutes ?? settings.timeZoneOffsetMinutes

interface ServerFile {
  readonly apiUrl: string
  readonly region: string
  readonly pid: number
  readonly timeZoneOffsetMinutes?: number
}

export function readServerFile(home: string): ServerFile | null {
  try {
    return JSON.parse(readFileSync(path.join(home, 'server.json'), 'utf8')) as ServerFile
  } catch {
    return null
  }
}

/**
 * Calls an operation; `input` holds path, query and body members side by side. Answers whatever the server said. Throws
 * when the product has no such operation.
 */
export function callOperation(
  target: Target,
  action: string,
  input: Readonly<Record<string, unknown>>,
  product: Product = rocketmq,
): Promise<Reply> {
  const operation = product.operationNamed(action)
  if (operation === undefined) throw new Error(`${product.code} has no operation "${action}".`)
  const url = new URL(target.apiUrl)
  const { path: requestPath, body } = place(operation, input)
  const headers = signRequest(target, {
    method: operation.method,
    target: requestPath,
    host: url.host,
    action: operation.action,
    body,
    at: realClock.now(),
    nonce: realRandom.uuid(),
    version: product.version,
  })
  return send(url, operation.method, requestPath, headers, body)
}

/** `callOperation`, answering the reply's body; a refusal becomes a `CommandError` with the server's words. */
async function bodyOf(
  target: Target,
  action: string,
  input: Readonly<Record<string, unknown>>,
): Promise<Reply['body']> {
  const { status, body } = await callOperation(target, action, input)
  if (status >= 400) throw new CommandError(refusalText(action, status, body))
  return body
}

/** The reply's data; a refusal becomes a `CommandError` with the server's words. */
export async function callData<Data>(
  target: Target,
  action: string,
  input: Readonly<Record<string, unknown>>,
): Promise<Data> {
  return (await bodyOf(target, action, input)).data as Data
}

/** `callData`, saying on stderr what the reply says beside its data: what it could not do, or what should be known of it. */
export async function callAndNote<Data>(
  target: Target,
  action: string,
  input: Readonly<Record<string, unknown>>,
): Promise<Data> {
  const body = await bodyOf(target, action, input)
  if (body.message !== 'Success') say(shown(String(body.message).replace(/^Success\. /, '')))
  return body.data as Data
}

/**
 * A refusal in the server's words: the vendor's code, the sentence, the request, and where a command helps, which.
 * `brief`: without what the body says, which is shown already.
 */
export function refusalText(
  action: string,
  status: number,
  body: Readonly<Record<string, unknown>>,
  { brief = false }: { readonly brief?: boolean } = {},
): string {
  const code = String(body.Code ?? body.code ?? status)
  const remedy = Object.hasOwn(remedies, code) ? remedies[code] : undefined
  const words = [
    `  ${shown(String(body.Message ?? body.message ?? ''))}`,
    `  request id ${shown(String(body.RequestId ?? body.requestId ?? 'unknown'))}`,
  ]
  return [
    `${action} was refused: ${shown(code)}`,
    ...(brief ? [] : words),
    ...(remedy === undefined ? [] : [`  ${remedy}`]),
  ].join('\n')
}

/** The command that helps next; the server's sentence does not know the command line. */
const remedies: Readonly<Record<string, string>> = {
  'Instance.NotFound': '"gantry list instances" shows those that exist.',
  'Topic.NotFound': '"gantry list topics INSTANCE" shows those that exist.',
  'ConsumerGroup.NotFound': '"gantry list groups INSTANCE" shows those that exist.',
  'InstanceAccount.NotExisted': '"gantry accounts INSTANCE" shows those that exist.',
  'Message.NotFound': '"gantry messages INSTANCE TOPIC" shows those that are stored.',
  'InstanceStatus.Error': '"gantry get instance INSTANCE" shows its state and the reason.',
  'QuotaExceeded.Topic': 'Delete a topic, or create an instance of a larger specification.',
  'QuotaExceeded.ConsumerGroup': 'Delete a group, or create an instance of a larger specification.',
  SignatureDoesNotMatch:
    "The key of this command is not the server's: check GANTRY_ACCESS_KEY_ID and GANTRY_ACCESS_KEY_SECRET, and --home.",
  'InvalidAccessKeyId.NotFound':
    "The key of this command is not the server's: check GANTRY_ACCESS_KEY_ID and GANTRY_ACCESS_KEY_SECRET, and --home.",
  InvalidTimeStampExpired: 'The clocks of this machine and of the server differ; set them.',
  NotImplemented: '"gantry call --list" marks what this version does not carry out.',
}

function place(operation: Operation, input: Readonly<Record<string, unknown>>): { path: string; body: string | null } {
  const rest: Record<string, unknown> = { ...input }
  const inPath: Record<string, string> = {}
  const inQuery: Record<string, string> = {}
  for (const parameter of operation.parameters) {
    const value = rest[parameter.name]
    delete rest[parameter.name]
    if (value === undefined) continue
    if (parameter.in === 'path') inPath[parameter.name] = String(value)
    else inQuery[parameter.name] = queryText(parameter.style, value)
  }
  const hasBody = operation.body !== null && (operation.method === 'POST' || operation.method === 'PATCH')
  return { path: requestTarget(fillPath(operation.path, inPath), inQuery), body: hasBody ? JSON.stringify(rest) : null }
}

function queryText(style: Operation['parameters'][number]['style'], value: unknown): string {
  if (typeof value === 'string') return value
  if (style === 'list' && Array.isArray(value)) return value.join(',')
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

function send(
  url: URL,
  method: string,
  target: string,
  headers: Record<string, string>,
  body: string | null,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const bytes = body === null ? null : Buffer.from(body)
    const request = httpRequest(
      {
        host: url.hostname.replace(/^\[|\]$/g, ''),
        port: url.port === '' ? 80 : Number(url.port),
        method,
        path: target,
        headers: { ...headers, ...(bytes === null ? {} : { 'content-length': String(bytes.length) }) },
        timeout: callLimitMs,
        // A connection each: one that is kept may be closed by the server at the moment it is used again.
        agent: false,
      },
      (response) => {
        const chunks: Buffer[] = []
        let size = 0
        response.on('data', (chunk: Buffer) => {
          size += chunk.length
          if (size > replyLimitBytes) response.destroy(new CommandError('The reply is larger than 64 MiB.'))
          else chunks.push(chunk)
        })
        response.once('error', reject)
        response.once('end', () => {
          try {
            resolve({ status: response.statusCode ?? 0, body: JSON.parse(Buffer.concat(chunks).toString('utf8')) })
          } catch {
            reject(
              new UnreachableError(
                `${url.origin} answered HTTP ${response.statusCode} without JSON; is it a Gantry server? Check GANTRY_API_URL and --home.`,
              ),
            )
          }
        })
      },
    )
    request.once('timeout', () =>
      request.destroy(
        new LateError(
          `${url.origin} did not answer within ${callLimitMs / 1000} s. "gantry doctor" may say why; what was asked may still happen.`,
        ),
      ),
    )
    request.once('error', (error: NodeJS.ErrnoException) => {
      reject(error instanceof CommandError ? error : new UnreachableError(unreachableText(url, error)))
    })
    request.end(bytes ?? undefined)
  })
}

function unreachableText({ origin, hostname }: URL, { code, message }: NodeJS.ErrnoException): string {
  switch (code) {
    case 'ECONNREFUSED':
      return `Nobody listens on ${origin}. Start the server with "gantry up".`
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `The host name ${hostname} has no address here; check GANTRY_API_URL.`
    case 'ECONNRESET':
    case 'EPIPE':
      return `${origin} closed the connection before it answered; "gantry doctor" may say why.`
    default:
      return `${origin} cannot be reached (${shown(message)}).`
  }
}
