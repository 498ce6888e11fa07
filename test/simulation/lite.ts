/**
 * Lite consumers, driven by a seed: clients that subscribe, unsubscribe, fall silent, leave or take lite topics from
 * each other, answers that are lost, lite topics that expire and begin anew, restarts, kills, power cuts, disks that
 * fill, clocks that jump, a LITE topic that is made anew. `order-model.ts` judges the order, each lite topic being an
 * order of its own; what else must hold:
 *
 * 1. A client gets messages of lite topics it wants, and that it said so within the last three minutes.
 * 2. In an exclusive group a lite topic has one such client: the last one that asked for it.
 * 3. What was promised reaches each group, or its dead letters, unless its lite topic had no message for as long
 *    as it takes to expire; what did expire never comes again, and leaves nothing behind.
 */
import type { Delivery, LiteOffset, LiteSyncRequest } from '../../src/broker/broker.ts'
import { segmentOf } from '../../src/broker/log/contract.ts'
import type { BrokerShell } from '../../src/broker/shell/broker-shell.ts'
import { BrokerRefusal } from '../../src/model/refusals.ts'
import { type OrderedMessage, OrderModel, type OrderReader } from './order-model.ts'
import { check, HOUR, MINUTE, SECOND, World } from './world.ts'

const TOPIC = 'parent'
const SILENCE_MS = 3 * MINUTE

interface LiteReader extends OrderReader {
  readonly exclusive: boolean
}

const shared: LiteReader = { group: 'shared', filter: null, orderly: true, exclusive: false }
const exclusive: LiteReader = { group: 'exclusive', filter: null, orderly: true, exclusive: true }
/** Its members move its offsets, so the only rule for what it gets is that it was subscribed to. */
const moving: LiteReader = { group: 'moving', filter: null, orderly: false, exclusive: false }
const readers = [shared, exclusive, moving] as const

interface LiteMessage extends OrderedMessage {
  readonly liteTopic: string
  readonly askedAt: number
}

/** What a client last said, as the rules have it. */
interface Subscribed {
  readonly wants: Set<string>
  /** Taken from it, and it has not left it out since. */
  readonly lost: Set<string>
  saidAt: number
}

export interface LiteOutcome {
  readonly deliveries: number
  readonly again: number
  readonly acknowledged: number
  readonly deadLetters: number
  readonly suspended: number
  readonly evictions: number
  readonly expired: number
  readonly crashes: number
  readonly answersLost: number
  /** Deliveries that were sent to no client. */
  readonly returned: number
  readonly replaysCompared: number
  readonly reached: number
  readonly trimmed: number
}

/** Throws with a sentence when a promise was broken. */
export async function simulateLite(seed: number, steps = 100): Promise<LiteOutcome> {
  const simulation = new LiteSimulation(seed)
  await simulation.live(steps)
  return simulation.finish()
}

class LiteSimulation extends World {
  readonly #model = new OrderModel()
  readonly #names: readonly string[]
  readonly #maxRetryTimes: number
  readonly #expirationMs: number | null
  /** By lite topic, in the order of sending. */
  readonly #lines = new Map<string, LiteMessage[]>()
  readonly #lives = new Map<string, number>()
  #subscribed = new Map<string, Subscribed>()
  #version = 0
  #messages = 0
  #attempts = 0
  #suspended = 0
  #evictions = 0
  #expired = 0
  #answersLost = 0
  #returned = 0
  #reached = 0
  #finishing = false

  constructor(seed: number) {
    super(seed)
    this.latency.maxMs = this.random.below(4)
    this.#maxRetryTimes = this.random.below(4)
    const retentionMs = this.oneIn(6) ? 2 * MINUTE : 1_000 * HOUR
    this.settings = { ...this.settings, retentionMs }
    this.segmentBytes = 64 * 2 ** 20
    this.#expirationMs = [null, 90 * SECOND, 12 * MINUTE][this.random.below(3)]!
    this.#names = Array.from({ length: 1 + this.random.below(10) }, (_, i) => `lite-${i}`)
  }

