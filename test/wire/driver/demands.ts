/**
 * What each official client needs of an answer, as its own code would find out: every check throws what would go wrong
 * there. Sections are those of the data-plane reference.
 */
import { hash } from 'node:crypto'
import * as gen from '../../../src/grpc/gen/rocketmq.js'
import type { Polled } from './client.ts'
import { crc32 } from './crc32.ts'
import type { Language, Personality } from './personalities.ts'

function demand(condition: boolean, complaint: string): asserts condition {
  if (!condition) throw new Error(complaint)
}

/** 6.3: which queues a client can use of a route; throws when it would find none. */
export function acceptRoute(
  { language }: Personality,
  route: gen.QueryRouteResponse,
  type: number,
  dialled: { host: string; port: number },
): readonly gen.MessageQueue[] {
  demand(route.status?.code === gen.Code.OK, `${language}: start fails with ${route.status?.code}`)
  const usable = route.messageQueues.filter((queue) => queueIsUsable(language, queue))
  demand(usable.length > 0, `${language}: no writable and readable queue in the route`)
  for (const { broker, acceptMessageTypes } of usable) {
    const { scheme, addresses } = broker!.endpoints!
    demand(scheme === gen.AddressScheme.IPv4, `${language}: the endpoint's scheme is ${scheme}`)
    demand(addresses.length === 1, `${language}: ${addresses.length} addresses for one broker`)
    demand(
      addresses[0]!.host === dialled.host && addresses[0]!.port === dialled.port,
      `${language}: would open another connection, to ${addresses[0]!.host}:${addresses[0]!.port}`,
    )
    demand(acceptMessageTypes.includes(type), `${language}: the queue takes ${acceptMessageTypes}, not type ${type}`)
  }
  return usable
}

function queueIsUsable(language: Language, queue: gen.MessageQueue): boolean {
  const permitted = queue.permission === gen.Permission.READ_WRITE
  switch (language) {
    case 'java':
    case 'go':
    case 'cpp':
    case 'csharp':
      return permitted && queue.broker?.id === 0
    case 'node':
      return permitted && queue.id === 0
    case 'python':
      return permitted && queue.broker !== null
    case 'rust':
      return permitted
  }
}

/** data-plane §0 rows 3 to 5, §1.12, §2: whether the reply lets the client start, and what it makes of the back-off (ms before a second attempt). */
export function acceptSettings(
  { language }: Personality,
  command: gen.TelemetryCommand | null,
  kind: 'publishing' | 'subscription',
): { maxAttempts: number; firstPauseMs: number } {
  demand(command !== null, `${language}: the stream ended before settings came; start-up hangs or fails`)
  const { settings, status } = command
  demand(settings !== null, `${language}: a command without settings; Node rejects its start`)
  if (language === 'python') demand(status?.code === gen.Code.OK, 'python: status.code is not OK')
  if (language === 'node') demand(status === null || status.code === gen.Code.OK, 'node: an error status')
  const other = kind === 'publishing' ? 'subscription' : 'publishing'
  demand(settings[kind] !== null, `${language}: the reply lacks ${kind}`)
  demand(settings[other] === null, `${language}: the reply holds ${other} as well`)
  const policy = settings.backoffPolicy
  demand(policy !== null, `${language}: no backoff_policy`)
  const { exponentialBackoff: exponential, customizedBackoff: customized } = policy
  demand((exponential === null) !== (customized === null), `${language}: not exactly one back-off strategy`)
  // 9.1: Java and Python dial the endpoints they are given; Go and C++ would speak OpenCensus to them.
  demand(settings.metric !== null, `${language}: no metric`)
  demand(
    !settings.metric.on || (settings.metric.endpoints?.addresses.length ?? 0) > 0,
    `${language}: metrics on without an address to send them to`,
  )
  demand(
    !settings.metric.on || (language !== 'go' && language !== 'cpp'),
    `${language}: metrics on without anybody to take them`,
  )
  if (kind === 'publishing') {
    demand(
      exponential !== null,
      `${language}: a producer needs exponential back-off (Go panics, Node asserts, Java throws)`,
    )
    demand(settings.publishing!.maxBodySize > 0, `${language}: no max_body_size`)
    return { maxAttempts: policy.maxAttempts, firstPauseMs: milliseconds(exponential.initial) }
  }
  demand((settings.subscription!.receiveBatchSize ?? 0) > 0, `${language}: no receive_batch_size`)
  demand(milliseconds(settings.subscription!.longPollingTimeout) >= 5000, `${language}: no long_polling_timeout`)
  if (language === 'node') {
    demand(exponential !== null, 'node: no exponential back-off; nack delay 0 and FIFO max attempts 1')
    // It reads whole seconds and uses the number as milliseconds.
    return { maxAttempts: policy.maxAttempts, firstPauseMs: Number(exponential.initial!.seconds) }
  }
  if (language === 'python') {
    demand(customized !== null, 'python: no customized back-off; a constant 1 s')
    return { maxAttempts: policy.maxAttempts, firstPauseMs: Number(customized.next[0]!.seconds) * 1000 }
  }
  return {
    maxAttempts: policy.maxAttempts,
    firstPauseMs: milliseconds(customized === null ? exponential!.initial : customized.next[0]!),
  }
}

