/**
 * One broker, driven by a seed: producers, consumers, nacks, silent and lost clients, stale handles,
 * restarts, kills and power cuts at any moment, disks that fill, topics and groups that come and go, clocks that
 * jump. `model.ts` judges.
 *
 * Everything random comes from the seed and everything timed from the simulated clock.
 */
import type { Delivery, Filter, ReceiveRequest } from '../../src/broker/broker.ts'
import { segmentOf } from '../../src/broker/log/contract.ts'
import type { GroupSpec } from '../../src/model/instances.ts'
import { BrokerRefusal } from '../../src/model/refusals.ts'
import { Model } from './model.ts'
import { check, HOUR, MINUTE, World } from './world.ts'

interface Reader {
  readonly group: string
  readonly topic: string
  readonly filter: Filter
}

const tags = [null, 'a', 'b', 'c'] as const

/** Payloads are bytes by chance, so what an expression would say of them is a matter of one of them. */
const even: Filter = { sql: 'even', passes: (payload) => payload.length > 0 && payload[0]! % 2 === 0 }

const readers: readonly Reader[] = [
  { group: 'all', topic: 'kept', filter: null },
  { group: 'some', topic: 'kept', filter: new Set(['a', 'b']) },
  { group: 'asked', topic: 'kept', filter: even },
  { group: 'all', topic: 'passing', filter: null },
]

/** Group `some` names a topic for its dead letters; the others get their own. */
const deadLetterTopics = { all: '%DLQ%all', some: 'graveyard', asked: '%DLQ%asked' }

export interface Outcome {
  readonly sent: number
  readonly deliveries: number
  readonly acknowledged: number
  readonly deadLetters: number
  readonly crashes: number
  readonly replaysCompared: number
  /** Segments that retention removed. */
  readonly trimmed: number
}

/** Throws with a sentence when a promise was broken. */
export async function simulateBroker(seed: number, steps = 120): Promise<Outcome> {
  const simulation = new Simulation(seed)
  await simulation.live(steps)
  return simulation.finish()
}

class Simulation extends World {
  readonly #model = new Model()
  readonly #maxRetryTimes: number
  #messages = 0
  readonly #clients = new Set<string>()
  /** Whether clients may make group `fleeting` by using it, as far as that was promised; null while no promise says so. */
  #mayUse: boolean | null = true
  #fleetingGeneration = 0
  /** Handles clients still hold, from before crashes too. */
  readonly #old: Array<{ reader: Reader; delivery: Delivery }> = []

  constructor(seed: number) {
    super(seed)
    this.latency.maxMs = this.random.below(4)
    this.settings = {
      retentionMs: this.oneIn(3) ? 20 * MINUTE : 1_000 * HOUR,
      sendTps: 1e9,
      receiveTps: this.oneIn(4) ? 200 : 1e9,
      maxDelayMs: HOUR,
    }
    this.cipherKey = this.oneIn(5) ? this.random.bytes(32) : null
    this.#maxRetryTimes = this.random.below(4)
    this.segmentBytes = 4_096 << this.random.below(5)
  }

