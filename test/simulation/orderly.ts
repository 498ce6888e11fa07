/**
 * Orderly groups' life by a seed: members that join, leave, fall silent or lose an answer, failures in
 * the middle of a batch, restarts, kills and power cuts, disks that fill, clocks that jump, a topic that is
 * made anew, a group that turns from orderly to concurrent and back. `order-model.ts` judges.
 */
import type { Delivery } from '../../src/broker/broker.ts'
import { segmentOf } from '../../src/broker/log/contract.ts'
import type { BrokerShell } from '../../src/broker/shell/broker-shell.ts'
import { BrokerRefusal } from '../../src/model/refusals.ts'
import { OrderModel, type OrderReader } from './order-model.ts'
import { check, HOUR, MINUTE, SECOND, World } from './world.ts'

const TOPIC = 'line'

const all: OrderReader = { group: 'all', filter: null, orderly: true }
const some: OrderReader = { group: 'some', filter: new Set(['a', 'b']), orderly: true }
const turning: OrderReader = { group: 'turning', filter: null, orderly: false }
const readers = [all, some, turning] as const
const tags = [null, 'a', 'b', 'c'] as const

export interface OrderOutcome {
  readonly deliveries: number
  readonly again: number
  readonly acknowledged: number
  readonly deadLetters: number
  readonly crashes: number
  readonly answersLost: number
  /** Deliveries that were sent to no client. */
  readonly returned: number
  readonly replaysCompared: number
  /** Segments that retention removed. */
  readonly trimmed: number
}

/** Throws with a sentence when a promise was broken. */
export async function simulateOrder(seed: number, steps = 100): Promise<OrderOutcome> {
  const simulation = new OrderSimulation(seed)
  await simulation.live(steps)
  return simulation.finish()
}

class OrderSimulation extends World {
  readonly #model = new OrderModel()
  readonly #messageGroups: readonly string[]
  readonly #maxRetryTimes: number
  #messages = 0
  #attempts = 0
  #answersLost = 0
  #returned = 0
  #turns = 0
  #turned = false
  #finishing = false

  constructor(seed: number) {
    super(seed)
    this.latency.maxMs = this.random.below(4)
    this.#maxRetryTimes = this.random.below(4)
    const retentionMs = this.oneIn(5) ? 2 * MINUTE : 1_000 * HOUR
    this.settings = { ...this.settings, retentionMs }
    this.segmentBytes = 64 * 2 ** 20
    this.#messageGroups = Array.from({ length: 1 + this.random.below(12) }, (_, i) => `group-${i}`)
  }

