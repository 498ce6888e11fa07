/**
 * A broker's timed messages by a seed: sends near and far, recalls that race with the delivery, kills and
 * power cuts at any moment, disks that fill, clocks that are set forth and back, retention that rolls
 * over what waits, topics that come and go.
 *
 * The judge is a few sentences. A message comes never before its time, at most a second after it while nothing
 * is wrong, and never after its recall was confirmed. What was promised comes, unless it was recalled
 * or its topic removed. It lies in one place of one queue for ever: delivered again means redelivered,
 * never written twice. A recall is refused as late only when the time has come.
 */
import type { Delivery } from '../../src/broker/broker.ts'
import { decodeEvent } from '../../src/broker/core/event-codec.ts'
import type { BrokerShell } from '../../src/broker/shell/broker-shell.ts'
import { BrokerRefusal } from '../../src/model/refusals.ts'
import { check, HOUR, MINUTE, SECOND, World } from './world.ts'

const GROUP = 'group'
const topicNames = ['kept', 'passing'] as const

export interface TimerOutcome {
  readonly sent: number
  /** Deliveries of messages that had waited. */
  readonly waited: number
  readonly recalled: number
  readonly refusedAsLate: number
  readonly crashes: number
  readonly replaysCompared: number
  /** Records written again because retention wanted their segments. */
  readonly moved: number
}

interface Sent {
  readonly id: string
  readonly topic: string
  /** Rises when the topic is removed: what waited is gone with it. */
  readonly incarnation: number
  readonly payload: Uint8Array
  /** The first whole second at or after its time; its sending when that was later. */
  readonly dueMs: number
  readonly waits: boolean
  promised: boolean
  handle: string | null
  /** `asked`: a recall was never answered, so it may have happened. */
  recall: 'no' | 'asked' | 'done'
  /** Where it was delivered from. */
  place: string | null
  acknowledged: boolean
}

/** Throws with a sentence when a promise was broken. */
export async function simulateTimed(seed: number, steps = 80): Promise<TimerOutcome> {
  const simulation = new TimedSimulation(seed)
  await simulation.live(steps)
  return simulation.finish()
}

class TimedSimulation extends World {
  readonly #messages = new Map<string, Sent>()
  readonly #incarnations = new Map<string, number>()
  /** Since when neither the clock was set nor a broker lost, by the monotonic clock. */
  #calmSince = 0
  /** The latest the wall clock ever showed. */
  #latestWall = 0
  /** Whether the consumer forgets to acknowledge some. */
  #careless = true
  #counts = { waited: 0, recalled: 0, refusedAsLate: 0, moved: 0 }

  constructor(seed: number) {
    super(seed)
    this.latency.maxMs = this.oneIn(6) ? 60 : this.random.below(4)
    this.settings = {
      retentionMs: this.oneIn(2) ? 4 * MINUTE : 100 * HOUR,
      sendTps: 1e9,
      receiveTps: 1e9,
      maxDelayMs: 24 * HOUR,
    }
    this.cipherKey = this.oneIn(5) ? this.random.bytes(32) : null
    this.segmentBytes = 4_096 << this.random.below(4)
  }