  async step(): Promise<void> {
    const way = this.random.below(100)
    if (way < 35) this.#produce()
    else if (way < 75) this.#consume()
    else if (way < 79) this.#acknowledgeOld()
    else if (way < 82) this.#loseClient()
    else if (way < 84) await this.checkpoint(() => this.#produce())
    else if (way < 86) await this.#recreatePassing()
    else if (way < 88) this.jumpClock()
    else if (way < 90) await this.restart()
    else if (way < 93) await this.kill()
    else if (way < 95) await this.powerCut()
    else if (way < 96) await this.fillDisk(() => this.#produce())
    else await this.#useDeletedGroup()
    await this.pass(this.#pause())
  }

  async finish(): Promise<Outcome> {
    await this.restart()
    await this.prepare()
    // Long enough for every pause and every silent owner; nobody nacks any more.
    for (let quiet = 0, rounds = 0; quiet < 3; rounds++) {
      check(rounds < 500, 'the broker still delivers after five hundred rounds of acknowledging everything')
      const before = this.#model.deliveries
      for (const reader of readers) await this.#receiveAll(reader)
      quiet = this.#model.deliveries === before ? quiet + 1 : 0
      await this.pass(3 * MINUTE)
    }
    await this.#readDeadLetters()
    const keptSinceMs = this.clock.now() - this.settings.retentionMs + 5 * MINUTE
    for (const reader of readers) this.#model.judge(reader, keptSinceMs)
    check(
      this.shell.inspection.usage().inflight === 0,
      `${this.shell.inspection.usage().inflight} deliveries are in flight with nobody`,
    )
    await this.restart()
    await this.clock.advance(2 * MINUTE)
    await this.during(this.shell.close())
    return {
      sent: this.#messages,
      deliveries: this.#model.deliveries,
      acknowledged: this.#model.acknowledged,
      deadLetters: this.#model.deadLetters,
      crashes: this.crashes,
      replaysCompared: this.replaysCompared,
      trimmed: segmentOf(this.shell.log.first) - 1,
    }
  }

  // Clients --------------------------------------------------------------------------------------

  #produce(): void {
    const topic = this.oneIn(3) ? 'passing' : 'kept'
    const life = this.life
    const count = 1 + this.random.below(this.oneIn(4) ? 30 : 4)
    const sent = Array.from({ length: count }, () => ({
      id: `M${(this.#messages++).toString().padStart(8, '0')}`,
      topic,
      incarnation: this.#model.incarnation(topic),
      tag: tags[this.random.below(tags.length)]!,
      payload: this.random.bytes(this.random.below(this.oneIn(20) ? 4_000 : 200)),
      promised: false,
      storeTimeMs: 0,
    }))
    for (const message of sent) this.#model.sending(message)
    const messages = sent.map(({ id, tag, payload }) => ({
      messageId: id,
      tag,
      payload,
      bodyBytes: payload.length,
    }))
    this.behind(async () => {
      const receipts = await this.shell.producing.send({ topic, messages })
      if (life !== this.life) return
      receipts.forEach((receipt, i) => {
        sent[i]!.promised = true
        sent[i]!.storeTimeMs = receipt.storeTimeMs
      })
    })
  }

  #consume(): void {
    const reader = readers[this.random.below(readers.length)]!
    const clientId = `client-${this.random.below(6)}`
    this.#clients.add(clientId)
    const life = this.life
    const autoRenew = this.oneIn(3)
    const aborted = new AbortController()
    this.behind(async () => {
      const deliveries = await this.shell.consuming.receive(
        {
          ...reader,
          max: 1 + this.random.below(12),
          waitMs: this.random.below(20_000),
          invisibleMs: 1_000 + this.random.below(30_000),
          autoRenew,
          clientId,
        },
        aborted.signal,
      )
      if (life !== this.life || aborted.signal.aborted) return
      for (const delivery of deliveries) {
        this.#model.delivered({ ...reader, maxAttempts: this.#maxRetryTimes + 1 }, delivery)
        this.behind(() => this.#treat(reader, delivery, clientId))
      }
    })
    if (this.oneIn(8)) this.clock.after(this.random.below(10_000), () => aborted.abort())
  }

  async #treat(reader: Reader, delivery: Delivery, clientId: string): Promise<void> {
    const life = this.life
    const way = this.random.below(100)
    if (this.oneIn(2)) await this.wait(this.random.below(20_000))
    if (life !== this.life) return
    if (way < 60) return this.#acknowledge(reader, delivery, clientId)
    if (way < 85) {
      const { group, topic } = reader
      const { handle } = delivery
      const changed = await this.shell.consuming.changeInvisible({
        group,
        topic,
        handle,
        invisibleMs: this.random.below(40_000),
        clientId,
      })
      check(life !== this.life || changed.handle !== '', 'changing the invisible time gave no handle')
      // Both handles go on naming the delivery.
      if (this.oneIn(3))
        await this.#acknowledge(reader, this.oneIn(2) ? delivery : { ...delivery, ...changed }, clientId)
      return
    }
    if (way < 89) {
      this.#model.acknowledging(reader.group, delivery)
      const handle = this.oneIn(4) ? '' : delivery.handle
      await this.shell.consuming.forwardToDeadLetter({ ...reader, handle, messageId: delivery.messageId, clientId })
      if (life === this.life) this.#model.forwarded(reader.group, delivery)
      return
    }
    this.#old.push({ reader, delivery })
  }

  async #acknowledge(reader: Reader, delivery: Delivery, clientId: string): Promise<void> {
    const life = this.life
    const incarnation = this.#model.incarnation(reader.topic)
    this.#model.acknowledging(reader.group, delivery)
    const [answer] = await this.shell.consuming.ack({ ...reader, handles: [delivery.handle], clientId })
    if (life === this.life && incarnation === this.#model.incarnation(reader.topic))
      this.#model.answered(reader.group, delivery, answer!.outcome, this.shell.now())
  }

  /** A consumer that took far too long: its handle must not acknowledge somebody else's delivery. */
  #acknowledgeOld(): void {
    const [old] = this.#old.splice(this.random.below(this.#old.length), 1)
    if (old) this.behind(() => this.#acknowledge(old.reader, old.delivery, 'client-late'))
  }

  #loseClient(): void {
    const [clientId] = this.#clients
    if (clientId === undefined) return
    this.#clients.delete(clientId)
    this.shell.consuming.clientGone(clientId)
  }

