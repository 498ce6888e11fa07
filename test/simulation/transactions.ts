/**
 * Transactions by a seed: producers that come, go, answer late, twice, contrarily or never; checks;
 * kills and power cuts between a half message and its end; slow and full disks; short retention; clocks
 * that jump; topics made anew. `TransactionModel` below judges: what must never be delivered, what must
 * be, how often and when producers are asked, and that every transaction ends.
 */
import type { Delivery, Orphan } from '../../src/broker/broker.ts'
import { limits } from '../../src/broker/core/limits.ts'
import type { BrokerShell } from '../../src/broker/shell/broker-shell.ts'
import { check, HOUR, MINUTE, SECOND, World } from './world.ts'

const topics = ['kept', 'passing'] as const
/** How late a check may be while all is well: a disk of a few milliseconds, a portion at a time. */
const LATE_MS = 3 * SECOND

type Resolution = 'commit' | 'rollback'

export interface TransactionsOutcome {
  readonly sent: number
  readonly committed: number
  readonly rolledBack: number
  readonly expired: number
  readonly late: number
  readonly checks: number
  readonly crashes: number
  readonly delivered: number
  readonly replaysCompared: number
}

/** One transaction as its producers know it. Times are the broker's, except where monotonic is said. */
interface Story {
  readonly messageId: string
  readonly topic: string
  readonly incarnation: number
  readonly payload: Uint8Array
  readonly recoveryMs: number | null
  /** Given with the promise; null until then, and for ever when it was never answered. */
  transactionId: string | null
  storedAt: number
  /** Monotonic: when the next check is due by the promises. */
  dueMs: number
  /** Decisions asked for, whatever became of them. */
  readonly asked: Set<Resolution>
  /** What the broker said it is: promised. */
  ended: Resolution | 'expired' | 'somehow' | null
  checks: number
  /** Checks that may have been counted and not made: a broker ended between the two. */
  lost: number
  lastCheckAt: number
  readonly places: Set<string>
}

/** Throws with a sentence when a promise was broken. */
export async function simulateTransactions(seed: number, steps = 80): Promise<TransactionsOutcome> {
  const simulation = new Simulation(seed)
  await simulation.live(steps)
  return simulation.finish()
}

class TransactionModel {
  readonly stories = new Map<string, Story>()
  readonly #incarnations = new Map<string, number>()
  readonly lifeMs: number
  committed = 0
  rolledBack = 0
  expired = 0
  late = 0
  checks = 0
  delivered = 0

  constructor(lifeMs: number) {
    this.lifeMs = lifeMs
  }

  incarnation(topic: string): number {
    return this.#incarnations.get(topic) ?? 0
  }

  topicRemoved(topic: string): void {
    this.#incarnations.set(topic, this.incarnation(topic) + 1)
  }

  /** The topic is still the one the transaction was sent to. */
  current(story: Story): boolean {
    return story.incarnation === this.incarnation(story.topic)
  }

  /** `since`: the topic's incarnation when the receive began, which may have been the one before. */
  wasDelivered(delivery: Delivery, since: number): void {
    const story = this.#story(delivery.messageId)
    check(story.incarnation >= since, `${story.messageId} came from a topic made anew`)
    check(story.asked.has('commit'), `${story.messageId} came, and nobody asked to commit it`)
    check(
      story.ended === null || story.ended === 'commit' || story.ended === 'somehow',
      `${story.messageId} came, and was promised to have ended by ${story.ended}`,
    )
    check(Buffer.compare(story.payload, delivery.payload) === 0, `${story.messageId} came with another payload`)
    story.places.add(`${delivery.queueId}:${delivery.offset}`)
    check(story.places.size === 1, `${story.messageId} is stored twice: ${[...story.places].join(' and ')}`)
    this.delivered++
  }

