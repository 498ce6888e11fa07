/**
 * Telemetry: the stream on which a client sends its settings and gets the server's, and on which the broker
 * sends its questions (verify a message, print threads, decide a transaction) and gets the answers.
 *
 * Every `settings` is answered, with status OK, and the stream stays open. Credentials that fail are
 * told in a command and the stream ends; invalid settings end it with INVALID_ARGUMENT.
 */

import { hash } from 'node:crypto'
import * as gen from '../../../../grpc/gen/rocketmq.js'
import { type BidiCall, RpcError, Status } from '../../../../grpc/transport.ts'
import { Code } from '../../../../model/codes.ts'
import type { ConsumerGroupId, TopicName } from '../../../../model/ids.ts'
import { BrokerRefusal } from '../../../../model/refusals.ts'
import type { Broker, GroupView } from '../../../broker.ts'
import { type BrokerEndpoint, refuseWhenStopped } from '../../../calls/endpoint.ts'
import { OngoingCall } from '../../../calls/ongoing-call.ts'
import { checkClientOwner, checkUses } from '../../../calls/permission.ts'
import { statusOf, statusOfError } from '../../../calls/status.ts'
import type { WireCall } from '../../../calls/wire-call.ts'
import type { ClientCommand, ClientStream } from '../../../clients/client-streams.ts'
import { durationMs } from '../../../messages/time.ts'
import { checkGroupName, checkNamespace, checkTopicName } from '../../../messages/validation.ts'
import { usesOfSettings } from '../authorization.ts'
import { openCall } from '../call.ts'
import { answerIn, telemetryCommandOf } from './commands.ts'
import { endpointsFor } from './route.ts'
import { mergeSettings } from './settings.ts'
import { SettingsAgain } from './settings-resend.ts'

type TelemetryCall = BidiCall<BrokerEndpoint, gen.TelemetryCommand, gen.TelemetryCommandInit>

const maxTopics = 4096
/** Addresses of one access point; clients resolve a name to a few. */
const maxAddresses = 64
/** Pauses of a customised back-off; clients echo those of a group, which are at most a few dozen. */
const maxPauses = 1024

export async function telemetry(call: TelemetryCall): Promise<void> {
  let wire: WireCall<'consuming' | 'lite'>
  try {
    wire = openCall(call)
    checkClientOwner(wire)
  } catch (error) {
    call.write({ status: statusOfError(error, call.context.report) })
    return
  }
  const { clients } = wire.endpoint
  const ongoing = new OngoingCall(wire, () => [])
  const stream = new Stream(call, wire, ongoing)
  clients.streamOpened(wire.clientId, stream)
  try {
    await Promise.race([listen(call, wire, { stream, ongoing }), refused(ongoing)])
  } catch (error) {
    if (call.signal.aborted) return
    if (!(error instanceof BrokerRefusal)) throw error
    call.write({ status: statusOfError(error, call.context.report) })
  } finally {
    ongoing.end()
    stream.close()
    clients.streamClosed(wire.clientId, stream, call.connection.closed)
  }
}

async function listen(
  call: TelemetryCall,
  wire: WireCall<'consuming' | 'lite'>,
  { stream, ongoing }: { readonly stream: Stream; readonly ongoing: OngoingCall },
): Promise<void> {
  const { clients } = wire.endpoint
  for await (const command of call.requests) {
    // One may be waiting when the stream is ended.
    ongoing.check()
    refuseWhenStopped(wire.endpoint)
    checkClientOwner(wire)
    clients.alive(wire.clientId)
    if (command.settings !== null) {
      stream.answer(command.settings)
      continue
    }
    const said = answerIn(command)
    if (said !== null) clients.answered(wire.clientId, said.nonce, said.answer)
  }
}

/** Rejects when a change of its account, or of what that may do, ends the stream. */
function refused(ongoing: OngoingCall): Promise<never> {
  return new Promise((_resolve, reject) => {
    ongoing.onRefused = reject
  })
}

class Stream implements ClientStream {
  readonly userName: string | null
  readonly connectionId: number
  readonly #call: TelemetryCall
  readonly #wire: WireCall<'consuming' | 'lite'>
  readonly #ongoing: OngoingCall
  /** Digest of what it was told last. */
  #lastSent = ''
  /** Null for clients that take settings whenever they come. */
  readonly #again: SettingsAgain | null

  constructor(call: TelemetryCall, wire: WireCall<'consuming' | 'lite'>, ongoing: OngoingCall) {
    this.#call = call
    this.#wire = wire
    this.#ongoing = ongoing
    this.userName = wire.userName
    this.connectionId = wire.connectionId
    this.#again = wire.language === 'HTTP' ? new SettingsAgain(wire.endpoint.clock, () => this.#repeat()) : null
  }

  write(command: ClientCommand): boolean {
    return this.#call.write(telemetryCommandOf(command))
  }

  drained(): Promise<void> {
    return this.#call.drained()
  }