  async #receiveAll(reader: Reader): Promise<void> {
    const life = this.life
    const deliveries = await this.#receivePatiently({
      ...reader,
      max: 32,
      waitMs: 100,
      invisibleMs: 30_000,
      autoRenew: false,
      clientId: 'finisher',
    })
    for (const delivery of deliveries) {
      this.#model.delivered({ ...reader, maxAttempts: this.#maxRetryTimes + 1 }, delivery)
      this.#model.acknowledging(reader.group, delivery)
    }
    if (deliveries.length === 0) return
    const handles = deliveries.map((delivery) => delivery.handle)
    const outcomes = await this.during(this.shell.consuming.ack({ ...reader, handles, clientId: 'finisher' }))
    check(life === this.life, 'the finisher was interrupted')
    deliveries.forEach((delivery, i) => {
      check(outcomes[i]!.outcome === 'done', `${delivery.messageId} could not be acknowledged at once`)
      this.#model.answered(reader.group, delivery, 'done', this.shell.now())
    })
  }

  /** Waits out the instance's receive budget, as clients do. */
  async #receivePatiently(request: ReceiveRequest): Promise<Delivery[]> {
    for (;;) {
      try {
        return await this.during(this.shell.consuming.receive(request, new AbortController().signal))
      } catch (error) {
        if (!(error instanceof BrokerRefusal && error.code === 42900)) throw error
        await this.clock.advance(100)
      }
    }
  }

  async #readDeadLetters(): Promise<void> {
    for (const [group, topic] of Object.entries(deadLetterTopics)) {
      if (!this.shell.metadata.topic(topic)) continue
      for (;;) {
        const request = { group: 'auditor', topic, filter: null, max: 32, waitMs: 0, invisibleMs: HOUR }
        const deliveries = await this.#receivePatiently({ ...request, autoRenew: false, clientId: 'auditor' })
        if (deliveries.length === 0) break
        for (const delivery of deliveries) this.#model.deadLettered(group, delivery)
        const handles = deliveries.map((delivery) => delivery.handle)
        await this.during(this.shell.consuming.ack({ group: 'auditor', topic, handles, clientId: 'auditor' }))
      }
    }
  }

  /** Group `fleeting` is created, deleted, or named by a client: deleted it stays deleted, whatever happened meanwhile. */
  async #useDeletedGroup(): Promise<void> {
    const consumerGroupId = 'fleeting'
    const way = this.random.below(3)
    try {
      if (way < 2) {
        this.#mayUse = null
        const generation = ++this.#fleetingGeneration
        await this.during(
          way === 0
            ? this.shell.administration.removeGroup(consumerGroupId)
            : this.shell.administration.ensureGroups([{ ...this.#groupSpec(consumerGroupId), generation }]),
        )
        this.#mayUse = way === 1
      } else {
        this.shell.consuming.useGroup(consumerGroupId)
        check(this.#mayUse !== false, 'a client made a group anew that was deleted')
      }
    } catch (error) {
      if (!(error instanceof BrokerRefusal)) throw error
      check(error.code !== 40403 || this.#mayUse !== true, 'a group was refused as deleted that was created since')
    }
  }

  // The machine ----------------------------------------------------------------------------------

  /** What the management plane wants; told again after every start, as the loop does. */
  protected override crashed(): void {
    this.#model.crashed()
  }

  protected async prepare(): Promise<void> {
    const topics = ['kept', 'passing', 'graveyard'].map((topicName) => ({
      topicName,
      generation: 1,
      messageType: 'NORMAL' as const,
      maxSendTps: null,
    }))
    const groups = Object.entries(deadLetterTopics).map(([consumerGroupId, topic]) => ({
      ...this.#groupSpec(consumerGroupId),
      deadLetterTopic: topic.startsWith('%') ? null : topic,
    }))
    await this.during(this.shell.administration.ensureTopics(topics))
    await this.during(this.shell.administration.ensureGroups(groups))
    // A group reads from the first message of a young topic; once a message is lost to retention it would not.
    for (const reader of readers) {
      const request = { ...reader, max: 1, waitMs: 0, invisibleMs: 10_000, autoRenew: false, clientId: 'first' }
      const aborted = new AbortController()
      const first = this.shell.consuming.receive(request, aborted.signal)
      aborted.abort()
      await this.during(first).catch((error: unknown) => {
        if (!(error instanceof BrokerRefusal && error.code === 42900)) throw error
      })
    }
  }

  #groupSpec(consumerGroupId: string): GroupSpec {
    return {
      consumerGroupId,
      generation: 1,
      orderly: false,
      maxRetryTimes: this.#maxRetryTimes,
      retry: { kind: 'fixed', intervalSeconds: 10 },
      deadLetterTopic: null,
      maxReceiveTps: null,
    }
  }

  async #recreatePassing(): Promise<void> {
    this.#model.topicRemoved('passing')
    try {
      await this.during(this.shell.administration.removeTopic('passing'))
    } catch (error) {
      if (!(error instanceof BrokerRefusal)) throw error
    }
    await this.prepare()
  }

  // Time -----------------------------------------------------------------------------------------

  #pause(): number {
    const way = this.random.below(20)
    if (way < 12) return this.random.below(20)
    if (way < 18) return this.random.below(5_000)
    return this.random.below(2 * MINUTE)
  }
}
