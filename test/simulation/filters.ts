/**
 * Readers that filter, readers that pull, and readers that are moved, by a seed: tag and SQL92 subscriptions,
 * orderly and not, resets to a time and to the end that are told again until they are answered (and once more
 * after that, as a lost record makes the loop do), kills, power cuts, full disks and clocks that jump.
 *
 * The judge, in a few sentences. A group gets what its filter lets through and nothing else. What it
 * acknowledged does not come back, until a reset. After a reset to T it gets everything stored at T or later
 * once more, and nothing stored before; after one to the end, nothing that was promised before it was asked
 * for. Somebody who pulls gets every matching message of each queue once, in order, and an offset never
 * names two messages. Nothing is promised while a reset is under way.
 */
import { compileSql, type Delivery, type Filter } from '../../src/broker/broker.ts'
import type { BrokerShell } from '../../src/broker/shell/broker-shell.ts'
import { check, MINUTE, World } from './world.ts'

const TOPIC = 'topic'
const queues = 8
const tags = [null, 'a', 'b'] as const

interface Sent {
  readonly id: string
  readonly tag: string | null
  readonly payload: Uint8Array
  /** Known once it is promised. */
  place: { readonly queueId: number; readonly offset: number; readonly storeTimeMs: number } | null
}

/** Payloads are a number as text, sometimes none: the property `n`. */
function sql(text: string): Filter {
  const expression = compileSql(text)
  return {
    sql: text,
    passes: (payload) => expression.matches((name) => (name === 'n' && payload.length > 0 ? textOf(payload) : null)),
  }
}
const textOf = (payload: Uint8Array): string => Buffer.from(payload).toString()

function passes(filter: Filter, message: Pick<Sent, 'tag' | 'payload'>): boolean {
  if (filter === null) return true
  return 'sql' in filter ? filter.passes(message.payload) : message.tag !== null && filter.has(message.tag)
}

/** What one message is to a group since its last reset: to be given, given and done with, not to be given, or anybody's guess. */
type Standing = 'owed' | 'done' | 'skipped' | 'unsure'

class Reader {
  readonly group: string
  readonly filter: Filter
  readonly orderly: boolean
  /** Rises when a reset begins and when it is answered: an answer that spans one proves nothing. */
  era = 0
  reset: {
    readonly id: string
    readonly toMs: number | null
    readonly promised: ReadonlySet<Sent>
    readonly touched: Set<Sent>
  } | null = null
  readonly standing = new Map<Sent, Standing>()

  constructor(group: string, filter: Filter, orderly: boolean) {
    this.group = group
    this.filter = filter
    this.orderly = orderly
  }

  of(message: Sent): Standing {
    return this.standing.get(message) ?? 'owed'
  }
}

interface Asked {
  readonly reader: Reader
  readonly message: Sent
  readonly era: number
}

/** An acknowledgement whose answer nobody heard: it may have had its effect. */
function unheard({ reader, message, era }: Asked): void {
  if (era === reader.era && reader.of(message) === 'owed') reader.standing.set(message, 'unsure')
}

const rare = sql('n BETWEEN 90 AND 99')
const common = sql('n > 50 OR n IS NULL')
const makeReaders = (): readonly Reader[] => [
  new Reader('all', null, false),
  new Reader('tagged', new Set(['a']), false),
  new Reader('rare', rare, false),
  new Reader('common', common, false),
  new Reader('ordered', common, true),
]

/** Somebody who keeps his own place in each queue, and what he got by queue and offset. */
interface Pull {
  readonly name: string
  readonly filter: Filter
  readonly at: number[]
  readonly got: Map<string, Sent>
}

const makePull = (name: string, filter: Filter): Pull => ({
  name,
  filter,
  at: new Array<number>(queues).fill(0),
  got: new Map(),
})

export interface FilterOutcome {
  readonly sent: number
  readonly deliveries: number
  readonly pulled: number
  readonly resets: number
  readonly repeated: number
  readonly crashes: number
  readonly replaysCompared: number
}

/** Throws with a sentence when a promise was broken. */
export async function simulateFilters(seed: number, steps = 70): Promise<FilterOutcome> {
  const world = new FilterWorld(seed)
  await world.live(steps)
  return world.finish()
}

class FilterWorld extends World {
  readonly #readers = makeReaders()
  readonly #sent = new Map<string, Sent>()
  readonly #pulls = [makePull('pull-all', null), makePull('pull-common', common)]
  readonly #held: Array<{ reader: Reader; era: number; delivery: Delivery }> = []
  readonly #asked = new Set<Asked>()
  readonly #last = new Map<Reader, NonNullable<Reader['reset']>>()
  readonly #count = { sent: 0, deliveries: 0, pulled: 0, resets: 0, repeated: 0 }