  async step(): Promise<void> {
    const way = this.random.below(100)
    if (way < 25) this.#produce()
    else if (way < 65) this.#consume()
    else if (way < 88) this.#speak()
    else if (way < 90) this.#leave()
    else if (way < 91) await this.checkpoint(() => this.#produce())
    else if (way < 92) await this.#recreate()
    else if (way < 94) this.jumpClock()
    else if (way < 95) await this.restart()
    else if (way < 97) await this.kill()
    else if (way < 98) await this.powerCut()
    else if (way < 99) await this.fillDisk(() => this.#produce())
    else this.#reset()
    await this.pass(this.random.below(this.oneIn(4) ? 30 * SECOND : 50))
  }

  async finish(): Promise<LiteOutcome> {
    this.#finishing = true
    await this.restart()
    for (let quiet = 0, rounds = 0; quiet < 4; rounds++) {
      check(rounds < 300, 'the broker still delivers after three hundred rounds of acknowledging everything')
      const before = this.#model.deliveries
      for (const reader of readers) await this.#finishOff(reader)
      quiet = this.#model.deliveries === before ? quiet + 1 : 0
      await this.pass(31 * SECOND)
    }
    for (const reader of readers) await this.#readDeadLetters(reader)
    if (this.settings.retentionMs >= HOUR) {
      this.#judgeReached(shared)
      this.#judgeReached(exclusive)
      this.#model.settle()
    }
    check(
      this.shell.inspection.usage().inflight === 0,
      `${this.shell.inspection.usage().inflight} deliveries are in flight with nobody`,
    )
    await this.#judgeExpired()
    await this.during(this.shell.close())
    const { deliveries, again, acknowledged, deadLetters } = this.#model
    return {
      deliveries,
      again,
      acknowledged,
      deadLetters,
      crashes: this.crashes,
      suspended: this.#suspended,
      evictions: this.#evictions,
      expired: this.#expired,
      answersLost: this.#answersLost,
      returned: this.#returned,
      replaysCompared: this.replaysCompared,
      reached: this.#reached,
      trimmed: segmentOf(this.shell.log.first) - 1,
    }
  }

  // Producers ------------------------------------------------------------------------------------

  #produce(): void {
    const life = this.life
    const at = this.shell.now()
    const sent = Array.from({ length: 1 + this.random.below(this.oneIn(4) ? 12 : 3) }, (): LiteMessage => {
      const liteTopic = this.#names[this.random.below(this.#names.length)]!
      return {
        id: `M${(this.#messages++).toString().padStart(6, '0')}`,
        incarnation: this.#model.incarnation,
        messageGroup: this.#lineFor(liteTopic, at),
        liteTopic,
        askedAt: at,
        tag: null,
        promised: false,
        storeTimeMs: 0,
      }
    })
    for (const message of sent) {
      this.#model.sending(message)
      const line = this.#lines.get(message.liteTopic) ?? []
      this.#lines.set(message.liteTopic, [...line, message])
    }
    const messages = sent.map(({ id, liteTopic }) => {
      const payload = Buffer.concat([Buffer.from(`${liteTopic} `), this.random.bytes(this.random.below(100))])
      return { messageId: id, tag: null, payload, bodyBytes: payload.length, liteTopic }
    })
    this.behind(async () => {
      const receipts = await this.shell.producing.send({ topic: TOPIC, messages })
      if (life !== this.life) return
      receipts.forEach((receipt, i) => {
        sent[i]!.promised = true
        sent[i]!.storeTimeMs = receipt.storeTimeMs
      })
    })
  }

  /** Messages between which the lite topic may have expired are not of one line. */
  #lineFor(liteTopic: string, at: number): string {
    const promised = this.#lines.get(liteTopic)?.findLast((message) => message.promised)
    const mayBeNew =
      this.#expirationMs !== null && promised !== undefined && at - promised.askedAt >= this.#expirationMs
    if (mayBeNew) this.#lives.set(liteTopic, (this.#lives.get(liteTopic) ?? 0) + 1)
    return `${liteTopic}#${this.#lives.get(liteTopic) ?? 0}`
  }

  // Consumers ------------------------------------------------------------------------------------

