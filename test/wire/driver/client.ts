/**
 * One client of a language, driven by hand: it dials, says its headers, signs, and asks for what that language's client
 * asks for. It does nothing by itself; `demands.ts` judges the answers as the real client's code would.
 */
import { createHmac, hash, randomUUID } from 'node:crypto'
import * as gen from '../../../src/grpc/gen/rocketmq.js'
import type { Clock } from '../../../src/world/world.ts'
import { crc32 } from './crc32.ts'
import { Line, type Outcome, type RawCall } from './line.ts'
import { type Language, type Personality, type Poll, personalities } from './personalities.ts'

export interface Credentials {
  readonly username: string
  readonly secret: string
}

export interface ClientOptions {
  readonly port: number
  readonly tls: boolean
  readonly clock: Clock
  readonly credentials?: Credentials | null
  readonly clientId?: string
  readonly servername?: string
  /** Headers that replace the client's own; undefined leaves one out. */
  readonly headers?: Readonly<Record<string, string | undefined>>
}

export interface Answer<Reply> {
  readonly reply: Reply | null
  readonly outcome: Outcome
}

export interface Polled {
  /** What arrived, in order, by the name of the oneof's case. */
  readonly order: readonly string[]
  readonly status: gen.Status | null
  readonly messages: readonly gen.Message[]
  readonly messageBytes: readonly number[]
  readonly deliveryTimestamp: gen.Timestamp | null
  readonly outcome: Outcome
}

const namespace = 'MQ_INST_driver'
const methods = gen.MessagingService.methods
type MethodName = keyof typeof methods

let clients = 0

export class DriverClient {
  readonly personality: Personality
  readonly clientId: string
  readonly line: Line
  readonly #options: ClientOptions
  #sent = 0

  private constructor(personality: Personality, line: Line, options: ClientOptions) {
    this.personality = personality
    this.line = line
    this.#options = options
    this.clientId = options.clientId ?? `host@${process.pid}@${clients}@${(clients++).toString(36)}`
  }

  static async dial(language: Language, options: ClientOptions): Promise<DriverClient> {
    const personality = personalities[language]
    const line = await Line.open({
      port: options.port,
      tls: options.tls
        ? { alpn: personality.alpn, ...(options.servername && { servername: options.servername }) }
        : null,
      settings: personality.settings,
      windowBytes: personality.windowBytes,
    })
    return new DriverClient(personality, line, options)
  }