  /** `countedAt`: when the check was written down, at the earliest. */
  wasAsked(orphan: Orphan, at: number, countedAt: number, monotonicMs: number): void {
    const story = this.#story(orphan.messageId)
    check(story.ended === null, `a producer was asked about ${story.messageId}, which ended by ${story.ended}`)
    check(this.current(story), `a producer was asked about ${story.messageId} of a removed topic`)
    check(Buffer.compare(story.payload, orphan.payload) === 0, `${story.messageId} was shown with another payload`)
    story.transactionId ??= orphan.transactionId
    check(story.transactionId === orphan.transactionId, `${story.messageId} was asked about under another id`)
    story.checks++
    this.checks++
    check(story.checks <= limits.checksPerTransaction, `${story.messageId} was checked ${story.checks} times`)
    const earliest =
      story.checks === 1 ? orphan.storeTimeMs + firstMs(story) : story.lastCheckAt + limits.checkIntervalMs
    check(at >= earliest - LATE_MS, `${story.messageId} was checked ${earliest - at} ms early`)
    check(at <= orphan.storeTimeMs + this.lifeMs + LATE_MS, `${story.messageId} was checked after its end of life`)
    story.lastCheckAt = countedAt
    story.dueMs = monotonicMs + limits.checkIntervalMs
  }

  /** Every open transaction whose check was due while a producer was there the whole time since `aliveMs` was asked about. */
  judgePunctuality(nowMs: number, aliveMs: number, at: number): void {
    for (const story of this.stories.values()) {
      if (story.transactionId === null || story.ended !== null || !this.current(story)) continue
      if (story.storedAt === 0 || story.asked.size > 0 || story.checks + story.lost >= limits.checksPerTransaction)
        continue
      if (at >= story.storedAt + this.lifeMs) continue
      const due = Math.max(story.dueMs, aliveMs)
      check(due + LATE_MS >= nowMs, `${story.messageId} is ${nowMs - due} ms late for check ${story.checks + 1}`)
    }
  }

  brokerEnded(nowMs: number): void {
    for (const story of this.stories.values()) {
      story.lost++
      story.dueMs = Math.max(story.dueMs, nowMs + limits.checkIntervalMs)
    }
  }

  wasEnded(story: Story, wanted: Resolution, answer: { outcome: string; as?: string | null }, at: number): void {
    if (!this.current(story)) return
    const { messageId } = story
    if (answer.outcome === 'committed' || answer.outcome === 'rolled-back') {
      const did = answer.outcome === 'committed' ? 'commit' : 'rollback'
      check(did === wanted, `${messageId} was to end by ${wanted} and ended by ${did}`)
      check(story.ended === null || story.ended === did, `${messageId} ended by ${story.ended} and then by ${did}`)
      check(did === 'commit' || story.places.size === 0, `${messageId} was delivered and then rolled back`)
      if (story.ended === null) {
        if (did === 'commit') this.committed++
        else this.rolledBack++
      }
      story.ended = did
      return
    }
    check(answer.outcome === 'ended', `${messageId} is ${answer.outcome} after ${wanted}`)
    this.late++
    if (answer.as === 'expired') {
      check(at >= story.storedAt + this.lifeMs, `${messageId} expired after ${at - story.storedAt} ms`)
      if (story.ended === null) this.expired++
    }
    check(
      !answer.as || story.ended === null || story.ended === 'somehow' || story.ended === answer.as,
      `${messageId} ended by ${story.ended}, and is said to have ended by ${answer.as}`,
    )
    if (story.ended === null || story.ended === 'somehow') story.ended = (answer.as as Story['ended']) ?? 'somehow'
    check(
      story.ended !== 'somehow' || story.asked.size > 0 || at >= story.storedAt + this.lifeMs,
      `${messageId} has ended, and nobody decided it`,
    )
  }

  /** At the end of everything. */
  judge(keptSinceMs: number): void {
    for (const story of this.stories.values()) {
      if (!this.current(story)) continue
      if (story.ended === 'commit' && story.storedAt >= keptSinceMs)
        check(story.places.size === 1, `${story.messageId} was promised to be committed and never came`)
      if (story.ended === 'rollback' || story.ended === 'expired')
        check(story.places.size === 0, `${story.messageId} ended by ${story.ended} and came`)
    }
  }

