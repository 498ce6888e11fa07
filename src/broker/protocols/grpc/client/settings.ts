/**
 * The settings a client gets in answer to its own: echoed, with the fields that the server
 * owns filled in. The same oneof case comes back, and always with a back-off strategy.
 *
 * The strategy's shape follows the client's language: the Node.js client understands exponential
 * back-off only — and takes its whole seconds for milliseconds —, the Python client customised
 * back-off only, the others both; producers of every language want exponential.
 */
import * as gen from '../../../../grpc/gen/rocketmq.js'
import { Code } from '../../../../model/codes.ts'
import { BrokerRefusal } from '../../../../model/refusals.ts'
import type { GroupView } from '../../../broker.ts'
import { maxBodyBytes } from '../../../messages/produced-message.ts'
import { secondsAndNanos } from '../../../messages/time.ts'
import { quoted } from '../../../messages/validation.ts'

export const maxReceiveBatch = 32
export const longPollingMs = 20_000
const defaultProducerAttempts = 3

export interface SettingsContext {
  /** `x-mq-language`. */
  readonly language: string | undefined
  /** Where the client can send its metrics. */
  readonly metricsAt: gen.EndpointsInit
  /** The address asks for credentials. */
  readonly authenticated: boolean
}

/** Throws when the settings cannot be answered. */
export function mergeSettings(
  given: gen.Settings,
  group: GroupView | null,
  { language, metricsAt, authenticated }: SettingsContext,
): gen.SettingsInit {
  checkClientProperties(given.clientProperties ?? {})
  const metrics = sendsMetrics(language, authenticated)
  const merged: gen.SettingsInit = { ...given, metric: metrics ? { on: true, endpoints: metricsAt } : { on: false } }
  if (given.publishing != null) {
    return {
      ...merged,
      backoffPolicy: {
        maxAttempts: producerAttempts(given),
        exponentialBackoff: { initial: secondsAndNanos(10), max: secondsAndNanos(1000), multiplier: 2 },
      },
      publishing: { topics: given.publishing.topics ?? [], maxBodySize: maxBodyBytes, validateMessageType: true },
    }
  }
  if (given.subscription != null && group !== null) {
    const node = language === 'HTTP' || given.userAgent?.language === gen.Language.NODE_JS
    return {
      ...merged,
      backoffPolicy: { maxAttempts: group.maxAttempts, ...backoff(group.retryDelaysMs, node) },
      subscription: {
        ...given.subscription,
        fifo: group.orderly,
        receiveBatchSize: maxReceiveBatch,
        longPollingTimeout: secondsAndNanos(longPollingMs),
        liteSubscriptionQuota: group.liteSubscriptionsPerClient,
        maxLiteTopicSize: group.liteTopicNameBytes,
      },
    }
  }
  throw new BrokerRefusal(Code.BAD_REQUEST, 'The settings say neither what is published nor what is subscribed.')
}

/**
 * What the producer was configured with, which every official client sends. Apache's proxy says 3 to all of them (its
 * grpcClientProducerMaxAttempts); Go takes that for its own, so that WithMaxAttempts(1) had no effect, the others keep theirs.
 */
function producerAttempts({ backoffPolicy }: gen.Settings): number {
  const configured = backoffPolicy?.maxAttempts ?? 0
  return configured > 0 ? configured : defaultProducerAttempts
}

/**
 * Java and C# send OTLP with the credentials of every other call; Node.js and Rust send nothing, whatever they are told.
 * Go and C++ speak OpenCensus, which nothing here takes, and would redial in vain; Python sends its metrics without
 * credentials, so it is not asked to where they are needed.
 */
function sendsMetrics(language: string | undefined, authenticated: boolean): boolean {
  if (language === 'GO' || language === 'CPP') return false
  return language !== 'PYTHON' || !authenticated
}

function backoff(
  delaysMs: readonly number[],
  node: boolean,
): Pick<gen.RetryPolicyInit, 'exponentialBackoff' | 'customizedBackoff'> {
  const [first = 1000, second = first] = delaysMs
  if (!node) return { customizedBackoff: { next: delaysMs.map(secondsAndNanos) } }
  // Whole seconds are read as milliseconds there, so milliseconds are sent as whole seconds.
  return {
    exponentialBackoff: {
      initial: { seconds: first, nanos: 0 },
      max: { seconds: delaysMs.at(-1) ?? first, nanos: 0 },
      multiplier: second === first ? 1 : 2,
    },
  }
}

/** Bounds of `Settings.client_properties` as the protocol states them. */
function checkClientProperties(properties: Readonly<Record<string, string>>): void {
  const entries = Object.entries(properties)
  if (entries.length > 32)
    throw invalidProperties(`There are ${entries.length} client properties; at most 32 are allowed.`)
  let bytes = 0
  for (const [key, value] of entries) {
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value)
    if (!/^[a-zA-Z][a-zA-Z0-9_.-]{0,63}$/.test(key)) {
      throw invalidProperties(
        `The client property ${quoted(key)} needs a name of 1 to 64 letters, digits, "_", "." or "-" that starts with a letter.`,
      )
    }
    if (key.startsWith('rocketmq.'))
      throw invalidProperties(`The client property ${quoted(key)} uses the reserved prefix "rocketmq.".`)
    if (value.length > 256)
      throw invalidProperties(
        `The client property ${quoted(key)} has ${value.length} characters; at most 256 are allowed.`,
      )
  }
  if (bytes > 4096) throw invalidProperties(`The client properties have ${bytes} bytes; at most 4096 are allowed.`)
}

const invalidProperties = (message: string): BrokerRefusal => new BrokerRefusal(Code.INVALID_CLIENT_PROPERTIES, message)