/** data-plane §0 row 8, §1.7: a finished poll, whatever it brought. */
export function acceptPoll({ language }: Personality, polled: Polled): void {
  demand(polled.outcome.grpcStatus === 0, `${language}: the poll ended with gRPC status ${polled.outcome.grpcStatus}`)
  demand(polled.order[0] === 'status', `${language}: the stream does not begin with a status`)
  demand(polled.order.at(-1) === 'time', `${language}: the stream does not end with delivery_timestamp`)
  demand(
    polled.order.slice(1, -1).every((each) => each === 'message'),
    `${language}: ${polled.order.join(', ')}`,
  )
  if (polled.messages.length === 0) {
    demand(polled.status!.code !== gen.Code.OK, `${language}: OK without a message (C++ takes it for a bad gateway)`)
  }
}

export function acceptEmptyPoll(personality: Personality, polled: Polled): void {
  acceptPoll(personality, polled)
  demand(polled.status!.code === gen.Code.MESSAGE_NOT_FOUND, `${personality.language}: ${polled.status!.code}`)
  demand(polled.messages.length === 0, `${personality.language}: messages beside MESSAGE_NOT_FOUND`)
}

/** data-plane §0 row 9, §3.4: a delivered message as the client's code takes it apart. */
export function acceptMessage({ language, receiveLimit }: Personality, message: gen.Message, wireBytes: number): void {
  const system = message.systemProperties
  demand(system !== null, `${language}: no system properties`)
  demand(system.messageId !== '', `${language}: no message id`)
  demand(!!system.receiptHandle, `${language}: no receipt handle`)
  demand(system.bornTimestamp !== null, `${language}: no born_timestamp (C# null reference)`)
  demand(
    system.bodyEncoding === gen.Encoding.IDENTITY || system.bodyEncoding === gen.Encoding.GZIP,
    `${language}: body_encoding ${system.bodyEncoding} (Python raises)`,
  )
  demand(system.bodyDigest !== null, `${language}: no body_digest (Node TypeError, C++ null dereference)`)
  demand(
    receiveLimit === null || wireBytes <= receiveLimit,
    `${language}: ${wireBytes} bytes are beyond its receive limit of ${receiveLimit}`,
  )
  demand((system.deliveryAttempt ?? 0) >= 1, `${language}: no delivery attempt`)
  demand(system.queueOffset !== null, `${language}: no queue offset`)
  demand(system.storeTimestamp !== null, `${language}: no store_timestamp`)
  if (language !== 'rust') checkDigest(language, system.bodyDigest, message.body)
}

function checkDigest(language: Language, { type, checksum }: gen.Digest, body: Uint8Array): void {
  const expected = digestText(language, type, body)
  demand(checksum === expected, `${language}: digest ${checksum} is not ${expected}; the message counts as corrupted`)
}

function digestText(language: Language, type: number, body: Uint8Array): string {
  if (type === gen.DigestType.CRC32) {
    return language === 'node' ? String(crc32(body)) : crc32(body).toString(16).toUpperCase().padStart(8, '0')
  }
  demand(type === gen.DigestType.MD5 || type === gen.DigestType.SHA1, `${language}: digest type ${type}`)
  return hash(type === gen.DigestType.MD5 ? 'md5' : 'sha1', body, 'hex').toUpperCase()
}

/** 1.5: what comes back for messages sent. */
export function acceptReceipt(
  { language }: Personality,
  reply: gen.SendMessageResponse,
  sent: readonly gen.MessageInit[],
): void {
  demand(
    reply.status?.code === gen.Code.OK,
    `${language}: send fails with ${reply.status?.code} ${reply.status?.message}`,
  )
  demand(
    reply.entries.length === sent.length,
    `${language}: ${reply.entries.length} entries for ${sent.length} messages`,
  )
  for (const [index, entry] of reply.entries.entries()) {
    demand(entry.status?.code === gen.Code.OK, `${language}: entry ${index} says ${entry.status?.code}`)
    demand(
      entry.messageId === sent[index]!.systemProperties!.messageId,
      `${language}: the message id came back as ${entry.messageId} (Python compares)`,
    )
  }
}

export function milliseconds(duration: { seconds: number; nanos: number } | null | undefined): number {
  return duration == null ? 0 : duration.seconds * 1000 + duration.nanos / 1e6
}