  constructor(seed: number) {
    super(seed)
    this.latency.maxMs = this.random.below(4)
    this.segmentBytes = 4_096 << this.random.below(4)
  }

  async step(): Promise<void> {
    const way = this.random.below(100)
    if (way < 30) this.#send()
    else if (way < 62) this.#consume()
    else if (way < 72) this.#pull()
    else if (way < 80) this.#moveSomebody()
    else if (way < 83) this.#repeatReset()
    else if (way < 86) this.#acknowledgeLate()
    else if (way < 88) await this.checkpoint(() => this.#send())
    else if (way < 90) this.jumpClock()
    else if (way < 92) await this.restart()
    else if (way < 95) await this.kill()
    else if (way < 97) await this.powerCut()
    else if (way < 98) await this.fillDisk(() => this.#send())
    await this.pass(this.random.below(4) === 0 ? this.random.below(20_000) : this.random.below(20))
  }

  async finish(): Promise<FilterOutcome> {
    await this.restart()
    for (const reader of this.#readers) while (reader.reset) await this.during(this.#tellReset(reader))
    await this.pass(2 * MINUTE)
    for (let quiet = 0, rounds = 0; quiet < 3; rounds++) {
      check(rounds < 200, 'there is still something after two hundred rounds of acknowledging everything')
      const before = this.#count.deliveries
      for (const reader of this.#readers) await this.#drain(reader)
      quiet = before === this.#count.deliveries ? quiet + 1 : 0
      await this.pass(MINUTE)
    }
    for (const pull of this.#pulls)
      for (let queueId = 0; queueId < queues; queueId++) await this.#pullAll(pull, queueId)
    this.#judge()
    check(this.shell.inspection.usage().inflight === 0, 'deliveries are in flight with nobody')
    await this.restart()
    await this.during(this.shell.close())
    const { crashes, replaysCompared } = this
    return { ...this.#count, crashes, replaysCompared }
  }

  #judge(): void {
    for (const message of this.#sent.values()) {
      if (!message.place) continue
      for (const reader of this.#readers)
        check(
          !passes(reader.filter, message) || reader.of(message) !== 'owed',
          `${message.id} (${message.tag}, ${textOf(message.payload)}) was promised and ${reader.group} never got it`,
        )
      const place = `${message.place.queueId}:${message.place.offset}`
      for (const { name, filter, got } of this.#pulls)
        check(!passes(filter, message) || got.get(place) === message, `${name} never got ${message.id} at ${place}`)
    }
  }

  // Clients --------------------------------------------------------------------------------------

  #send(): void {
    const life = this.life
    const sent = Array.from({ length: 1 + this.random.below(this.oneIn(3) ? 40 : 5) }, (): Sent => {
      const text = this.oneIn(10) ? '' : this.oneIn(10) ? 'x' : `${this.random.below(100)}`
      return {
        id: `M${this.#count.sent++}`,
        tag: tags[this.random.below(tags.length)]!,
        payload: Buffer.from(text),
        place: null,
      }
    })
    for (const message of sent) this.#sent.set(message.id, message)
    const messages = sent.map(({ id, tag, payload }) => ({ messageId: id, tag, payload, bodyBytes: payload.length }))
    this.behind(async () => {
      const receipts = await this.shell.producing.send({ topic: TOPIC, messages })
      if (life !== this.life) return
      receipts.forEach((receipt, i) => {
        sent[i]!.place = receipt
        for (const reader of this.#readers) if (reader.reset) reader.standing.set(sent[i]!, 'unsure')
      })
    })
  }

  #consume(): void {
    const reader = this.pick(this.#readers)
    const life = this.life
    const { era } = reader
    const invisibleMs = 1_000 + this.random.below(20_000)
    this.behind(async () => {
      const deliveries = await this.shell.consuming.receive(
        {
          group: reader.group,
          topic: TOPIC,
          filter: reader.filter,
          max: 1 + this.random.below(20),
          waitMs: this.random.below(8_000),
          invisibleMs,
          autoRenew: false,
          clientId: `client-${this.random.below(4)}`,
        },
        new AbortController().signal,
      )
      if (life !== this.life) return
      for (const delivery of deliveries) {
        this.#delivered(reader, era, delivery)
        if (this.oneIn(6)) this.#held.push({ reader, era, delivery })
        else if (!this.oneIn(4))
          this.clock.after(this.random.below(10_000), () => this.#acknowledgeIn(life, reader, era, delivery))
      }
    })
  }

  #delivered(reader: Reader, era: number, delivery: Delivery): void {
    this.#count.deliveries++
    const message = this.#sent.get(delivery.messageId)
    check(message !== undefined, `${delivery.messageId} was never sent`)
    const name = `${message.id} (${message.tag}, ${textOf(message.payload)}) for ${reader.group}`
    check(passes(reader.filter, message), `${name} does not pass the filter`)
    reader.reset?.touched.add(message)
    // A reset began or was answered since the receive began: it may have been of before.
    if (era !== reader.era || reader.reset) {
      reader.standing.set(message, 'unsure')
      return
    }
    const standing = reader.of(message)
    check(standing !== 'skipped', `${name} came, although a reset went beyond it`)
    // Orderly groups get what follows the first unacknowledged message again, acknowledged or not.
    check(
      standing !== 'done' || reader.orderly,
      `${name} was acknowledged and came again as attempt ${delivery.attempt}`,
    )
  }

  #acknowledgeIn(life: number, reader: Reader, era: number, delivery: Delivery): void {
    if (life === this.life) this.behind(() => this.#acknowledge(reader, era, delivery))
  }

  /** What it proves is proved within the era of the delivery; a handle from before a reset must have no effect at all. */
  async #acknowledge(reader: Reader, era: number, delivery: Delivery): Promise<void> {
    const message = this.#sent.get(delivery.messageId)!
    const asked = { reader, message, era }
    this.#asked.add(asked)
    try {
      reader.reset?.touched.add(message)
      const request = { group: reader.group, topic: TOPIC, handles: [delivery.handle], clientId: 'client-0' }
      const [answer] = await this.shell.consuming.ack(request)
      if (!this.#asked.delete(asked)) return
      if (era === reader.era && answer!.outcome === 'done' && reader.of(message) === 'owed')
        reader.standing.set(message, 'done')
    } finally {
      if (this.#asked.delete(asked)) unheard(asked)
    }
  }

  #acknowledgeLate(): void {
    const [old] = this.#held.splice(this.random.below(this.#held.length), 1)
    if (old) this.behind(() => this.#acknowledge(old.reader, old.era, old.delivery))
  }

  #pull(): void {
    const pull = this.pick(this.#pulls)
    const queueId = this.random.below(queues)
    const offset = pull.at[queueId]!
    const life = this.life
    this.behind(async () => {
      const request = { group: pull.name, topic: TOPIC, queueId, offset, filter: pull.filter }
      const max = 1 + this.random.below(10)
      const waitMs = this.random.below(5_000)
      const pulled = await this.shell.offsets.pull({ ...request, max, waitMs }, new AbortController().signal)
      // Another pull of the same place may have been answered first; the reader keeps one of them.
      if (life === this.life && pull.at[queueId] === offset) this.#took(pull, queueId, offset, pulled)
    })
  }

  #took(
    pull: Pull,
    queueId: number,
    from: number,
    { deliveries, nextOffset }: Awaited<ReturnType<BrokerShell['offsets']['pull']>>,
  ): void {
    let last = from - 1
    for (const { messageId, offset } of deliveries) {
      const message = this.#sent.get(messageId)
      const place = `${queueId}:${offset}`
      check(
        message !== undefined && passes(pull.filter, message),
        `${pull.name} got ${messageId} at ${place} by mistake`,
      )
      check(offset > last, `${pull.name} got ${place} after offset ${last}`)
      check(!pull.got.has(place), `${pull.name} got two messages at ${place}`)
      const where = message.place
      check(!where || `${where.queueId}:${where.offset}` === place, `${messageId} was pulled from ${place}`)
      pull.got.set(place, message)
      last = offset
      this.#count.pulled++
    }
    check(nextOffset > last, `${pull.name} is sent back to ${nextOffset} after offset ${last}`)
    pull.at[queueId] = nextOffset
  }

  async #pullAll(pull: Pull, queueId: number): Promise<void> {
    for (;;) {
      const offset = pull.at[queueId]!
      const request = { group: pull.name, topic: TOPIC, queueId, offset, filter: pull.filter, max: 32, waitMs: 0 }
      const pulled = await this.during(this.shell.offsets.pull(request, new AbortController().signal))
      this.#took(pull, queueId, offset, pulled)
      if (pulled.nextOffset === offset) return
    }
  }

  // Resets ---------------------------------------------------------------------------------------

  /** As ResetConsumeOffset and the loop: wanted under an id, repeated until it is answered. */
  #moveSomebody(): void {
    const reader = this.pick(this.#readers)
    if (!reader.reset) {
      const promised = [...this.#sent.values()].filter(({ place }) => place !== null)
      const toMs = this.oneIn(3) ? null : this.#timeOf(promised)
      reader.reset = { id: `reset ${this.#count.resets++}`, toMs, promised: new Set(promised), touched: new Set() }
      reader.era++
    }
    this.behind(() => this.#tellReset(reader))
  }

  #timeOf(promised: readonly Sent[]): number {
    const message = promised[this.random.below(promised.length)]
    return message ? message.place!.storeTimeMs + this.random.below(2) : 0
  }

  async #tellReset(reader: Reader): Promise<void> {
    const { reset } = reader
    const life = this.life
    if (!reset) return
    await this.shell.offsets.reset({
      resetId: reset.id,
      consumerGroupId: reader.group,
      topicName: TOPIC,
      toMs: reset.toMs,
    })
    if (life !== this.life || reader.reset !== reset) return
    reader.reset = null
    reader.era++
    this.#last.set(reader, reset)
    // Handles from before come back while what they named is delivered anew: they must do no harm.
    for (const held of this.#held)
      if (held.reader === reader && this.oneIn(2))
        this.clock.after(this.random.below(8_000), () => this.#acknowledgeIn(life, reader, held.era, held.delivery))
    for (const message of this.#sent.values()) {
      const { place } = message
      // The reset may have been carried out long before it was answered, and these given and done with after it.
      if (reset.touched.has(message)) {
        reader.standing.set(message, 'unsure')
        continue
      }
      if (reset.toMs !== null) {
        reader.standing.set(message, place === null ? 'unsure' : place.storeTimeMs >= reset.toMs ? 'owed' : 'skipped')
      } else reader.standing.set(message, reset.promised.has(message) ? 'skipped' : 'unsure')
    }
  }

  /** The record that it was carried out got lost, and the loop tells it once more: nothing happens. */
  #repeatReset(): void {
    const reader = this.pick(this.#readers)
    const reset = this.#last.get(reader)
    if (!reset || reader.reset) return
    this.#count.repeated++
    this.behind(() =>
      this.shell.offsets.reset({
        resetId: reset.id,
        consumerGroupId: reader.group,
        topicName: TOPIC,
        toMs: reset.toMs,
      }),
    )
  }

  // The end --------------------------------------------------------------------------------------

  async #drain(reader: Reader): Promise<void> {
    const { era } = reader
    const deliveries = await this.#receive(reader.group, reader.filter, 100)
    for (const delivery of deliveries) this.#delivered(reader, era, delivery)
    if (deliveries.length === 0) return
    const handles = deliveries.map(({ handle }) => handle)
    const outcomes = await this.during(
      this.shell.consuming.ack({ group: reader.group, topic: TOPIC, handles, clientId: 'finisher' }),
    )
    outcomes.forEach(({ outcome }, i) => {
      check(outcome === 'done', `${deliveries[i]!.messageId} could not be acknowledged at once by ${reader.group}`)
      reader.standing.set(this.#sent.get(deliveries[i]!.messageId)!, 'done')
    })
  }

  #receive(group: string, filter: Filter, waitMs: number): Promise<Delivery[]> {
    const request = { group, topic: TOPIC, filter, max: 32, waitMs, invisibleMs: 30_000, autoRenew: false }
    return this.during(this.shell.consuming.receive({ ...request, clientId: 'finisher' }, new AbortController().signal))
  }

  // The machine ----------------------------------------------------------------------------------

  protected override opened(): void {
    for (const asked of this.#asked) unheard(asked)
    this.#asked.clear()
  }

  protected async prepare(): Promise<void> {
    const topic = { topicName: TOPIC, generation: 1, messageType: 'NORMAL' as const, maxSendTps: null }
    await this.during(this.shell.administration.ensureTopics([topic]))
    const groups = this.#readers.map(({ group, orderly }) => ({
      consumerGroupId: group,
      generation: 1,
      orderly,
      maxRetryTimes: 1_000,
      retry: { kind: 'default' as const },
      deadLetterTopic: null,
      maxReceiveTps: null,
    }))
    await this.during(this.shell.administration.ensureGroups(groups))
    // Every group begins at the first message; from then on resets alone move it.
    if (this.life === 1) for (const { group } of this.#readers) await this.#receive(group, null, 0)
  }
}