  async step(): Promise<void> {
    const way = this.random.below(100)
    if (way < 35) this.#produce()
    else if (way < 80) this.#consume()
    else if (way < 84) this.shell.consuming.clientGone(this.#client())
    else if (way < 86) await this.checkpoint(() => this.#produce())
    else if (way < 87) await this.#recreate()
    else if (way < 89) await this.#turn()
    else if (way < 91) this.jumpClock()
    else if (way < 93) await this.restart()
    else if (way < 95) await this.kill()
    else if (way < 97) await this.powerCut()
    else if (way < 98) await this.fillDisk(() => this.#produce())
    await this.pass(this.random.below(this.oneIn(4) ? 30 * SECOND : 50))
  }

  async finish(): Promise<OrderOutcome> {
    await this.restart()
    this.#finishing = true
    for (let quiet = 0, rounds = 0; quiet < 3; rounds++) {
      check(rounds < 300, 'the broker still delivers after three hundred rounds of acknowledging everything')
      const before = this.#model.deliveries
      for (const reader of readers) await this.#finishOff(reader)
      quiet = this.#model.deliveries === before ? quiet + 1 : 0
      await this.pass(2 * MINUTE)
    }
    for (const reader of readers) await this.#readDeadLetters(reader)
    // In a few worlds messages are taken away under those who hold them: nothing is asked of what should have come.
    if (this.settings.retentionMs >= HOUR) {
      for (const reader of readers) this.#model.judge(reader)
      this.#model.settle()
    }
    check(
      this.shell.inspection.usage().inflight === 0,
      `${this.shell.inspection.usage().inflight} deliveries are in flight with nobody`,
    )
    await this.during(this.shell.close())
    const { deliveries, again, acknowledged, deadLetters } = this.#model
    return {
      deliveries,
      again,
      acknowledged,
      deadLetters,
      crashes: this.crashes,
      answersLost: this.#answersLost,
      returned: this.#returned,
      replaysCompared: this.replaysCompared,
      trimmed: segmentOf(this.shell.log.first) - 1,
    }
  }

  // Clients --------------------------------------------------------------------------------------

  #produce(): void {
    const life = this.life
    const sent = Array.from({ length: 1 + this.random.below(this.oneIn(4) ? 12 : 3) }, () => ({
      id: `M${(this.#messages++).toString().padStart(6, '0')}`,
      incarnation: this.#model.incarnation,
      messageGroup: this.#messageGroups[this.random.below(this.#messageGroups.length)]!,
      tag: tags[this.random.below(tags.length)]!,
      promised: false,
      storeTimeMs: 0,
    }))
    for (const message of sent) this.#model.sending(message)
    const messages = sent.map(({ id, tag, messageGroup }) => {
      const payload = this.random.bytes(this.random.below(100))
      return { messageId: id, tag, payload, bodyBytes: payload.length, messageGroup }
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

  #consume(): void {
    const reader = readers[this.random.below(readers.length)]!
    const clientId = this.#client()
    const attemptId = this.oneIn(3) ? null : `attempt-${this.#attempts++}`
    const aborted = new AbortController()
    const request = {
      group: reader.group,
      filter: reader.filter,
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
        // The client never saw it, and asks again as the same attempt.
        this.#answersLost++
        const lost = deliveries
        deliveries = await this.#receive(reader, { ...request, waitMs: 0 }, aborted.signal, { whole: true })
        if (
          deliveries &&
          jumps === this.jumps &&
          !this.stopping &&
          reader.orderly &&
          attemptId !== null &&
          this.#isKept(lost)
        )
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
    reader: OrderReader,
    request: Parameters<BrokerShell['consuming']['receive']>[0],
    signal: AbortSignal,
    { whole = false } = {},
  ): Promise<Delivery[] | null> {
    const life = this.life
    const incarnation = this.#model.incarnation
    let deliveries = await this.shell.consuming.receive(request, signal)
    if (life !== this.life || signal.aborted || incarnation !== this.#model.incarnation) return null
    if (deliveries.length > 0 && !whole && !this.#finishing && this.oneIn(6)) {
      const { sent, unsent } = this.sendPart(request, deliveries)
      this.#model.returned(reader, unsent)
      this.#returned += unsent.length
      deliveries = sent
    }
    this.#model.delivered(reader, deliveries, this.#maxRetryTimes + 1, this.shell.now())
    return deliveries
  }

  /** A batch one after another, as push consumers do; simple ones may leave, skip or fail anywhere. */
  async #treat(reader: OrderReader, deliveries: readonly Delivery[], clientId: string): Promise<void> {
    const life = this.life
    const careful = this.oneIn(2)
    for (const delivery of deliveries) {
      if (this.oneIn(3)) await this.wait(this.random.below(10 * SECOND))
      if (life !== this.life || this.#finishing) return
      const way = careful ? this.random.below(60) : this.random.below(100)
      if (way < 60) await this.#acknowledge(reader, delivery, clientId)
      else if (way < 75) {
        const { handle } = delivery
        const invisibleMs = this.random.below(20 * SECOND)
        await this.shell.consuming.changeInvisible({ group: reader.group, topic: TOPIC, handle, invisibleMs, clientId })
      } else if (way < 82) await this.#forward(reader, delivery, clientId)
      else if (way < 90) return
    }
  }

  async #acknowledge(reader: OrderReader, delivery: Delivery, clientId: string): Promise<void> {
    const life = this.life
    const incarnation = this.#model.incarnation
    this.#model.acknowledging(reader, delivery)
    const request = { group: reader.group, topic: TOPIC, handles: [delivery.handle], clientId }
    const [answer] = await this.shell.consuming.ack(request)
    if (life === this.life && incarnation === this.#model.incarnation)
      this.#model.answered(reader, delivery, answer!.outcome)
  }

  /** Retention has taken none of them meanwhile. */
  #isKept(deliveries: readonly Delivery[]): boolean {
    const { queues } = this.shell.state.topics.get(TOPIC)!
    return deliveries.every(({ queueId, offset }) => offset >= queues[queueId]!.begin)
  }

  async #forward(reader: OrderReader, delivery: Delivery, clientId: string): Promise<void> {
    const life = this.life
    this.#model.acknowledging(reader, delivery)
    const { handle, messageId } = delivery
    await this.shell.consuming.forwardToDeadLetter({ group: reader.group, topic: TOPIC, handle, messageId, clientId })
    if (life === this.life) this.#model.answered(reader, delivery, 'forwarded')
  }

  async #finishOff(reader: OrderReader): Promise<void> {
    const deliveries = await this.during(
      this.#receive(
        reader,
        {
          group: reader.group,
          filter: reader.filter,
          topic: TOPIC,
          max: 32,
          waitMs: 100,
          invisibleMs: 30 * SECOND,
          autoRenew: false,
          clientId: 'finisher',
        },
        new AbortController().signal,
      ),
    )
    for (const delivery of deliveries ?? []) {
      await this.during(this.#acknowledge(reader, delivery, 'finisher'))
      check(this.#model.story(reader, delivery.messageId).done, `${delivery.messageId} could not be acknowledged`)
    }
  }

  async #readDeadLetters(reader: OrderReader): Promise<void> {
    const topic = `%DLQ%${reader.group}`
    const where = { group: 'auditor', topic, clientId: 'auditor' }
    const request = { ...where, filter: null, max: 32, waitMs: 0, invisibleMs: HOUR, autoRenew: false }
    while (this.shell.metadata.topic(topic)) {
      const deliveries = await this.during(this.shell.consuming.receive(request, new AbortController().signal))
      if (deliveries.length === 0) return
      for (const delivery of deliveries) this.#model.deadLettered(reader, delivery, this.#maxRetryTimes + 1)
      const handles = deliveries.map(({ handle }) => handle)
      await this.during(this.shell.consuming.ack({ ...where, handles }))
    }
  }

  #client(): string {
    return `client-${this.random.below(5)}`
  }

  // The machine ----------------------------------------------------------------------------------

  protected override crashed(): void {
    this.#model.crashed()
  }

  protected async prepare(): Promise<void> {
    const topic = { topicName: TOPIC, generation: 1, messageType: 'FIFO' as const, maxSendTps: null }
    await this.during(this.shell.administration.ensureTopics([topic]))
    await this.#ensureGroups()
    for (const { group, filter } of readers) {
      const aborted = new AbortController()
      const request = { group, filter, topic: TOPIC, max: 1, waitMs: 0, invisibleMs: SECOND, autoRenew: false }
      const first = this.shell.consuming.receive({ ...request, clientId: 'first' }, aborted.signal)
      aborted.abort()
      await this.during(first)
    }
  }

  #ensureGroups(): Promise<void> {
    const groups = readers.map(({ group }) => ({
      consumerGroupId: group,
      generation: 1 + this.#turns,
      orderly: group !== turning.group || this.#turned,
      maxRetryTimes: this.#maxRetryTimes,
      retry: { kind: 'fixed' as const, intervalSeconds: 3 },
      deadLetterTopic: null,
      maxReceiveTps: null,
    }))
    return this.during(this.shell.administration.ensureGroups(groups))
  }

  async #turn(): Promise<void> {
    this.#turns++
    this.#turned = !this.#turned
    await this.#ensureGroups()
  }

  async #recreate(): Promise<void> {
    this.#model.incarnation++
    try {
      await this.during(this.shell.administration.removeTopic(TOPIC))
    } catch (error) {
      if (!(error instanceof BrokerRefusal)) throw error
    }
    await this.prepare()
  }

  // Time -----------------------------------------------------------------------------------------
}

/** By queue: the queues of one answer are in no order. */
function names(deliveries: readonly Delivery[]): string {
  return deliveries
    .toSorted((one, other) => one.queueId - other.queueId)
    .map(({ messageId, attempt, handle }) => `${messageId}:${attempt}:${handle}`)
    .join(' ')
}