  answer(settings: gen.Settings): void {
    const { clients } = this.#wire.endpoint
    const { userName } = this
    const { clientId, language, version } = this.#wire
    try {
      const { topics, group, namespace } = declared(settings)
      const uses = usesOfSettings(settings)
      checkUses(this.#wire, uses)
      this.#ongoing.uses = () => uses
      const merged = this.#merged(settings, group)
      clients.settings.keep(this, gen.Settings.encode(settings).finish())
      this.#noteSent(merged)
      this.#call.write({ status: statusOf(Code.OK), settings: merged })
      const address = this.#call.connection.remoteAddress
      const requestTimeoutMs = settings.requestTimeout === null ? null : durationMs(settings.requestTimeout)
      clients.register({ clientId, language, version, userName, group, topics, namespace, address, requestTimeoutMs })
    } catch (error) {
      if (!(error instanceof BrokerRefusal)) throw error
      // The stream ends as Apache's does; the command before it lets a client (Node) fail its start with the reason
      // instead of waiting for ever.
      this.#call.write({ status: statusOfError(error, this.#call.context.report) })
      throw new RpcError(
        error.code === Code.FORBIDDEN ? Status.PERMISSION_DENIED : Status.INVALID_ARGUMENT,
        error.message,
      )
    }
  }

  refresh(): void {
    const given = this.#given()
    if (given === null || this.#call.signal.aborted) return
    try {
      const merged = this.#merged(given, given.subscription?.group?.name ?? null)
      const before = this.#lastSent
      this.#noteSent(merged)
      if (this.#lastSent !== before) this.#call.write({ status: statusOf(Code.OK), settings: merged })
    } catch (error) {
      this.#unanswered(error)
    }
  }

  routeAsked(): void {
    this.#again?.routeAsked()
  }

  close(): void {
    this.#again?.close()
    this.#wire.endpoint.clients.settings.forget(this)
  }

  /** What the client said last, to be answered anew when its group changes. */
  #given(): gen.Settings | null {
    const kept = this.#wire.endpoint.clients.settings.of(this)
    return kept && gen.Settings.decode(kept)
  }

  #repeat(): void {
    const given = this.#given()
    if (given === null || this.#call.signal.aborted || declared(given).topics.length < 2) return
    try {
      const merged = this.#merged(given, given.subscription?.group?.name ?? null)
      this.#noteSent(merged)
      this.#call.write({ status: statusOf(Code.OK), settings: merged })
    } catch (error) {
      this.#unanswered(error)
    }
  }

  /** A group that was deleted has no settings; its client gets the reason with its next receive. */
  #unanswered(error: unknown): void {
    if (!(error instanceof BrokerRefusal)) this.#wire.endpoint.report(error)
  }

  #merged(settings: gen.Settings, group: ConsumerGroupId | null): gen.SettingsInit {
    const { endpoint, language } = this.#wire
    return mergeSettings(settings, group === null ? null : groupOf(endpoint.broker, settings, group), {
      language,
      // The access point itself takes metrics; clients dial it as they dial the rest.
      metricsAt: endpointsFor(settings.accessPoint, this.#call.connection),
      authenticated: endpoint.authenticator !== null,
    })
  }

  #noteSent(merged: gen.SettingsInit): void {
    this.#lastSent = hash('sha1', gen.Settings.encode(merged).finish(), 'hex')
  }
}

/** A lite consumer needs a group that somebody created, so it makes none that would only take a place. */
function groupOf(
  broker: Pick<Broker, 'consuming' | 'lite'>,
  { clientType }: gen.Settings,
  group: ConsumerGroupId,
): GroupView {
  const isLite = clientType === gen.ClientType.LITE_PUSH_CONSUMER || clientType === gen.ClientType.LITE_SIMPLE_CONSUMER
  return isLite ? broker.lite.group(group) : broker.consuming.useGroup(group)
}

function declared(settings: gen.Settings): { topics: TopicName[]; group: ConsumerGroupId | null; namespace: string } {
  const resources =
    settings.publishing?.topics ?? settings.subscription?.subscriptions.map((entry) => entry.topic) ?? []
  if (resources.length > maxTopics) {
    throw new BrokerRefusal(
      Code.BAD_REQUEST,
      `The settings name ${resources.length} topics; at most ${maxTopics} are allowed.`,
    )
  }
  const addresses = settings.accessPoint?.addresses.length ?? 0
  if (addresses > maxAddresses) {
    throw new BrokerRefusal(
      Code.BAD_REQUEST,
      `The access point of the settings has ${addresses} addresses; at most ${maxAddresses} are allowed.`,
    )
  }
  const pauses = settings.backoffPolicy?.customizedBackoff?.next.length ?? 0
  if (pauses > maxPauses) {
    throw new BrokerRefusal(
      Code.BAD_REQUEST,
      `The back-off policy of the settings has ${pauses} pauses; at most ${maxPauses} are allowed.`,
    )
  }
  const topics = resources.map((topic) => topic?.name ?? '')
  for (const topic of topics) checkTopicName(topic)
  for (const resource of resources) checkNamespace(resource?.resourceNamespace ?? '')
  const namespace = resources[0]?.resourceNamespace ?? ''
  if (settings.subscription === null) return { topics, group: null, namespace }
  const group = settings.subscription.group?.name ?? ''
  checkGroupName(group)
  return { topics, group, namespace }
}