  headers(rpc: string, timeoutMs: number | null): Record<string, string> {
    const { personality } = this
    const { clock, credentials = null } = this.#options
    const date = dateText(personality.date, clock.now())
    const [protocolHeader, protocol] = personality.protocol
    const named =
      personality.namespaceHeader === 'always' ||
      (personality.namespaceHeader === 'not on QueryRoute' && rpc !== 'QueryRoute')
    const headers: Record<string, string | undefined> = {
      te: 'trailers',
      'content-type': 'application/grpc',
      'user-agent': personality.userAgent,
      ...(timeoutMs !== null && { 'grpc-timeout': personality.timeout(timeoutMs) }),
      ...personality.library,
      'x-mq-client-id': this.clientId,
      'x-mq-language': personality.languageHeader,
      'x-mq-client-version': personality.version,
      [protocolHeader]: protocol,
      'x-mq-request-id': randomUUID(),
      'x-mq-date-time': date,
      ...(named && { 'x-mq-namespace': namespace }),
      ...this.#authorization(date, credentials),
      ...this.#options.headers,
    }
    return Object.fromEntries(
      Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined),
    )
  }

  #authorization(date: string, credentials: Credentials | null): Record<string, string> {
    const { hex, credentialSuffix, signsWithoutCredentials } = this.personality
    if (credentials === null && !signsWithoutCredentials) return {}
    const { username, secret } = credentials ?? { username: '', secret: '' }
    const digest = createHmac('sha1', secret).update(date).digest('hex')
    const signature = hex === 'upper' ? digest.toUpperCase() : digest
    const credential = `${username}${credentialSuffix}`
    return {
      authorization: `MQv2-HMAC-SHA1 Credential=${credential}, SignedHeaders=x-mq-date-time, Signature=${signature}`,
    }
  }

  open(name: MethodName, timeoutMs: number | null): RawCall {
    const { path } = methods[name]
    return this.line.call(path, this.headers(path.slice(path.lastIndexOf('/') + 1), timeoutMs))
  }

  async unary(name: MethodName, request: object, timeoutMs: number | null = 3000): Promise<Answer<any>> {
    const method = methods[name]
    const call = this.open(name, timeoutMs)
    call.send((method.request as { encode(message: object): { finish(): Uint8Array } }).encode(request).finish())
    call.end()
    const bytes = await call.next()
    const outcome = await call.ended
    return { reply: bytes === null ? null : method.response.decode(bytes), outcome }
  }

  /** The reply of a call that must end with gRPC OK. */
  async ask(name: MethodName, request: object, timeoutMs?: number | null): Promise<any> {
    const { reply, outcome } = await this.unary(name, request, timeoutMs)
    if (reply === null || outcome.grpcStatus !== 0) {
      throw new Error(`${name} ended with gRPC status ${outcome.grpcStatus}: ${outcome.grpcMessage}`)
    }
    return reply
  }

  resource(name: string): gen.ResourceInit {
    return { resourceNamespace: namespace, name }
  }

  get endpoints(): gen.EndpointsInit {
    return { scheme: 1, addresses: [{ host: '127.0.0.1', port: this.#options.port }] }
  }

  queryRoute(topic: string): Promise<gen.QueryRouteResponse> {
    return this.ask('queryRoute', { topic: this.resource(topic), endpoints: this.endpoints })
  }

  queryAssignment(topic: string, group: string): Promise<gen.QueryAssignmentResponse> {
    return this.ask('queryAssignment', {
      topic: this.resource(topic),
      group: this.resource(group),
      endpoints: this.endpoints,
    })
  }

  heartbeat(group: string | null, clientType: number): Promise<gen.HeartbeatResponse> {
    return this.ask('heartbeat', { ...(group !== null && { group: this.resource(group) }), clientType })
  }

  producerSettings(topics: readonly string[]): gen.SettingsInit {
    return {
      clientType: gen.ClientType.PRODUCER,
      ...this.#settings(),
      publishing: { topics: topics.map((topic) => this.resource(topic)) },
    }
  }

  consumerSettings(
    group: string,
    filters: Readonly<Record<string, string>>,
    clientType: number = gen.ClientType.PUSH_CONSUMER,
  ): gen.SettingsInit {
    return {
      clientType,
      ...this.#settings(),
      subscription: {
        group: this.resource(group),
        subscriptions: Object.entries(filters).map(([topic, expression]) => ({
          topic: this.resource(topic),
          expression: { type: gen.FilterType.TAG, expression },
        })),
      },
    }
  }

  #settings(): gen.SettingsInit {
    const { languageNumber, version } = this.personality
    return {
      accessPoint: this.endpoints,
      requestTimeout: { seconds: 3, nanos: 0 },
      userAgent: { language: languageNumber, version, platform: 'Linux', hostname: 'host' },
    }
  }

  /** Opens the telemetry stream and says `settings`, if any. C++ gives the stream a deadline of an hour (1.12). */
  telemetry(settings?: gen.SettingsInit): Telemetry {
    const telemetry = new Telemetry(this.open('telemetry', this.personality.language === 'cpp' ? 3_600_000 : null))
    if (settings) telemetry.say({ settings })
    return telemetry
  }

  message(topic: string, text: string | Uint8Array, more: Partial<gen.SystemPropertiesInit> = {}): gen.MessageInit {
    const body = Buffer.from(text as Uint8Array)
    const { personality } = this
    const sequence = this.#sent++
    return {
      topic: this.resource(topic),
      userProperties: { client: personality.language },
      systemProperties: {
        messageId: messageId(),
        bodyEncoding: gen.Encoding.IDENTITY,
        messageType: gen.MessageType.NORMAL,
        bornTimestamp: { seconds: Math.floor(this.#options.clock.now() / 1000), nanos: 0 },
        bornHost: 'host',
        queueId: personality.queueId(sequence),
        ...(personality.deliveryAttempt !== null && { deliveryAttempt: personality.deliveryAttempt }),
        ...digestOf(personality.digest, body),
        ...more,
      },
      body,
    }
  }

  send(...messages: readonly gen.MessageInit[]): Promise<gen.SendMessageResponse> {
    return this.ask('sendMessage', { messages })
  }

  poll(
    kind: 'push' | 'simple',
    topic: string,
    group: string,
    more: Partial<gen.ReceiveMessageRequestInit> & { deadlineMs?: number | null } = {},
  ): Promise<Polled> {
    const { deadlineMs, ...changed } = more
    const poll = this.personality[kind]
    const request = { ...this.#pollRequest(poll, topic, group), ...changed }
    const call = this.open('receiveMessage', deadlineMs === undefined ? poll.deadlineMs : deadlineMs)
    call.send(gen.ReceiveMessageRequest.encode(request).finish())
    call.end()
    return readPoll(call)
  }

  #pollRequest(poll: Poll, topic: string, group: string): gen.ReceiveMessageRequestInit {
    const queue = this.personality.queueId(this.#sent++)
    return {
      group: this.resource(group),
      messageQueue: {
        topic: this.resource(topic),
        id: queue,
        permission: gen.Permission.READ_WRITE,
        broker: { name: 'broker', id: 0, endpoints: this.endpoints },
      },
      filterExpression: { type: gen.FilterType.TAG, expression: '*' },
      batchSize: 32,
      autoRenew: poll.autoRenew,
      ...(poll.invisibleMs !== null && { invisibleDuration: duration(poll.invisibleMs) }),
      ...(poll.longPollingMs !== null && { longPollingTimeout: duration(poll.longPollingMs) }),
      ...(poll.attemptId && { attemptId: randomUUID() }),
    }
  }

  ack(topic: string, group: string, message: gen.Message): Promise<gen.AckMessageResponse> {
    const { messageId: id, receiptHandle } = message.systemProperties!
    return this.ask('ackMessage', {
      group: this.resource(group),
      topic: this.resource(topic),
      entries: [{ messageId: id, receiptHandle: receiptHandle! }],
    })
  }

  changeInvisible(
    topic: string,
    group: string,
    message: gen.Message,
    invisibleMs: number,
    handle = message.systemProperties!.receiptHandle!,
  ): Promise<gen.ChangeInvisibleDurationResponse> {
    return this.ask('changeInvisibleDuration', {
      group: this.resource(group),
      topic: this.resource(topic),
      receiptHandle: handle,
      invisibleDuration: duration(invisibleMs),
      messageId: message.systemProperties!.messageId,
    })
  }

  /** 1.10: C++ leaves the receipt handle out. */
  deadLetter(topic: string, group: string, message: gen.Message): Promise<gen.ForwardMessageToDeadLetterQueueResponse> {
    const { messageId: id, receiptHandle, deliveryAttempt } = message.systemProperties!
    return this.ask('forwardMessageToDeadLetterQueue', {
      group: this.resource(group),
      topic: this.resource(topic),
      ...(this.personality.language !== 'cpp' && { receiptHandle: receiptHandle! }),
      messageId: id,
      deliveryAttempt: deliveryAttempt ?? 1,
      maxDeliveryAttempts: 16,
    })
  }

  close(): void {
    this.line.close()
  }
}

export class Telemetry {
  readonly call: RawCall
  constructor(call: RawCall) {
    this.call = call
  }

  say(command: gen.TelemetryCommandInit): void {
    this.call.send(gen.TelemetryCommand.encode(command).finish())
  }

  async hear(): Promise<gen.TelemetryCommand | null> {
    const bytes = await this.call.next()
    return bytes === null ? null : gen.TelemetryCommand.decode(bytes)
  }

  end(): Promise<Outcome> {
    this.call.end()
    return this.call.ended
  }
}

export async function readPoll(call: RawCall): Promise<Polled> {
  const polled = {
    order: [] as string[],
    status: null as gen.Status | null,
    messages: [] as gen.Message[],
    messageBytes: [] as number[],
    deliveryTimestamp: null as gen.Timestamp | null,
  }
  for (let bytes = await call.next(); bytes !== null; bytes = await call.next()) {
    const reply = gen.ReceiveMessageResponse.decode(bytes)
    if (reply.status !== null) {
      polled.order.push('status')
      polled.status = reply.status
    } else if (reply.message !== null) {
      polled.order.push('message')
      polled.messages.push(reply.message)
      polled.messageBytes.push(bytes.length)
    } else if (reply.deliveryTimestamp !== null) {
      polled.order.push('time')
      polled.deliveryTimestamp = reply.deliveryTimestamp
    }
  }
  return { ...polled, outcome: await call.ended }
}

export const duration = (ms: number): gen.DurationInit => ({
  seconds: Math.floor(ms / 1000),
  nanos: (ms % 1000) * 1_000_000,
})

/** 3.2: 17 bytes, of which only uniqueness matters here. */
let made = 0
export const messageId = (): string => `01${(made++).toString(16).toUpperCase().padStart(32, '0')}`

export function digestOf(kind: Personality['digest'], body: Uint8Array): { bodyDigest?: gen.DigestInit } {
  switch (kind) {
    case 'none':
      return {}
    case 'CRC32':
      return { bodyDigest: { type: gen.DigestType.CRC32, checksum: crc32(body).toString(16).toUpperCase() } }
    case 'MD5':
      return { bodyDigest: { type: gen.DigestType.MD5, checksum: hash('md5', body, 'hex').toUpperCase() } }
    case 'SHA1':
      return { bodyDigest: { type: gen.DigestType.SHA1, checksum: hash('sha1', body, 'hex').toUpperCase() } }
  }
}

const offsetMs = 8 * 3_600_000

/** `x-mq-date-time` as the client writes it, for a machine in UTC+8. */
function dateText(form: Personality['date'], now: number): string {
  const compact = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`
  switch (form) {
    case 'UTC':
      return compact(now)
    case 'local time with a literal Z':
      return compact(now + offsetMs)
    case 'RFC 3339 with the local offset':
      return new Date(now + offsetMs).toISOString().replace('Z', '456789+08:00')
  }
}
