/**
 * A protocol of one line a request, to show that a second one needs nothing of gRPC's: everything here comes from the gateway,
 * the broker's roles, and what all protocols share (`src/broker/messages`, `clients`, `calls`).
 *
 * `LINE <user or -> <signature> <JSON>\n` is answered with a line of JSON. The signature is the HMAC-SHA1 of the JSON, in hex:
 * it is another one for each request, so a call is let in once its request is here.
 */
import { createHmac } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { Broker, Delivery } from '../../src/broker/broker.ts'
import { type BrokerEndpoint, checkClientId, checkInstance, refuse } from '../../src/broker/calls/endpoint.ts'
import { OngoingCall } from '../../src/broker/calls/ongoing-call.ts'
import { authorize } from '../../src/broker/calls/permission.ts'
import { budgetOf } from '../../src/broker/calls/receive-memory.ts'
import { type Status, statusOf, statusOfError } from '../../src/broker/calls/status.ts'
import type { WireCall } from '../../src/broker/calls/wire-call.ts'
import type { ClientCommand, ClientStream } from '../../src/broker/clients/client-streams.ts'
import { filterOf } from '../../src/broker/messages/filter.ts'
import { checkMessage, checkType, noProperties, toOutgoing } from '../../src/broker/messages/produced-message.ts'
import { decodeStored } from '../../src/broker/messages/stored-message.ts'
import { checkGroupName, checkTopicName } from '../../src/broker/messages/validation.ts'
import type { Credentials } from '../../src/gateway/authenticate.ts'
import { admit, denyCredentials } from '../../src/gateway/endpoint.ts'
import type { Use } from '../../src/gateway/grants.ts'
import type { Protocol, Recognition, ServedConnection, ServingConnection } from '../../src/gateway/protocol.ts'
import type { Cancellation } from '../../src/model/cancellation.ts'
import { Code } from '../../src/model/codes.ts'
import { BrokerRefusal } from '../../src/model/refusals.ts'

export interface LineRequest {
  readonly op: 'register' | 'send' | 'receive' | 'ack'
  readonly clientId: string
  readonly topic: string
  readonly namespace?: string
  readonly group?: string
  readonly body?: string
  readonly tag?: string | null
  readonly messageId?: string
  readonly handle?: string
  readonly waitMs?: number
}

export interface LineAnswer {
  readonly status: Status
  readonly messages?: readonly { readonly body: string; readonly tag: string | null; readonly handle: string }[]
  readonly messageId?: string
  /** Said by the broker, and no answer. */
  readonly command?: ClientCommand
}

export const lineOf = (request: LineRequest, by: { username: string; secret: string } | null): string => {
  const json = JSON.stringify(request)
  return by === null
    ? `LINE - - ${json}\n`
    : `LINE ${by.username} ${createHmac('sha1', by.secret).update(json).digest('hex')} ${json}\n`
}

const beginning = 'LINE '
const openCallBytes = 1024
const invisibleMs = 30_000

export class LineProtocol implements Protocol<BrokerEndpoint> {
  readonly name = 'lines'
  readonly alpn = []

  recognise(first: Buffer): Recognition {
    const text = first.toString('latin1', 0, beginning.length)
    return text === beginning ? 'yes' : beginning.startsWith(text) ? 'more' : 'no'
  }

  serve(socket: Duplex, connection: ServingConnection<BrokerEndpoint>): ServedConnection {
    return new LineConnection(socket, connection)
  }
}

class LineConnection implements ServedConnection {
  readonly #socket: Duplex
  readonly #connection: ServingConnection<BrokerEndpoint>
  readonly #ended = new AbortController()
  /** Counted by `hold`. */
  #unread = ''
  /** Not answered yet. */
  #calls = 0
  #draining = false
  #stream: { readonly clientId: string; readonly stream: ClientStream } | null = null