  #speak(): void {
    const reader = readers[this.random.below(readers.length)]!
    const clientId = this.#client()
    const some = this.#names.filter(() => this.oneIn(2))
    const way = this.random.below(10)
    if (way < 4) this.#say(reader, clientId, { action: 'add', liteTopics: some.slice(0, 1 + this.random.below(3)) })
    else if (way < 5) this.#say(reader, clientId, { action: 'remove', liteTopics: some.slice(0, 1) })
    else if (way < 9) {
      const known = this.#subscribedOf(reader, clientId)
      // Most repeat what they believe to have, the deaf also what was taken from them.
      const repeated = this.oneIn(3) ? [...known.wants, ...known.lost] : [...known.wants]
      const liteTopics = this.oneIn(2) ? repeated : some
      this.#say(reader, clientId, { action: 'replace', liteTopics, version: ++this.#version })
    } else this.#say(reader, clientId, { action: 'clear', liteTopics: [] })
  }

  #say(
    reader: LiteReader,
    clientId: string,
    asked: Pick<LiteSyncRequest, 'action' | 'liteTopics'> & { readonly version?: number },
  ): void {
    const offset = reader === moving && asked.action === 'add' ? this.#place() : null
    const request = { group: reader.group, topic: TOPIC, clientId, version: null, ...asked, offset }
    this.#heardOf(reader, clientId, request)
    this.behind(() => this.shell.lite.sync(request))
  }

  /** By an operator, of every lite topic at once. */
  #reset(): void {
    const toMs = this.oneIn(2) ? null : this.shell.now() - this.random.below(MINUTE)
    const resetId = `reset-${this.#version++}`
    this.behind(() => this.shell.offsets.reset({ resetId, consumerGroupId: moving.group, topicName: TOPIC, toMs }))
  }

  #place(): LiteOffset | null {
    switch (this.random.below(6)) {
      case 0:
        return { from: 'first' }
      case 1:
        return { from: 'last' }
      case 2:
        return { from: 'offset', offset: this.random.below(20) }
      case 3:
        return { from: 'tail', count: this.random.below(5) }
      case 4:
        return { from: 'time', timeMs: this.shell.now() - this.random.below(MINUTE) }
      default:
        return null
    }
  }

  /** The rules of subscribing, in the simplest form. */
  #heardOf(reader: LiteReader, clientId: string, { action, liteTopics }: LiteSyncRequest): void {
    const mine = this.#subscribedOf(reader, clientId)
    mine.saidAt = this.shell.now()
    const asked = new Set(liteTopics)
    if (action === 'clear') mine.lost.clear()
    if (action === 'clear') mine.wants.clear()
    if (action === 'remove' || action === 'add') for (const name of asked) mine.lost.delete(name)
    if (action === 'remove') for (const name of asked) mine.wants.delete(name)
    if (action === 'replace') {
      for (const name of [...mine.wants]) if (!asked.has(name)) mine.wants.delete(name)
      for (const name of [...mine.lost]) if (!asked.delete(name)) mine.lost.delete(name)
    }
    if (action !== 'add' && action !== 'replace') return
    for (const name of asked) {
      if (mine.wants.has(name)) continue
      if (reader.exclusive)
        for (const [key, other] of this.#subscribed)
          if (key.startsWith(`${reader.group} `) && other.wants.delete(name)) other.lost.add(name)
      mine.wants.add(name)
    }
  }

  #subscribedOf(reader: LiteReader, clientId: string): Subscribed {
    const key = `${reader.group} ${clientId}`
    const known = this.#subscribed.get(key)
    if (known && this.shell.now() - known.saidAt < SILENCE_MS) return known
    const made: Subscribed = { wants: new Set(), lost: new Set(), saidAt: this.shell.now() }
    this.#subscribed.set(key, made)
    return made
  }

  #leave(): void {
    const clientId = this.#client()
    this.shell.consuming.clientGone(clientId)
    for (const { group } of readers) this.#subscribed.delete(`${group} ${clientId}`)
  }

  #consume(): void {
    const reader = readers[this.random.below(readers.length)]!
    const clientId = this.#client()
    const attemptId = this.oneIn(3) ? null : `attempt-${this.#attempts++}`
    const aborted = new AbortController()
    const request = {
      group: reader.group,
      filter: null,
      topic: TOPIC,
      max: 1 + this.random.below(this.oneIn(2) ? 3 : 16),
      waitMs: this.random.below(20 * SECOND),
      invisibleMs: SECOND + this.random.below(30 * SECOND),
      autoRenew: this.oneIn(3),
      clientId,
      attemptId,
    }
    const losesAnswer = this.oneIn(6)
    const { jumps } = this
    this.behind(async () => {
      let deliveries = await this.#receive(reader, request, aborted.signal)
      if (deliveries && deliveries.length > 0 && losesAnswer) {
        this.#answersLost++
        const lost = deliveries
        deliveries = await this.#receive(reader, { ...request, waitMs: 0 }, aborted.signal, { whole: true })
        const subscribed = this.#subscribed.get(`${reader.group} ${clientId}`)
        const wanted = lost.every((delivery) => subscribed?.wants.has(liteTopicOf(delivery)))
        if (deliveries && jumps === this.jumps && !this.stopping && wanted && reader.orderly && attemptId !== null)
          check(
            names(deliveries) === names(lost),
            `${attemptId} got ${names(lost)} and, asking again at once, ${names(deliveries)}`,
          )
      }
      if (deliveries) await this.#treat(reader, deliveries, clientId)
    })
    if (this.oneIn(8)) this.clock.after(this.random.below(10 * SECOND), () => aborted.abort())
  }

  /** Null when nobody was there to hear the answer. */
  async #receive(
    reader: LiteReader,
    request: Parameters<BrokerShell['consuming']['receive']>[0],
    signal: AbortSignal,
    { whole = false } = {},
  ): Promise<Delivery[] | null> {
    const life = this.life
    const incarnation = this.#model.incarnation
    const received = await this.shell.consuming.receive(request, signal)
    if (life !== this.life || signal.aborted || incarnation !== this.#model.incarnation) return null
    const at = this.shell.now()
    let deliveries: Delivery[] = received.map((delivery) => ({
      ...delivery,
      queueId: this.#names.indexOf(liteTopicOf(delivery)),
    }))
    if (deliveries.length > 0 && !whole && !this.#finishing && this.oneIn(6)) {
      const { sent, unsent } = this.sendPart(request, deliveries)
      this.#model.returned(reader, unsent)
      this.#returned += unsent.length
      deliveries = sent
    }
    for (const delivery of deliveries) {
      this.#judgeWanted(reader, request.clientId, delivery)
      this.#judgeAlive(delivery, at)
    }
    this.#model.delivered(reader, deliveries, this.#maxRetryTimes + 1, at)
    return deliveries
  }

  #judgeWanted(reader: LiteReader, clientId: string, delivery: Delivery): void {
    const liteTopic = liteTopicOf(delivery)
    const subscribed = this.#subscribed.get(`${reader.group} ${clientId}`)
    check(
      subscribed?.wants.has(liteTopic) === true && this.shell.now() - subscribed.saidAt <= SILENCE_MS,
      `${delivery.messageId} of ${liteTopic} came to ${clientId} of ${reader.group}, who does not want it`,
    )
  }

  /** Also what nobody was promised may have kept a lite topic alive. */
  #judgeAlive({ messageId }: Delivery, at: number): void {
    if (this.#expirationMs === null) return
    const message = this.#model.messages.get(messageId) as LiteMessage
    let until = message.askedAt + this.#expirationMs
    for (const later of this.#lines.get(message.liteTopic)!)
      if (later.askedAt >= message.askedAt && later.askedAt <= until)
        until = Math.max(until, later.askedAt + this.#expirationMs)
    // What is read from the disk while it expires may be given once more.
    check(at <= until + SECOND, `${messageId} came at ${at}, and ${message.liteTopic} had expired at ${until}`)
  }

  /** A batch one after another, as push consumers do; simple ones may leave, skip or fail anywhere. */
  async #treat(reader: LiteReader, deliveries: readonly Delivery[], clientId: string): Promise<void> {
    const life = this.life
    const careful = this.oneIn(2)
    const seen = new Set<number>()
    for (const delivery of deliveries) {
      const isFirst = !seen.has(delivery.queueId)
      seen.add(delivery.queueId)
      if (this.oneIn(3)) await this.wait(this.random.below(10 * SECOND))
      if (life !== this.life || this.#finishing) return
      const way = careful ? this.random.below(60) : this.random.below(100)
      if (way < 60) await this.#acknowledge(reader, delivery, clientId)
      else if (way < 82) await this.#giveBack(reader, delivery, clientId, { suspend: way >= 75, isFirst })
      else if (way < 88) await this.#forward(reader, delivery, clientId)
      else if (way < 93) return
    }
  }

  async #giveBack(
    reader: LiteReader,
    delivery: Delivery,
    clientId: string,
    { suspend, isFirst }: { suspend: boolean; isFirst: boolean },
  ): Promise<void> {
    const life = this.life
    const { handle } = delivery
    const invisibleMs = this.random.below(20 * SECOND)
    const story = this.#model.story(reader, delivery.messageId)
    const before = story.handle
    const request = { group: reader.group, topic: TOPIC, handle, invisibleMs, clientId, suspend }
    const { outcome } = await this.shell.consuming.changeInvisible(request)
    if (!suspend || outcome !== 'done' || before !== handle || life !== this.life) return
    this.#suspended++
    // It does not count, and neither does it when it is asked for after an acknowledgement.
    if (isFirst && !story.attempted) story.asFirst--
  }

  async #acknowledge(reader: LiteReader, delivery: Delivery, clientId: string): Promise<void> {
    const life = this.life
    const incarnation = this.#model.incarnation
    this.#model.acknowledging(reader, delivery)
    const liteTopics = this.oneIn(2) ? [liteTopicOf(delivery)] : [null]
    const request = { group: reader.group, topic: TOPIC, handles: [delivery.handle], liteTopics, clientId }
    const [answer] = await this.shell.consuming.ack(request)
    if (life === this.life && incarnation === this.#model.incarnation)
      this.#model.answered(reader, delivery, answer!.outcome)
  }

  async #forward(reader: LiteReader, delivery: Delivery, clientId: string): Promise<void> {
    const life = this.life
    this.#model.acknowledging(reader, delivery)
    const { handle, messageId } = delivery
    await this.shell.consuming.forwardToDeadLetter({ group: reader.group, topic: TOPIC, handle, messageId, clientId })
    if (life === this.life) this.#model.answered(reader, delivery, 'forwarded')
  }

  async #finishOff(reader: LiteReader): Promise<void> {
    const clientId = 'finisher'
    const full = { action: 'replace', liteTopics: this.#names, version: ++this.#version } as const
    const request = { group: reader.group, topic: TOPIC, clientId, ...full, offset: null }
    this.#heardOf(reader, clientId, request)
    await this.during(this.shell.lite.sync(request))
    const deliveries = await this.during(
      this.#receive(
        reader,
        {
          group: reader.group,
          filter: null,
          topic: TOPIC,
          max: 32,
          waitMs: 100,
          invisibleMs: 30 * SECOND,
          autoRenew: false,
          clientId,
        },
        new AbortController().signal,
      ),
    )
    for (const delivery of deliveries ?? []) {
      await this.during(this.#acknowledge(reader, delivery, clientId))
      const { done } = this.#model.story(reader, delivery.messageId)
      check(done || this.#mayHaveExpired(delivery.messageId), `${delivery.messageId} could not be acknowledged`)
    }
  }

  async #readDeadLetters(reader: LiteReader): Promise<void> {
    const topic = `%DLQ%${reader.group}`
    const where = { group: 'auditor', topic, clientId: 'auditor' }
    const request = { ...where, filter: null, max: 32, waitMs: 0, invisibleMs: HOUR, autoRenew: false }
    while (this.shell.metadata.topic(topic)) {
      const deliveries = await this.during(this.shell.consuming.receive(request, new AbortController().signal))
      if (deliveries.length === 0) return
      // After a move of the offsets a message comes again that was in the dead letters.
      if (reader.orderly)
        for (const delivery of deliveries) this.#model.deadLettered(reader, delivery, this.#maxRetryTimes + 1)
      const handles = deliveries.map(({ handle }) => handle)
      await this.during(this.shell.consuming.ack({ ...where, handles }))
    }
  }

  // At the end -----------------------------------------------------------------------------------

  #judgeReached(reader: LiteReader): void {
    for (const message of this.#model.messages.values()) {
      if (!message.promised || message.incarnation !== this.#model.incarnation) continue
      if (this.#mayHaveExpired(message.id)) continue
      const { done, unanswered, deadAt, deliveries } = this.#model.story(reader, message.id)
      check(
        done || unanswered > 0 || deadAt < Infinity,
        `${message.id} was promised and never reached ${reader.group}; it came ${deliveries} times`,
      )
      this.#reached++
    }
  }

  /** Whether there was a time after the message in which its lite topic was promised nothing for too long. */
  #mayHaveExpired(messageId: string): boolean {
    if (this.#expirationMs === null) return false
    const message = this.#model.messages.get(messageId) as LiteMessage
    let last = message.askedAt
    for (const later of this.#lines.get(message.liteTopic)!) {
      if (!later.promised || later.askedAt < last) continue
      if (later.askedAt - last >= this.#expirationMs) return true
      last = later.askedAt
    }
    return this.shell.now() - last >= this.#expirationMs
  }

  async #judgeExpired(): Promise<void> {
    if (this.#expirationMs === null) return
    const { state } = this.shell
    this.#expired += state.liteTopicCount
    await this.clock.advance(this.#expirationMs + SECOND)
    const left = [...state.subscriptions.values()].filter(({ topic }) => topic.parent !== null).length
    check(state.liteTopicCount === 0, `${state.liteTopicCount} lite topics are there that should have expired`)
    check(left === 0, `${left} subscriptions to expired lite topics are left`)
    const queues = [...state.topics.values()].reduce((sum, topic) => sum + topic.queues.length, 0)
    check(state.queues.size === queues, `${state.queues.size - queues} queues of expired lite topics are there`)
  }

  #client(): string {
    return `client-${this.random.below(4)}`
  }

  // The machine ----------------------------------------------------------------------------------

  protected override opened(shell: BrokerShell): void {
    this.#subscribed = new Map()
    shell.lite.onTopicLost(() => {
      this.#evictions++
    })
  }

  /** Clients repeat what they want, sooner or later. */
  protected override started(): void {
    if (!this.#finishing) for (let i = 0; i < 6; i++) this.#speak()
  }

  protected override crashed(): void {
    this.#model.crashed()
  }

  protected async prepare(): Promise<void> {
    const liteExpirationMs = this.#expirationMs
    const topic = { topicName: TOPIC, generation: 1, messageType: 'LITE' as const, maxSendTps: null, liteExpirationMs }
    await this.during(this.shell.administration.ensureTopics([topic]))
    const groups = readers.map((reader) => ({
      consumerGroupId: reader.group,
      generation: 1,
      orderly: false,
      maxRetryTimes: this.#maxRetryTimes,
      retry: { kind: 'fixed' as const, intervalSeconds: 3 },
      deadLetterTopic: null,
      maxReceiveTps: null,
      lite: { topicName: TOPIC, exclusive: reader.exclusive },
    }))
    await this.during(this.shell.administration.ensureGroups(groups))
  }

  async #recreate(): Promise<void> {
    this.#model.incarnation++
    this.#lines.clear()
    try {
      await this.during(this.shell.administration.removeTopic(TOPIC))
    } catch (error) {
      if (!(error instanceof BrokerRefusal)) throw error
    }
    await this.prepare()
  }

  // Time -----------------------------------------------------------------------------------------
}

const liteTopicOf = ({ payload }: Delivery): string => Buffer.from(payload).toString('latin1').split(' ')[0]!

/** By lite topic: those of one answer are in no order. */
function names(deliveries: readonly Delivery[]): string {
  return deliveries
    .toSorted((one, other) => one.queueId - other.queueId)
    .map(({ messageId, attempt, handle }) => `${messageId}:${attempt}:${handle}`)
    .join(' ')
}
