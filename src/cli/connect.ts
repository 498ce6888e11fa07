/**
 * Official RocketMQ clients for commands: the endpoint and the account come from the API, every step has a limit, and
 * what a client throws becomes a sentence with the protocol's code.
 */

import { EventEmitter } from 'node:events'
import { createRequire } from 'node:module'
import { format } from 'node:util'
import type { InstanceId } from '../model/ids.ts'
import { realClock } from '../world/real.ts'
import type { Account } from './accounts.ts'
import { callData, type Target } from './client.ts'
import { CommandError, LateError, UnreachableError } from './errors.ts'
import { shown } from './safe-text.ts'
import type { InstanceShown } from './waiting.ts'

/** Options that every client of rocketmq-client-nodejs takes. */
export interface ClientOptions {
  readonly endpoints: string
  readonly namespace: ''
  readonly logger: object
  readonly requestTimeout: number
  readonly sessionCredentials?: { readonly accessKey: string; readonly accessSecret: string }
}

export interface Connection {
  readonly instanceId: InstanceId
  readonly options: ClientOptions
  /** What the client's library complained about last, for sentences about what did not happen. */
  lastComplaint(): string | null
}

const requestTimeoutMs = 5_000
const startLimitMs = 15_000
const stopLimitMs = 3_000

/** The library, loaded only by the commands that speak to an instance. */
export const clientLibrary = (): any => createRequire(import.meta.url)('rocketmq-client-nodejs')

/**
 * Where and as whom to connect: as the account of this name, or as the default one. Throws `CommandError` when the instance
 * does not run, and when it would not let the account in.
 */
export async function connectionTo(target: Target, instanceId: InstanceId, username?: string): Promise<Connection> {
  const instance = await callData<InstanceShown>(target, 'GetInstance', { instanceId })
  const endpoint = instance.networkInfo?.endpoints.find(({ endpointType }) => endpointType === 'TCP_VPC')
  if (instance.status !== 'RUNNING' || endpoint === undefined) {
    throw new CommandError(
      `Instance ${shown(instanceId)} is ${shown(instance.status)}; clients connect to one that is RUNNING. "gantry get instance ${shown(instanceId)}" shows why.`,
    )
  }
  return connectionAt(instanceId, endpoint.endpointUrl, await accountFor(target, instance, username))
}

/** Its password comes from the API, so that none stands in a command line. */
async function accountFor(target: Target, instance: InstanceShown, username?: string): Promise<Account | null> {
  const { instanceId, aclInfo } = instance
  if (username === undefined && aclInfo?.defaultVpcAuthFree === true) return null
  const another = `name one with --username; "gantry accounts ${shown(instanceId)}" shows them`
  if (username === undefined && aclInfo?.aclTypes?.includes('default') === false)
    throw new CommandError(
      `Instance ${shown(instanceId)} lets in accounts with grants only (its aclTypes are ${shown(aclInfo.aclTypes.join(', '))}): ${another}.`,
    )
  const named = username === undefined ? {} : { username }
  const account = await callData<Account>(target, 'GetInstanceAccount', { instanceId, ...named })
  if (account.accountStatus === 'DISABLE')
    throw new CommandError(
      `The account ${shown(account.username)} is disabled: enable it ("gantry call UpdateInstanceAccount --instanceId ${shown(instanceId)} --username ${shown(account.username)} --accountStatus ENABLE"), or ${another}.`,
    )
  return account
}

export function connectionAt(instanceId: InstanceId, endpoint: string, account: Account | null): Connection {
  let complaint: string | null = null
  const note = (...args: unknown[]): void => {
    complaint = format(...args)
  }
  return {
    instanceId,
    options: {
      endpoints: endpoint,
      namespace: '',
      requestTimeout: requestTimeoutMs,
      logger: { info() {}, debug() {}, warn: note, error: note },
      ...(account === null
        ? {}
        : { sessionCredentials: { accessKey: account.username, accessSecret: account.password } }),
    },
    lastComplaint: () => complaint,
  }
}

/** Starts a client within its limit. The library itself waits without one for the instance's settings. */
export async function started(client: any, connection: Connection): Promise<void> {
  surviveOldStreams(client)
  try {
    await within(startLimitMs, client.startup(), () => {
      const complaint = connection.lastComplaint()
      const said = complaint === null ? '' : ` The client's library said: ${shown(complaint.slice(0, 500))}`
      return `${connection.options.endpoints} did not let the client in within ${startLimitMs / 1000} s.${said}`
    })
  } catch (error) {
    throw clientError('The client could not start', error)
  }
}

