/**
 * Telemetry: the stream on which a client says what it is and hears its settings.
 *
 * Every `settings` is answered, with status OK, and the stream stays open. Credentials that fail are
 * told in a command and the stream ends; settings that make no sense end it with INVALID_ARGUMENT.
 */
import type * as gen from '../../grpc/gen/rocketmq.js'
import { type BidiCall, RpcError, Status } from '../../grpc/transport.ts'
import { BrokerRefusal } from '../broker.ts'
import { enter, type InstanceDoor, type WireCall } from './call.ts'
import { Code } from './code.ts'
import { checkGroupName, checkTopicName } from './names.ts'
import { mergeSettings } from './settings.ts'
import { statusOf, statusOfError } from './status.ts'

type TelemetryCall = BidiCall<InstanceDoor, gen.TelemetryCommand, gen.TelemetryCommandInit>

const maxTopics = 4096

export async function telemetry(call: TelemetryCall): Promise<void> {
  let wire: WireCall
  try {
    wire = enter(call)
  } catch (error) {
    call.write({ status: statusOfError(error, call.context.report) })
    return
  }
  const { clients } = wire.door
  clients.streamOpened(wire.clientId)
  try {
    for await (const command of call.requests) {
      clients.alive(wire.clientId)
      if (command.settings !== null) answerSettings(call, wire, command.settings)
      // The other commands answer questions this server has not asked.
    }
  } catch (error) {
    if (call.signal.aborted) return
    throw error
  } finally {
    clients.streamClosed(wire.clientId)
  }
}

function answerSettings(call: TelemetryCall, wire: WireCall, settings: gen.Settings): void {
  try {
    const { topics, group } = declared(settings)
    const view = group === null ? null : wire.door.broker.useGroup(group)
    const merged = mergeSettings(settings, view, wire.language)
    wire.door.clients.register({
      clientId: wire.clientId,
      language: wire.language,
      version: wire.version,
      group,
      topics,
    })
    call.write({ status: statusOf(Code.OK), settings: merged })
  } catch (error) {
    if (error instanceof BrokerRefusal) throw new RpcError(Status.INVALID_ARGUMENT, error.message)
    throw error
  }
}

function declared(settings: gen.Settings): { topics: string[]; group: string | null } {
  const resources =
    settings.publishing?.topics ?? settings.subscription?.subscriptions.map((entry) => entry.topic) ?? []
  if (resources.length > maxTopics) {
    throw new BrokerRefusal(
      Code.BAD_REQUEST,
      `The settings name ${resources.length} topics; at most ${maxTopics} are allowed.`,
    )
  }
  const topics = resources.map((topic) => topic?.name ?? '')
  for (const topic of topics) checkTopicName(topic)
  if (settings.subscription === null) return { topics, group: null }
  const group = settings.subscription.group?.name ?? ''
  checkGroupName(group)
  return { topics, group }
}
