/**
 * `gantry receive`: messages of a topic as a consumer of a group gets them, through the official client.
 *
 * A message is acknowledged once it has been written to stdout, or not at all with `--peek`. However the command ends,
 * what it holds without having acknowledged it is made visible again at once.
 */

import type { Settings } from '../config.ts'
import type { ConsumerGroupId, InstanceId, MessageId, TopicName } from '../model/ids.ts'
import { pause, realClock } from '../world/real.ts'
import { duration, instanceIdOf, wholeNumber } from './arguments.ts'
import { callData, callOperation, findTarget, refusalText, type Target } from './client.ts'
import { type ClientOptions, clientError, clientLibrary, connectionTo, started, stopped, within } from './connect.ts'
import { CommandError, exitCodes, Interrupted, LateError, UnreachableError, UsageError } from './errors.ts'
import { liteConsumer } from './lite-consumer.ts'
import { cardText } from './messages.ts'
import { flushed, type OutputOptions, print, printOne, say, step, whenOutputCloses } from './output.ts'
import { dim, shown } from './safe-text.ts'
import { momentText } from './zone.ts'

export interface ReceiveOptions extends OutputOptions {
  readonly group: ConsumerGroupId
  readonly follow?: boolean
  readonly peek?: boolean
  readonly count?: string
  readonly tag?: string
  readonly sql?: string
  readonly liteTopic?: readonly string[]
  readonly invisible: string
  readonly wait: string
  readonly username?: string
}

/** A message as the command shows it. */
export interface ReceivedMessage {
  readonly topicName: TopicName
  readonly messageId: MessageId
  readonly messageTag?: string
  readonly messageKeys: readonly string[]
  readonly messageGroup?: string
  readonly liteTopicName?: string
  readonly userProperties: Readonly<Record<string, string>>
  readonly bornTime?: string
  readonly bornHost?: string
  readonly deliveryTime?: string
  readonly deliveryAttempt?: number
  readonly bodySize: number
  /** The body where it is UTF-8, else its bytes in base64. */
  readonly body?: string
  readonly bodyBase64?: string
}

/** The protocol's bounds: an invisible duration of a receive, and a poll. */
const shortestInvisibleMs = 10_000
const longestInvisibleMs = 12 * 3_600_000
const shortestWaitMs = 5_000
const longestWaitMs = 20_000
const largestBatch = 16
const defaultCount = 16
const handBackLimitMs = 10_000
/** Handed back while a receive waits: not before that receive is gone with the command, or it would be given the messages again. */
const behindReceiveMs = 2_000
const retryLimitMs = 60_000
const retryPauseMs = 500

interface Held {
  readonly message: any
  /** When it becomes visible by itself. */
  readonly untilMs: number
}

export async function receive(
  settings: Settings,
  instance: string,
  topicName: TopicName,
  options: ReceiveOptions,
): Promise<void> {
  const wanted = wantedCount(options)
  const invisibleMs = duration('--invisible', options.invisible, shortestInvisibleMs, longestInvisibleMs)
  const waitMs = duration('--wait', options.wait, shortestWaitMs, longestWaitMs)
  if (options.tag !== undefined && options.sql !== undefined)
    throw new UsageError('--tag and --sql are two kinds of filters; give one of them.')
  const target = findTarget(settings)
  const instanceId = await instanceIdOf(target, instance)
  const { messageType } = await callData<{ messageType: string }>(target, 'GetTopic', { instanceId, topicName })
  const isLite = messageType === 'LITE'
  if (isLite) await refuseOtherLite(target, { instance, instanceId, topicName }, options)
  else if (options.liteTopic !== undefined)
    throw new UsageError(
      `Topic ${shown(topicName)} is a ${shown(messageType)} topic; --lite-topic belongs to LITE topics.`,
    )
  const connection = await connectionTo(target, instanceId, options.username)
  const consumer = isLite
    ? liteConsumer(connection.options, {
        group: options.group,
        topicName,
        liteTopics: options.liteTopic ?? [],
        waitMs,
      })
    : simpleConsumer(connection.options, topicName, options, waitMs)
  const session = new ReceiveSession(consumer, options, { invisibleMs, isLite, zoneMinutes: target.zoneMinutes })
  const interruption = onInterruption(() => session.end())
  try {
    await step(`connect to ${connection.options.endpoints}`, () =>
      Promise.race([started(consumer, connection), interruption.happened]),
    )
    await Promise.race([session.run(wanted), interruption.happened])
    // The session ends by itself once it is to end, perhaps before the interruption is through.
    if (interruption.asked()) await interruption.happened
  } catch (error) {
    throw clientError('The messages were not received', error)
  } finally {
    await session.end()
    await stopped(consumer)
    interruption.leave()
  }
}