  constructor(socket: Duplex, connection: ServingConnection<BrokerEndpoint>) {
    this.#socket = socket
    this.#connection = connection
    connection.established()
    socket.setEncoding('utf8').on('data', (text: string) => this.#onText(text))
    socket.on('error', () => {})
    socket.on('close', () => this.#onClose())
    socket.resume()
  }

  sweep(): void {}
  drain(): void {
    this.#draining = true
    if (this.#calls === 0) this.#socket.end()
  }
  endCalls(): void {
    this.#ended.abort()
  }
  giveWay(): boolean {
    return false
  }
  endOneCall(): boolean {
    return false
  }
  destroy(): void {
    this.#socket.destroy()
  }

  #onText(text: string): void {
    if (!this.#connection.hold(text.length)) {
      this.#socket.destroy()
      return
    }
    this.#unread += text
    for (let end = this.#unread.indexOf('\n'); end >= 0; end = this.#unread.indexOf('\n')) {
      const line = this.#unread.slice(0, end)
      this.#unread = this.#unread.slice(end + 1)
      if (this.#draining) return
      this.#calls++
      void this.#onLine(line).finally(() => this.#answered(line))
    }
  }

  #answered(line: string): void {
    this.#calls--
    this.#connection.release(line.length + 1)
    if (this.#draining && this.#calls === 0) this.#socket.end()
  }

  #onClose(): void {
    this.#ended.abort()
    const { context } = this.#connection
    if (this.#stream !== null) context.clients.streamClosed(this.#stream.clientId, this.#stream.stream, true)
  }

  async #onLine(line: string): Promise<void> {
    const connection = this.#connection
    const { context } = connection
    let answer: LineAnswer
    try {
      const { credentials, request } = read(line)
      refuse(admit(context, connection, credentials))
      checkClientId(request.clientId)
      checkInstance(context, request.namespace ?? '')
      const call = new LineCall(connection, request.clientId, { credentials, signal: this.#ended.signal })
      authorize(call, usesOf, request)
      answer = await this.#carryOut(call, request)
    } catch (error) {
      answer = { status: statusOfError(error, context.report) }
      connection.refused()
    }
    const { refusalDelayMs } = connection
    if (refusalDelayMs > 0) await new Promise<void>((resolve) => void context.clock.after(refusalDelayMs, resolve))
    this.#say(answer)
  }

  #say(answer: LineAnswer): void {
    if (this.#socket.writable) this.#socket.write(`${JSON.stringify(answer)}\n`)
  }

  async #carryOut(call: WireCall<keyof Broker>, request: LineRequest): Promise<LineAnswer> {
    call.endpoint.clients.alive(call.clientId)
    checkTopicName(request.topic)
    switch (request.op) {
      case 'register':
        return this.#register(call, request)
      case 'send':
        return send(call, request)
      case 'receive':
        return this.#receive(call, request)
      case 'ack':
        return acknowledge(call, request)
    }
  }

  #register(call: WireCall, { topic, group }: LineRequest): LineAnswer {
    const { clients } = call.endpoint
    const { clientId, userName, address, connectionId, language, version } = call
    const stream: ClientStream = {
      ...{ userName, connectionId },
      write: (command) => {
        this.#say({ status: statusOf(Code.OK), command })
        return true
      },
      drained: async () => {},
      refresh: () => {},
      routeAsked: () => {},
    }
    this.#stream = { clientId, stream }
    clients.streamOpened(clientId, stream)
    clients.register({ clientId, language, version, userName, group: group ?? null, topics: [topic], address })
    return { status: statusOf(Code.OK) }
  }

  async #receive(call: WireCall<'consuming'>, request: LineRequest): Promise<LineAnswer> {
    const connection = this.#connection
    if (!connection.callOpened(openCallBytes))
      throw new BrokerRefusal(Code.TOO_MANY_REQUESTS, 'Too many calls are open.')
    const ongoing = new OngoingCall(call, () => usesOf(request))
    const budget = budgetOf({
      ...{ connection, context: call.endpoint },
      whenClosed: (task) => void this.#socket.once('close', task),
      reset: () => this.#socket.destroy(),
    })
    try {
      const deliveries = await receive(call, request, { ongoing, budget })
      ongoing.check()
      const { bandwidth } = call.endpoint
      for (const { payload } of deliveries) if (bandwidth.limited) await bandwidth.take(payload.byteLength, ongoing)
      return { status: statusOf(Code.OK), messages: deliveries.map(shown) }
    } finally {
      ongoing.end()
      connection.callEnded(openCallBytes)
    }
  }
}

class LineCall implements WireCall<keyof Broker> {
  readonly endpoint: BrokerEndpoint
  readonly clientId: string
  readonly language = undefined
  readonly version = undefined
  readonly credentials: Credentials
  readonly userName: string | null
  readonly address: string
  readonly connectionId: number
  readonly storeHost: string
  readonly signal: Cancellation