/**
 * The library takes every listener off a telemetry stream that it is done with, and goes on holding the stream. When the
 * instance goes before it has read the end of that stream, the call ends with an error that nobody listens to, and
 * Node ends the process. So such a stream keeps one listener.
 */
function surviveOldStreams(client: any): void {
  const create = client.createTelemetryStream.bind(client)
  client.createTelemetryStream = (endpoints: unknown): EventEmitter => {
    const stream: EventEmitter = create(endpoints)
    const removeAll = stream.removeAllListeners.bind(stream)
    // Without a name, not with an undefined one: Node takes that for the name of an event, and takes nothing off. The
    // library would then hear the end of each stream it let go of and open another, without end.
    stream.removeAllListeners = (...names: []) => {
      removeAll(...names)
      if (names.length === 0) stream.on('error', () => {})
      return stream
    }
    return stream
  }
}

/** Never throws, and never takes long: a command that ends must not wait for a server that does not answer. */
export async function stopped(...clients: readonly any[]): Promise<void> {
  const all = Promise.all(clients.map((client) => shutDown(client)))
  await within(stopLimitMs, all, () => '').catch(() => {})
}

/**
 * The library opens a telemetry stream anew whenever one has ended, also after its shutdown, and its shutdown begins with a
 * goodbye: when that is refused, as to a client that was not let in, it closes nothing. Both would keep a command from
 * ending, so a stopped client gets a stream that goes nowhere, and its channels are closed in any case.
 */
async function shutDown(client: any): Promise<void> {
  client.createTelemetryStream = () => Object.assign(new EventEmitter(), { write() {}, end() {} })
  try {
    await client.shutdown()
  } catch {
    client.rpcClientManager.close()
  }
}

/** The result of `work`, or a `LateError` with the sentence. */
export function within<T>(limitMs: number, work: Promise<T>, sentence: () => string): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = realClock.after(limitMs, () => reject(new LateError(sentence())))
    work.then(resolve, reject).finally(cancel)
  })
}

/** A sentence for what the library threw: the protocol's code by name and number, and what it was about. */
export function clientError(what: string, error: unknown): CommandError {
  if (error instanceof CommandError) return error
  const chain = causes(error)
  for (const each of chain) {
    const refused = /^\[request-id=[^,]*, response-code=(\d+)\] ([\s\S]*)$/.exec(each.message)
    if (refused !== null) {
      const code = Number(refused[1])
      return new CommandError(
        [`${what}: ${codeName(code)} (${code})`, `  ${shown(refused[2]!)}`, ...remedyFor(code)].join('\n'),
      )
    }
  }
  const transport = chain.find(({ details }) => typeof details === 'string')
  if (transport !== undefined) {
    const text = `${what}: ${shown(String(transport.details))}`
    if (transport.code === 4) return new LateError(`${text}. The instance did not answer in time; try again.`)
    return new UnreachableError(`${text}. "gantry get instance INSTANCE" shows whether it runs, and where.`)
  }
  return new CommandError(`${what}: ${shown(chain.at(-1)?.message ?? String(error))}`)
}

interface ErrorLike {
  readonly message: string
  readonly code?: unknown
  readonly details?: unknown
}

function causes(error: unknown): ErrorLike[] {
  const chain: ErrorLike[] = []
  for (let next = error; next instanceof Error && chain.length < 8; next = next.cause) chain.push(next)
  return chain
}

function codeName(code: number): string {
  const { Code } = createRequire(import.meta.url)('rocketmq-client-nodejs/proto/apache/rocketmq/v2/definition_pb') as {
    Code: Readonly<Record<string, number>>
  }
  return Object.entries(Code).find(([, number]) => number === code)?.[0] ?? 'refused'
}

const unauthorized = 40100
const topicNotFound = 40402
const groupNotFound = 40403
const tooManyRequests = 42900

function remedyFor(code: number): string[] {
  switch (code) {
    case unauthorized:
      return ['  "gantry accounts INSTANCE --show-password" shows with which account clients connect.']
    case topicNotFound:
      return ['  "gantry list topics INSTANCE" shows those that exist.']
    case groupNotFound:
      return ['  "gantry create group INSTANCE GROUP" creates it.']
    case tooManyRequests:
      return ['  The instance gives what its specification allows; try again in a moment.']
    default:
      return []
  }
}