function simpleConsumer(client: ClientOptions, topicName: TopicName, options: ReceiveOptions, waitMs: number): any {
  const { SimpleConsumer } = clientLibrary()
  return new SimpleConsumer({
    ...client,
    consumerGroup: options.group,
    subscriptions: new Map([[topicName, filterOf(options)]]),
    awaitDuration: waitMs,
    maxRetryAttempts: 1,
  })
}

/** Refuses what the instance would, with the command that helps: lite topics are read by name, by a group that is bound to their topic. */
async function refuseOtherLite(
  target: Target,
  {
    instance,
    instanceId,
    topicName,
  }: { readonly instance: string; readonly instanceId: InstanceId; readonly topicName: TopicName },
  { group, liteTopic, tag, sql }: ReceiveOptions,
): Promise<void> {
  const topic = shown(topicName)
  if (liteTopic === undefined)
    throw new UsageError(`Topic ${topic} is a LITE topic: say which lite topics to receive with --lite-topic.`)
  if (tag !== undefined || sql !== undefined)
    throw new UsageError(`Topic ${topic} is a LITE topic; its messages are not filtered, give neither --tag nor --sql.`)
  const reply = await callOperation(target, 'GetConsumerGroup', { instanceId, consumerGroupId: group })
  if (reply.status >= 400 && reply.status !== 404)
    throw new CommandError(refusalText('GetConsumerGroup', reply.status, reply.body))
  const bound = reply.status === 404 ? null : (reply.body.data as { messageModel: string; topicName?: TopicName })
  if (bound?.messageModel === 'LITE_SELECTIVE' && bound.topicName === topicName) return
  const what =
    bound === null
      ? 'does not exist'
      : bound.messageModel === 'LITE_SELECTIVE'
        ? `is bound to the LITE topic ${shown(String(bound.topicName))}`
        : 'is a group of other consumers'
  const other = bound === null ? shown(group) : 'OTHER'
  throw new CommandError(
    `Group ${shown(group)} ${what}, and lite topics are received by a group that is bound to their topic. "gantry create group ${shown(instance)} ${other} --lite-of ${topic}" makes one.`,
  )
}

function wantedCount({ count, follow, peek }: ReceiveOptions): number {
  const most = 1_000_000
  if (count !== undefined) return wholeNumber('--count', count, 1, most)
  // An endless peek would hold more and more messages, and get the same ones again.
  if (follow === true && peek === true)
    throw new UsageError('--peek with --follow needs --count: each message is seen again when it is visible again.')
  return follow === true ? Number.POSITIVE_INFINITY : defaultCount
}

function filterOf({ tag, sql }: ReceiveOptions): unknown {
  if (sql === undefined) return tag ?? '*'
  const sqlType = 2
  const { FilterExpression } = clientLibrary()
  return new FilterExpression(sql, sqlType)
}

interface ReceivingOptions {
  readonly invisibleMs: number
  /** A receive gives what one lite topic has, so that a part of what was asked for does not mean that no more is waiting. */
  readonly isLite: boolean
  readonly zoneMinutes: number | null
}