  constructor(
    connection: ServingConnection<BrokerEndpoint>,
    clientId: string,
    { credentials, signal }: { readonly credentials: Credentials; readonly signal: Cancellation },
  ) {
    this.endpoint = connection.context
    this.clientId = clientId
    this.credentials = credentials
    this.userName = this.endpoint.authenticator?.userNameOf(credentials) ?? null
    this.address = connection.remoteAddress
    this.connectionId = connection.id
    this.storeHost = `${connection.localAddress}:${connection.localPort}`
    this.signal = signal
  }

  remainingMs(): number {
    return Number.POSITIVE_INFINITY
  }
  now(): number {
    return this.endpoint.clock.now()
  }
  checkCaller(): void {
    refuse(denyCredentials(this.endpoint, this.credentials))
  }
}

function read(line: string): { readonly credentials: Credentials; readonly request: LineRequest } {
  const [, user = '', signature = ''] = line.split(' ', 3)
  const json = line.slice(`LINE ${user} ${signature} `.length)
  const credentials: Credentials = {
    text: user === '-' ? '' : null,
    claim: () => ({
      username: user,
      signed: json,
      signature: Buffer.from(signature, 'hex'),
      goodAt: () => ({ until: Number.POSITIVE_INFINITY }),
    }),
  }
  return { credentials, request: JSON.parse(json) as LineRequest }
}

function usesOf({ op, topic, group }: LineRequest): readonly Use[] {
  const ofTopic: Use = { resourceType: 'Topic', resourceName: topic, action: group === undefined ? 'Pub' : 'Sub' }
  if (group === undefined || op === 'send') return [ofTopic]
  return [ofTopic, { resourceType: 'Group', resourceName: group, action: 'Sub' }]
}

async function send(
  call: WireCall<'metadata' | 'producing'>,
  { topic: topicName, body = '', tag = null, messageId = '' }: LineRequest,
): Promise<LineAnswer> {
  const { broker, inbound } = call.endpoint
  const at = call.now()
  const message = {
    systemProperties: { ...noProperties, messageId, tag },
    userProperties: {},
    body: Buffer.from(body),
  }
  checkMessage(message, at, broker.metadata.maxDelayMs)
  const topic = broker.metadata.topic(topicName)
  if (topic === null) throw new BrokerRefusal(Code.TOPIC_NOT_FOUND, `There is no topic ${topicName}.`)
  checkType(message, topic)
  if (inbound.limited) await inbound.take(message.body.length, call.signal)
  const [receipt] = await broker.producing.send({
    topic: topicName,
    messages: [toOutgoing(message, topic, call, at)],
    clientId: call.clientId,
  })
  return { status: statusOf(Code.OK), messageId: receipt!.messageId }
}

function receive(
  call: WireCall<'consuming'>,
  { topic, group = '', tag = null, waitMs = 0 }: LineRequest,
  { ongoing, budget }: { readonly ongoing: OngoingCall; readonly budget: ReturnType<typeof budgetOf> },
): Promise<Delivery[]> {
  checkGroupName(group)
  const { consuming } = call.endpoint.broker
  consuming.useGroup(group)
  const { clientId, userName } = call
  const filter = filterOf('tag', tag ?? '*', call.endpoint.clients)
  return consuming.receive(
    { ...{ topic, group, filter, max: 32, waitMs, invisibleMs, autoRenew: false, clientId, userName, budget } },
    ongoing,
  )
}

async function acknowledge(call: WireCall<'consuming'>, request: LineRequest): Promise<LineAnswer> {
  const { topic, group = '', handle = '' } = request
  const { clientId } = call
  const [ended] = await call.endpoint.broker.consuming.ack({ topic, group, handles: [handle], clientId })
  return { status: statusOf(ended!.outcome === 'done' ? Code.OK : Code.INVALID_RECEIPT_HANDLE) }
}

function shown({ payload, handle }: Delivery) {
  const { body, systemProperties } = decodeStored(payload)
  return { body: Buffer.from(body).toString(), tag: systemProperties.tag, handle }
}
