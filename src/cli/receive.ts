/**
 * `gantry receive`: messages of a topic as a consumer of a group gets them, through the official client.
 *
 * A message is acknowledged once it has been written to stdout, or not at all with `--peek`. However the command ends,
 * what it holds without having acknowledged it is made visible again at once.
 */
import type { Settings } from '../config.ts'
import { pause, realClock } from '../world/real.ts'
import { duration, instanceIdOf, wholeNumber } from './arguments.ts'
import { callData, findTarget } from './client.ts'
import { clientError, clientLibrary, connectionTo, started, stopped, within } from './connect.ts'
import { exitCodes, Interrupted, LateError, UnreachableError, UsageError } from './errors.ts'
import { cardText } from './messages.ts'
import { flushed, type OutputOptions, print, printOne, say, step, whenOutputCloses } from './output.ts'
import { dim, shown } from './safe-text.ts'

export interface ReceiveOptions extends OutputOptions {
  readonly group: string
  readonly follow?: boolean
  readonly peek?: boolean
  readonly count?: string
  readonly tag?: string
  readonly sql?: string
  readonly invisible: string
  readonly wait: string
  readonly username?: string
}

/** A message as the command shows it. */
export interface ReceivedMessage {
  readonly topicName: string
  readonly messageId: string
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
  topicName: string,
  options: ReceiveOptions,
): Promise<void> {
  const wanted = wantedCount(options)
  const invisibleMs = duration('--invisible', options.invisible, shortestInvisibleMs, longestInvisibleMs)
  const waitMs = duration('--wait', options.wait, shortestWaitMs, longestWaitMs)
  if (options.tag !== undefined && options.sql !== undefined)
    throw new UsageError('--tag and --sql are two kinds of filters; give one of them.')
  const target = findTarget(settings)
  const instanceId = await instanceIdOf(target, instance)
  await callData(target, 'GetTopic', { instanceId, topicName })
  const connection = await connectionTo(target, instanceId, options.username)
  const { SimpleConsumer } = clientLibrary()
  const consumer = new SimpleConsumer({
    ...connection.options,
    consumerGroup: options.group,
    subscriptions: new Map([[topicName, filterOf(options)]]),
    awaitDuration: waitMs,
    maxRetryAttempts: 1,
  })
  const session = new ReceiveSession(consumer, options, invisibleMs)
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

class ReceiveSession {
  readonly #consumer: any
  readonly #options: ReceiveOptions
  readonly #invisibleMs: number
  readonly #held = new Map<string, Held>()
  #receiving = false
  #ended: Promise<void> | null = null
  /** It was reported that the instance does not answer. */
  #reported = false

  constructor(consumer: any, options: ReceiveOptions, invisibleMs: number) {
    this.#consumer = consumer
    this.#options = options
    this.#invisibleMs = invisibleMs
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
      else for (const view of views) printOne(view, this.#options, () => `${receivedCard(view)}\n`)
      if (all.length === 0) await this.#settle(batch)
      if (!follow && batch.length < asked) break
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
    const batch: any[] = await this.#consumer.receive(most, this.#invisibleMs).finally(() => {
      this.#receiving = false
    })
    const untilMs = realClock.monotonic() + this.#invisibleMs
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

export function receivedCard(message: ReceivedMessage): string {
  return cardText(
    message.messageId,
    [
      ['topic', message.topicName],
      ['tag', message.messageTag],
      ['keys', message.messageKeys.join(' ')],
      ['message group', message.messageGroup],
      ['lite topic', message.liteTopicName],
      ['born', [message.bornTime, message.bornHost].filter(Boolean).join(' on ')],
      ['delivery time', message.deliveryTime],
      ['attempt', message.deliveryAttempt === undefined ? undefined : String(message.deliveryAttempt)],
      ...Object.entries(message.userProperties).map(([name, value]) => [`property ${name}`, value] as const),
    ],
    message.body ?? shown(`(not UTF-8; base64) ${message.bodyBase64}`),
    message.bodySize,
  )
}