class ReceiveSession {
  readonly #consumer: any
  readonly #options: ReceiveOptions
  readonly #how: ReceivingOptions
  readonly #held = new Map<string, Held>()
  #receiving = false
  #ended: Promise<void> | null = null
  /** It was reported that the instance does not answer. */
  #reported = false

  constructor(consumer: any, options: ReceiveOptions, how: ReceivingOptions) {
    this.#consumer = consumer
    this.#options = options
    this.#how = how
  }

  /** Receives until it has enough, or, unless it follows, until nothing more is waiting. */
  async run(wanted: number): Promise<void> {
    const { follow = false, output } = this.#options
    const all: ReceivedMessage[] = []
    let count = 0
    while (count < wanted && this.#ended === null) {
      const asked = Math.min(largestBatch, wanted - count)
      const batch = follow ? await this.#receiveWithRetries(asked) : await this.#receive(asked)
      count += batch.length
      if (this.#ended !== null) return
      const views = batch.map((message) => messageView(message))
      // A script gets one document from a command that ends, and a line for each message from one that goes on.
      if (!follow && output !== undefined && output !== 'table') all.push(...views)
      else
        for (const view of views) printOne(view, this.#options, () => `${receivedCard(view, this.#how.zoneMinutes)}\n`)
      if (all.length === 0) await this.#settle(batch)
      if (!follow && batch.length < (this.#how.isLite ? 1 : asked)) break
    }
    if (!follow && output !== undefined && output !== 'table') {
      print(all, this.#options, () => '')
      await this.#settle([...this.#held.values()].map(({ message }) => message))
    }
    if (count === 0 && !follow) say(`No message was delivered within ${this.#options.wait}.`)
    else if (this.#options.peek === true) say(dim('Not acknowledged: they are visible to the group again.'))
  }

  async #receive(most: number): Promise<any[]> {
    this.#receiving = true
    const batch: any[] = await this.#consumer.receive(most, this.#how.invisibleMs).finally(() => {
      this.#receiving = false
    })
    const untilMs = realClock.monotonic() + this.#how.invisibleMs
    for (const message of batch) this.#held.set(message.messageId, { message, untilMs })
    // The command ended while the receive was under way.
    if (this.#ended !== null) await this.#handBack()
    return batch
  }

  /** An instance that is not there for a while, as while its process is started again, ends no command that follows it. */
  async #receiveWithRetries(most: number): Promise<any[]> {
    let lostAt: number | null = null
    for (;;) {
      try {
        const batch = await this.#receive(most)
        if (lostAt !== null) say('The instance answers again.')
        this.#reported = false
        return batch
      } catch (error) {
        const failure = clientError('The messages were not received', error)
        const isPassing = failure instanceof UnreachableError || failure instanceof LateError
        lostAt ??= realClock.monotonic()
        if (!isPassing || this.#ended !== null || realClock.monotonic() - lostAt > retryLimitMs) throw failure
        if (!this.#reported) say(`The instance does not answer; trying again for ${retryLimitMs / 1000} s.`)
        this.#reported = true
        await pause(retryPauseMs)
      }
    }
  }

  /** Acknowledges what has been written; a peek keeps it until the end, when all is handed back. */
  async #settle(batch: readonly any[]): Promise<void> {
    await flushed()
    if (this.#options.peek === true) {
      for (const [id, { untilMs }] of this.#held) if (untilMs < realClock.monotonic()) this.#held.delete(id)
      return
    }
    for (const message of batch) {
      if (this.#ended !== null) return
      await this.#consumer.ack(message)
      this.#held.delete(message.messageId)
    }
  }

  /** Hands back what is held, within a limit; fine when called twice. */
  end(): Promise<void> {
    this.#ended ??= this.#handBack()
    return this.#ended
  }

  async #handBack(): Promise<void> {
    const held = [...this.#held.values()]
    this.#held.clear()
    const afterMs = this.#receiving ? behindReceiveMs : 0
    const all = Promise.all(
      held.map(({ message }) => this.#consumer.changeInvisibleDuration(message, afterMs).catch(() => {})),
    )
    // What is not handed back in time becomes visible when its invisible duration is over.
    await within(handBackLimitMs, all, () => '').catch(() => {})
  }
}

/** Ctrl-C: what is held goes back, and the command ends as shells expect. */
function onInterruption(end: () => Promise<void>): {
  readonly happened: Promise<never>
  asked(): boolean
  leave(): void
} {
  let asked = false
  const listeners: Array<readonly [NodeJS.Signals, () => void]> = []
  const happened = new Promise<never>((_resolve, reject) => {
    const interrupt = (exitCode: number) => (): void => {
      // A second Ctrl-C ends the process at once.
      if (asked) process.exit(exitCode)
      asked = true
      void end().then(() => {
        reject(new Interrupted(exitCode))
      })
    }
    listeners.push(['SIGINT', interrupt(exitCodes.interrupted)], ['SIGTERM', interrupt(exitCodes.terminated)])
    // The reader of stdout has closed the pipe: `gantry receive --follow | head -1`.
    whenOutputCloses(interrupt(exitCodes.done))
  })
  happened.catch(() => {})
  for (const [signal, listener] of listeners) process.on(signal, listener)
  return {
    happened,
    asked: () => asked,
    leave() {
      for (const [signal, listener] of listeners) process.off(signal, listener)
    },
  }
}

// ---- a message, shown

export function messageView(message: any): ReceivedMessage {
  const body = message.body as Buffer
  const text = body.toString('utf8')
  return {
    topicName: message.topic,
    messageId: message.messageId,
    ...(message.tag ? { messageTag: message.tag } : {}),
    messageKeys: [...message.keys],
    ...(message.messageGroup ? { messageGroup: message.messageGroup } : {}),
    ...(message.liteTopic ? { liteTopicName: message.liteTopic } : {}),
    userProperties: Object.fromEntries(message.properties),
    ...(message.bornTimestamp === undefined ? {} : { bornTime: isoText(message.bornTimestamp) }),
    ...(message.bornHost ? { bornHost: message.bornHost } : {}),
    ...(message.deliveryTimestamp === undefined ? {} : { deliveryTime: isoText(message.deliveryTimestamp) }),
    ...(message.deliveryAttempt === undefined ? {} : { deliveryAttempt: message.deliveryAttempt }),
    bodySize: body.length,
    ...(Buffer.from(text).equals(body) ? { body: text } : { bodyBase64: body.toString('base64') }),
  }
}

/** A producer may have written a time that no calendar has. */
const isoText = (date: Date): string => (Number.isNaN(date.getTime()) ? 'unknown' : date.toISOString())

function forPeople(isoOrUnknown: string | undefined, zoneMinutes: number | null): string | undefined {
  const ms = Date.parse(isoOrUnknown ?? '')
  return Number.isNaN(ms) ? isoOrUnknown : momentText(ms, zoneMinutes)
}

export function receivedCard(message: ReceivedMessage, zoneMinutes: number | null): string {
  return cardText(
    message.messageId,
    [
      ['topic', message.topicName],
      ['tag', message.messageTag],
      ['keys', message.messageKeys.join(' ')],
      ['message group', message.messageGroup],
      ['lite topic', message.liteTopicName],
      ['born', [forPeople(message.bornTime, zoneMinutes), message.bornHost].filter(Boolean).join(' on ')],
      ['delivery time', forPeople(message.deliveryTime, zoneMinutes)],
      ['attempt', message.deliveryAttempt === undefined ? undefined : String(message.deliveryAttempt)],
      ...Object.entries(message.userProperties).map(([name, value]) => [`property ${name}`, value] as const),
    ],
    message.body ?? shown(`(not UTF-8; base64) ${message.bodyBase64}`),
    message.bodySize,
  )
}