  async step(): Promise<void> {
    const way = this.random.below(100)
    if (way < 50) this.#send()
    else if (way < 68) this.#recall()
    else if (way < 71) this.#recallElsewhere()
    else if (way < 74) await this.checkpoint(() => this.#send())
    else if (way < 77) await this.#recreatePassing()
    else if (way < 83) this.#setClock()
    else if (way < 86) await this.restart()
    else if (way < 90) await this.kill()
    else if (way < 94) await this.powerCut()
    else if (way < 96) await this.fillDisk(() => this.#sendInVain(), 3 * SECOND)
    await this.pass(this.#pause())
  }

  async finish(): Promise<TimerOutcome> {
    await this.restart()
    for (let rounds = 0; this.shell.inspection.usage().timed > 0; rounds++) {
      check(rounds < 1_000, `${this.shell.inspection.usage().timed} messages still wait after all their times`)
      const wait = this.shell.state.timers.earliest - this.clock.now()
      if (wait > 0) this.#jump(Math.min(wait, MINUTE))
      await this.pass(2 * SECOND)
    }
    await this.restart()
    this.#careless = false
    await this.pass(2 * MINUTE)
    for (const message of this.#messages.values()) this.#judge(message)
    check(
      this.shell.inspection.usage().inflight === 0,
      `${this.shell.inspection.usage().inflight} deliveries are in flight with nobody`,
    )
    this.life++
    await this.during(this.shell.close())
    const { crashes, replaysCompared } = this
    return { sent: this.#messages.size, ...this.#counts, crashes, replaysCompared }
  }

  #judge(message: Sent): void {
    if (!message.promised || message.incarnation !== this.#incarnation(message.topic)) return
    if (message.recall === 'done') return
    check(
      message.place !== null || message.recall === 'asked',
      `${message.id} for ${iso(message.dueMs)} was promised to ${message.topic} and never came`,
    )
  }

  // Clients --------------------------------------------------------------------------------------

  #send(): void {
    const topic = topicNames[this.random.below(this.oneIn(3) ? 2 : 1)]!
    const life = this.life
    const wallMs = this.clock.now()
    const count = 1 + this.random.below(this.oneIn(5) ? 40 : 4)
    const sent: Sent[] = []
    const outgoing = Array.from({ length: count }, () => {
      const deliverAtMs = this.oneIn(12) ? null : wallMs + this.#delay()
      const waits = deliverAtMs !== null && deliverAtMs > wallMs
      const message: Sent = {
        id: `M${this.#messages.size.toString().padStart(6, '0')}`,
        topic,
        incarnation: this.#incarnation(topic),
        payload: this.random.bytes(this.random.below(this.oneIn(20) ? 1_500 : 100)),
        dueMs: waits ? Math.ceil(deliverAtMs / SECOND) * SECOND : wallMs,
        waits,
        promised: false,
        handle: null,
        recall: 'no',
        place: null,
        acknowledged: false,
      }
      this.#messages.set(message.id, message)
      sent.push(message)
      const { id, payload } = message
      return { messageId: id, tag: null, payload, bodyBytes: payload.length, deliverAtMs }
    })
    this.behind(async () => {
      const receipts = await this.shell.producing.send({ topic, messages: outgoing })
      if (life !== this.life) return
      receipts.forEach((receipt, i) => {
        sent[i]!.promised = true
        sent[i]!.handle = receipt.recallHandle ?? null
        check((sent[i]!.handle !== null) === sent[i]!.waits, `${sent[i]!.id} has the wrong kind of receipt`)
      })
    })
  }

  /** Milliseconds from now: past, soon, or far beyond the shorter retention. */
  #delay(): number {
    const way = this.random.below(10)
    if (way < 1) return -this.random.below(MINUTE)
    if (way < 5) return this.random.below(5 * SECOND)
    if (way < 8) return this.random.below(MINUTE)
    return this.random.below(15 * MINUTE)
  }

  /** Most of them of the message that is due next: a race. */
  #recall(): void {
    const candidates = [...this.#messages.values()].filter(
      ({ handle, incarnation, topic }) => handle !== null && incarnation === this.#incarnation(topic),
    )
    if (candidates.length === 0) return
    const now = this.clock.now()
    const soonest = candidates
      .filter(({ dueMs }) => dueMs > now - 2 * SECOND)
      .sort((a, b) => a.dueMs - b.dueMs)
      .slice(0, 3)
    const from = soonest.length > 0 && !this.oneIn(3) ? soonest : candidates
    const message = from[this.random.below(from.length)]!
    const race = this.oneIn(2) ? Math.max(0, message.dueMs - now - this.random.below(20) + 10) : 0
    this.behind(async () => {
      const life = this.life
      if (race > 0 && race < 20 * SECOND) await this.wait(race)
      if (life === this.life) await this.#recallNow(message)
    })
  }

  async #recallNow(message: Sent): Promise<void> {
    const life = this.life
    const before = message.recall
    if (before === 'no') message.recall = 'asked'
    try {
      const { messageId } = await this.shell.producing.recall({ topic: message.topic, handle: message.handle! })
      check(messageId === message.id, `recalling ${message.id} answered ${messageId}`)
      if (life !== this.life || message.incarnation !== this.#incarnation(message.topic)) return
      check(message.place === null, `${message.id} was delivered, and its recall confirmed`)
      if (message.recall !== 'done') this.#counts.recalled++
      message.recall = 'done'
    } catch (error) {
      if (!(error instanceof BrokerRefusal)) throw error
      if (life !== this.life || error.code === 50001) return
      if (message.incarnation !== this.#incarnation(message.topic)) return
      check(error.code === 40400, `recalling ${message.id} was refused with ${error.code}: ${error.message}`)
      // Retention took the record of a message that did not wait any more, and nobody knows of its recall by now.
      if (before !== 'no' && this.settings.retentionMs < HOUR) return
      this.#counts.refusedAsLate++
      check(this.#look() >= message.dueMs, `recalling ${message.id} was refused as late before its time`)
    }
  }

  /** With another topic's name, or a number changed: refused, whatever it names. */
  #recallElsewhere(): void {
    const message = [...this.#messages.values()].find(({ handle, recall }) => handle !== null && recall === 'no')
    if (!message) return
    const parts = message.handle!.split('.')
    parts[4] = 'zz'
    const requests = [
      { topic: topicNames.find((name) => name !== message.topic)!, handle: message.handle! },
      { topic: message.topic, handle: parts.join('.') },
    ]
    for (const request of requests)
      this.behind(async () => {
        const answer = await this.shell.producing.recall(request)
        check(false, `a recall by a foreign handle was answered with ${answer.messageId}`)
      })
  }

  /** A consumer that is always there, while this broker lives. */
  async #consume(topic: string): Promise<void> {
    const life = this.life
    while (life === this.life) {
      const incarnation = this.#incarnation(topic)
      const deliveries = await this.shell.consuming
        .receive(
          {
            group: GROUP,
            topic,
            filter: null,
            max: 16,
            waitMs: 20 * SECOND,
            invisibleMs: 30 * SECOND,
            autoRenew: false,
            clientId: 'consumer',
          },
          new AbortController().signal,
        )
        .catch((error: unknown) => {
          if (error instanceof BrokerRefusal) return []
          throw error
        })
      if (life !== this.life) return
      const acknowledged: Delivery[] = []
      for (const delivery of deliveries) {
        this.#delivered(topic, incarnation, delivery)
        if (this.#careless && this.oneIn(12)) continue
        acknowledged.push(delivery)
      }
      if (acknowledged.length > 0) await this.#acknowledge(topic, acknowledged)
      // A removed topic or a stopped log refuses at once; nobody polls in a loop.
      if (deliveries.length === 0) await this.wait(50)
    }
  }

  async #acknowledge(topic: string, deliveries: readonly Delivery[]): Promise<void> {
    const life = this.life
    const handles = deliveries.map(({ handle }) => handle)
    const outcomes = await this.shell.consuming
      .ack({ group: GROUP, topic, handles, clientId: 'consumer' })
      .catch((error: unknown) => {
        if (error instanceof BrokerRefusal) return []
        throw error
      })
    if (life !== this.life) return
    outcomes.forEach(({ outcome }, i) => {
      if (outcome === 'done') this.#messages.get(deliveries[i]!.messageId)!.acknowledged = true
    })
  }

  /** `incarnation` is the topic's when the consumer asked; what was taken for it then may reach it after a removal. */
  #delivered(topic: string, incarnation: number, delivery: Delivery): void {
    const name = delivery.messageId
    const message = this.#messages.get(name)
    check(message !== undefined, `${name} was never sent`)
    check(message.topic === topic, `${name} was sent to ${message.topic} and came from ${topic}`)
    check(message.incarnation >= incarnation, `${name} came though its topic was removed`)
    check(Buffer.compare(message.payload, delivery.payload) === 0, `${name} came with another payload`)
    check(message.recall !== 'done', `${name} came though its recall was confirmed`)
    check(!message.acknowledged, `${name} was acknowledged and came again`)
    check(this.#look() >= message.dueMs, `${name} for ${iso(message.dueMs)} came early, at ${iso(this.clock.now())}`)
    const place = `${delivery.queueId}:${delivery.offset}`
    check(message.place === null || message.place === place, `${name} lies at ${message.place} and at ${place}`)
    if (message.place === null && message.waits) {
      this.#counts.waited++
      this.#onTime(message)
    }
    message.place = place
  }

  /** Whole seconds are the precision; the rest is the disk's: a portion is read, written, synced. */
  #onTime(message: Sent): void {
    const lateMs = this.clock.now() - message.dueMs
    const dueAt = this.clock.monotonic() - lateMs
    if (this.#calmSince > dueAt - 2 * SECOND) return
    check(lateMs <= SECOND + 40 * this.latency.maxMs, `${message.id} came ${lateMs} ms late, with nothing in its way`)
  }

  // The machine ----------------------------------------------------------------------------------

  protected override opened(shell: BrokerShell): void {
    const { log } = shell
    const { write } = log
    log.write = (records) => {
      for (const record of records) this.#written(shell, record)
      return write.call(log, records)
    }
  }

  #written({ state }: BrokerShell, record: Uint8Array): void {
    const event = decodeEvent(record)
    if (event.type === 'timer-stored' && state.timers.has(event.timerId)) this.#counts.moved++
  }

  protected async prepare(): Promise<void> {
    const topics = topicNames.map((topicName) => ({
      topicName,
      generation: 1,
      messageType: 'DELAY' as const,
      maxSendTps: null,
    }))
    await this.during(this.shell.administration.ensureTopics(topics))
    // From here on the group reads them: a group that comes later would not see what was there before.
    for (const topic of topicNames) {
      const request = { group: GROUP, topic, filter: null, max: 1, waitMs: 0, invisibleMs: SECOND }
      const aborted = new AbortController()
      const first = this.shell.consuming.receive({ ...request, autoRenew: false, clientId: 'first' }, aborted.signal)
      aborted.abort()
      await this.during(first)
    }
  }

  protected override started(): void {
    for (const topic of topicNames) this.behind(() => this.#consume(topic))
    this.#calmSince = this.clock.monotonic()
  }

  #sendInVain(): void {
    this.#calmSince = Number.POSITIVE_INFINITY
    this.#send()
  }

  #setClock(): void {
    this.#jump((this.random.below(3) - 1) * this.random.below(this.oneIn(3) ? 2 * MINUTE : 5 * SECOND))
  }

  #jump(byMs: number): void {
    this.#look()
    this.clock.jump(byMs)
    this.#calmSince = this.clock.monotonic()
  }

  async #recreatePassing(): Promise<void> {
    this.#incarnations.set('passing', this.#incarnation('passing') + 1)
    try {
      await this.during(this.shell.administration.removeTopic('passing'))
      await this.prepare()
    } catch (error) {
      if (!(error instanceof BrokerRefusal)) throw error
    }
  }

  #incarnation(topic: string): number {
    return this.#incarnations.get(topic) ?? 0
  }

  // Time -----------------------------------------------------------------------------------------

  #pause(): number {
    const way = this.random.below(20)
    if (way < 10) return this.random.below(20)
    if (way < 18) return this.random.below(3 * SECOND)
    return this.random.below(30 * SECOND)
  }

  /** Between settings of the clock it only goes on: looking before each is enough, and when it matters. */
  #look(): number {
    this.#latestWall = Math.max(this.#latestWall, this.clock.now())
    return this.#latestWall
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