  #story(messageId: string): Story {
    const story = this.stories.get(messageId)
    check(story !== undefined, `${messageId} was never sent`)
    return story
  }
}

class Simulation extends World {
  readonly #model: TransactionModel
  #messages = 0
  /** Producers that can be asked. */
  #producers = 1
  /** Monotonic: since when there has been one, with the broker open and its disk well. */
  #aliveMs = 0
  /** The latest setting of the clock, by the monotonic one. */
  #jumped = { atMs: Number.NEGATIVE_INFINITY, byMs: 0 }
  /** The clock was set back by this much in all: time the broker may stand still after a restart. */
  #setBackMs = 0
  /** Producers answer what they are asked; not in the last phase. */
  #answering = true

  constructor(seed: number) {
    super(seed)
    this.latency.maxMs = this.random.below(this.oneIn(5) ? 40 : 4)
    const retentionMs = this.oneIn(3) ? 30 * MINUTE : 1_000 * HOUR
    this.settings = { retentionMs, sendTps: 1e9, receiveTps: 1e9, maxDelayMs: HOUR }
    this.#model = new TransactionModel(Math.min(retentionMs, limits.transactionLifeMs))
    this.segmentBytes = 8_192 << this.random.below(3)
    this.cipherKey = this.oneIn(5) ? this.random.bytes(32) : null
  }

  async step(): Promise<void> {
    const way = this.random.below(100)
    if (way < 40) this.#send()
    else if (way < 58) this.#decide()
    else if (way < 70) this.#receive()
    else if (way < 77) this.#changeProducers()
    else if (way < 79) await this.checkpoint(() => this.#busy())
    else if (way < 81) await this.#recreatePassing()
    else if (way < 83) this.#jump()
    else if (way < 87) await this.restart()
    else if (way < 91) await this.kill()
    else if (way < 95) await this.powerCut()
    else if (way < 96) await this.fillDisk(() => this.#busy())
    await this.pass(this.#pause())
  }

  async finish(): Promise<TransactionsOutcome> {
    this.#answering = false
    await this.restart()
    await this.#receiveAll()
    // Everything left open comes to its end, by itself.
    for (let left = this.#model.lifeMs + MINUTE; left > 0; left -= 10 * MINUTE) await this.pass(10 * MINUTE)
    const { open } = this.shell.state.transactions
    check(open.size === 0, `${open.size} transactions are open after their end of life`)
    // A broker that was open the whole time knows how each one ended; one that was not says only that it did.
    if (this.oneIn(2)) await this.restart()
    for (const story of this.#model.stories.values()) await this.#judgeEnd(story)
    await this.#receiveAll()
    this.#model.judge(this.shell.now() - this.settings.retentionMs + 5 * MINUTE)
    await this.during(this.shell.close())
    const { committed, rolledBack, expired, late, checks, delivered } = this.#model
    return {
      sent: this.#messages,
      committed,
      rolledBack,
      expired,
      late,
      checks,
      crashes: this.crashes,
      delivered,
      replaysCompared: this.replaysCompared,
    }
  }

  // Producers ------------------------------------------------------------------------------------

  #send(): void {
    const topic = topics[this.oneIn(3) ? 1 : 0]
    const life = this.life
    const stories = Array.from({ length: 1 + this.random.below(this.oneIn(6) ? 20 : 2) }, (): Story => {
      const messageId = `M${(this.#messages++).toString().padStart(6, '0')}`
      return {
        messageId,
        topic,
        incarnation: this.#model.incarnation(topic),
        payload: this.random.bytes(this.random.below(200)),
        recoveryMs: this.oneIn(4) ? SECOND + this.random.below(2 * MINUTE) : null,
        transactionId: null,
        storedAt: 0,
        dueMs: 0,
        asked: new Set(),
        ended: null,
        checks: 0,
        lost: 0,
        lastCheckAt: 0,
        places: new Set(),
      }
    })
    for (const story of stories) this.#model.stories.set(story.messageId, story)
    const messages = stories.map(({ messageId, payload, recoveryMs }) => ({
      messageId,
      tag: null,
      payload,
      bodyBytes: payload.length,
      transactional: true,
      recoveryMs,
    }))
    const sentMs = this.clock.monotonic()
    this.behind(async () => {
      const receipts = await this.shell.producing.send({ topic, messages, clientId: 'producer' })
      // The reply was lost: the producer never hears the ids, unless it is asked.
      if (life !== this.life || this.oneIn(8)) return
      receipts.forEach((receipt, i) => {
        const story = stories[i]!
        story.transactionId = receipt.transactionId!
        story.storedAt = receipt.storeTimeMs
        if (story.checks === 0) story.dueMs = sentMs + firstMs(story)
        if (this.oneIn(2)) this.#end(story, this.oneIn(3) ? 'rollback' : 'commit')
      })
    })
  }

  /** A producer decides late, again, or the other way round. */
  #decide(): void {
    const known = [...this.#model.stories.values()].filter(({ transactionId }) => transactionId !== null)
    const story = known[this.random.below(known.length)]
    if (!story) return
    const resolution = this.oneIn(3) ? 'rollback' : 'commit'
    this.#end(story, resolution)
    if (this.oneIn(3)) this.#end(story, this.oneIn(2) ? resolution : 'rollback')
  }

  #end(story: Story, resolution: Resolution): void {
    const life = this.life
    if (this.#model.current(story)) story.asked.add(resolution)
    this.behind(
      async () => {
        const { topic, transactionId } = story
        const answer = await this.shell.transactions.end({ topic, transactionId: transactionId!, resolution })
        if (life !== this.life || this.oneIn(8)) return
        this.#model.wasEnded(story, resolution, answer, this.shell.now())
      },
      this.#model.current(story) ? [50001, 42900, 40402] : [50001, 42900, 40402, 40008],
    )
  }

  #changeProducers(): void {
    this.#producers = this.random.below(3)
    if (this.#producers > 0) this.#producerConnected()
  }

  #producerConnected(): void {
    this.#aliveMs = this.clock.monotonic()
    this.shell.transactions.producerConnected([...topics])
  }

  #wasAsked(orphan: Orphan): void {
    const at = this.shell.now()
    const monotonicMs = this.clock.monotonic()
    // The clock may have been set between the writing of the check and the question.
    const countedAt = monotonicMs < this.#jumped.atMs + SECOND ? at - Math.max(0, this.#jumped.byMs) : at
    this.#model.wasAsked(orphan, at, countedAt, monotonicMs)
    const story = this.#model.stories.get(orphan.messageId)!
    if (!this.#answering) return
    const way = this.random.below(10)
    if (way < 4) return
    const life = this.life
    this.clock.after(this.random.below(this.oneIn(5) ? 3 * MINUTE : SECOND), () => {
      if (life !== this.life) return
      const resolution = way < 8 ? 'commit' : 'rollback'
      this.#end(story, resolution)
      if (this.oneIn(4)) this.#end(story, resolution)
    })
  }

  // Consumers ------------------------------------------------------------------------------------

  #receive(): void {
    const topic = topics[this.random.below(2)]!
    const life = this.life
    const since = this.#model.incarnation(topic)
    this.behind(async () => {
      const deliveries = await this.#take(topic, this.random.below(5_000))
      if (life !== this.life) return
      for (const delivery of deliveries) this.#model.wasDelivered(delivery, since)
      if (this.oneIn(3)) return
      const handles = deliveries.map(({ handle }) => handle)
      if (handles.length > 0) await this.shell.consuming.ack({ group: 'group', topic, handles, clientId: 'consumer' })
    })
  }

  async #receiveAll(): Promise<void> {
    await this.pass(2 * MINUTE)
    for (const topic of topics)
      for (;;) {
        const deliveries = await this.during(this.#take(topic, 0))
        if (deliveries.length === 0) break
        for (const delivery of deliveries) this.#model.wasDelivered(delivery, this.#model.incarnation(topic))
        const handles = deliveries.map(({ handle }) => handle)
        await this.during(this.shell.consuming.ack({ group: 'group', topic, handles, clientId: 'consumer' }))
      }
  }

  #take(topic: string, waitMs: number): Promise<Delivery[]> {
    const request = { group: 'group', topic, filter: null, max: 32, waitMs, invisibleMs: 30 * SECOND }
    return this.shell.consuming.receive(
      { ...request, autoRenew: false, clientId: 'consumer' },
      new AbortController().signal,
    )
  }

  /** Whatever a producer says now, the transaction has ended, and the broker knows the id as long as the topic lives. */
  async #judgeEnd(story: Story): Promise<void> {
    if (story.transactionId === null || !this.#model.current(story)) return
    const { topic, transactionId, messageId } = story
    const answer = await this.during(this.shell.transactions.end({ topic, transactionId, resolution: 'commit' }))
    check(answer.outcome === 'ended', `${messageId} was still ${answer.outcome} at the end`)
    this.#model.wasEnded(story, 'commit', answer, this.shell.now())
  }

  // The machine ----------------------------------------------------------------------------------

  protected override opened(shell: BrokerShell): void {
    const { life } = this
    this.#model.brokerEnded(this.clock.monotonic())
    shell.transactions.addTransactionChecker({
      canAsk: () => this.#producers > 0,
      ask: async (orphan) => {
        if (life !== this.life) return
        try {
          this.#wasAsked(orphan)
        } catch (error) {
          this.breaks(error)
        }
      },
    })
  }

  protected async prepare(): Promise<void> {
    const specs = topics.map((topicName) => ({
      topicName,
      generation: 1,
      messageType: 'TRANSACTION' as const,
      maxSendTps: null,
    }))
    await this.during(this.shell.administration.ensureTopics(specs))
    for (const topic of topics) await this.during(this.#take(topic, 0)).then((found) => this.#giveBack(topic, found))
  }

  /** Subscribing may deliver; those count like any. */
  async #giveBack(topic: string, deliveries: readonly Delivery[]): Promise<void> {
    for (const delivery of deliveries) this.#model.wasDelivered(delivery, this.#model.incarnation(topic))
    const handles = deliveries.map(({ handle }) => handle)
    if (handles.length > 0)
      await this.during(this.shell.consuming.ack({ group: 'group', topic, handles, clientId: 'consumer' }))
  }

  protected override started(): void {
    if (this.#producers > 0) this.#producerConnected()
  }

  #busy(): void {
    this.#send()
    this.#decide()
  }

  async #recreatePassing(): Promise<void> {
    this.#model.topicRemoved('passing')
    await this.during(this.shell.administration.removeTopic('passing'))
    await this.prepare()
  }

  // Time -----------------------------------------------------------------------------------------

  #jump(): void {
    const byMs = (this.random.below(3) - 1) * this.random.below(MINUTE)
    if (byMs < 0) this.#setBackMs -= byMs
    const atMs = this.clock.monotonic()
    // One right after another counts with it: a check may have been written down before both.
    const before = atMs < this.#jumped.atMs + SECOND ? Math.max(0, this.#jumped.byMs) : 0
    this.#jumped = { atMs, byMs: Math.max(0, byMs) + before }
    this.clock.jump(byMs)
  }

  #pause(): number {
    const way = this.random.below(20)
    if (way < 10) return this.random.below(20)
    if (way < 16) return this.random.below(10 * SECOND)
    return this.random.below(3 * MINUTE)
  }

  override async pass(ms: number): Promise<void> {
    await super.pass(ms)
    if (this.#producers === 0 || this.shell.log.failed) return
    const nowMs = this.clock.monotonic() - this.#setBackMs
    this.#model.judgePunctuality(nowMs, this.#aliveMs, this.shell.now())
  }
}

const firstMs = (story: Story): number => story.recoveryMs ?? limits.firstCheckMs
