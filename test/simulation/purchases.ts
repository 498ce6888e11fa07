/**
 * An instance whose messages grow old and are looked at, through kills, power cuts and restarts, by a seed.
 *
 * The model: what was promised and is younger than the retention is found, once, in order of time, whatever page size
 * is asked; what is older than the retention and an eighth is gone, and when nobody sends any more, its bytes too; the
 * history of a message never says it was acknowledged unless it was, and says so when that was promised.
 */
import type { BrowsePage, StoredMessage } from '../../src/broker/broker.ts'
import { check, HOUR, World } from './world.ts'

const retentionMs = 24 * HOUR
const topic = { topicName: 'topic', generation: 1, messageType: 'NORMAL', maxSendTps: null } as const

interface Sent {
  readonly messageId: string
  storeTimeMs: number
  promised: boolean
  acknowledged: 'no' | 'perhaps' | 'yes'
}

export interface PurchasesOutcome {
  readonly promised: number
  readonly found: number
  readonly acknowledged: number
  readonly crashes: number
  readonly replaysCompared: number
}

export async function simulatePurchases(seed: number, steps = 60): Promise<PurchasesOutcome> {
  const simulation = new Purchases(seed)
  await simulation.live(steps)
  return simulation.finish()
}

class Purchases extends World {
  readonly #sent = new Map<string, Sent>()
  #found = 0
  #acknowledged = 0

  constructor(seed: number) {
    super(seed)
    this.latency.maxMs = this.random.below(3)
    this.settings = { ...this.settings, retentionMs }
    this.cipherKey = this.oneIn(2) ? this.random.bytes(32) : null
    this.segmentBytes = 4_096 << this.random.below(4)
  }

  async step(): Promise<void> {
    const way = this.random.below(20)
    if (way < 8) await this.#send()
    else if (way < 13) await this.#consume()
    else if (way < 16) await this.#look()
    else if (way < 17) await this.restart()
    else if (way < 19) {
      await this.#sendUnheard()
      await (way === 17 ? this.kill() : this.powerCut())
    }
    await this.pass(this.oneIn(4) ? this.random.below(4) * HOUR : this.random.below(60_000))
  }

  async finish(): Promise<PurchasesOutcome> {
    await this.#look()
    await this.pass(retentionMs + retentionMs / 8 + HOUR)
    const { messages, storedBytes } = this.shell.inspection.usage()
    check(messages === 0, `${messages} messages are still there long after their retention`)
    check(storedBytes <= 2 * this.segmentBytes, `${storedBytes} bytes are held for no message`)
    await this.during(this.shell.close())
    return {
      promised: [...this.#sent.values()].filter(({ promised }) => promised).length,
      found: this.#found,
      acknowledged: this.#acknowledged,
      crashes: this.crashes,
      replaysCompared: this.replaysCompared,
    }
  }

  protected async prepare(): Promise<void> {
    await this.during(this.shell.administration.ensureTopics([topic]))
  }

  #make(): Sent {
    const message: Sent = { messageId: `M${this.#sent.size}`, storeTimeMs: 0, promised: false, acknowledged: 'no' }
    this.#sent.set(message.messageId, message)
    return message
  }

  #outgoing({ messageId }: Sent) {
    return { messageId, tag: null, payload: this.random.bytes(this.random.below(100)), bodyBytes: 1 }
  }

  async #send(): Promise<void> {
    const batch = Array.from({ length: 1 + this.random.below(20) }, () => this.#make())
    const messages = batch.map((message) => this.#outgoing(message))
    const receipts = await this.during(this.shell.producing.send({ topic: 'topic', messages }))
    for (const [i, { storeTimeMs }] of receipts.entries()) Object.assign(batch[i]!, { storeTimeMs, promised: true })
  }

  /** Nobody hears whether this one was stored. */
  async #sendUnheard(): Promise<void> {
    this.shell.producing.send({ topic: 'topic', messages: [this.#outgoing(this.#make())] }).catch(() => {})
    await this.clock.advance(this.random.below(3))
  }

  async #consume(): Promise<void> {
    const where = { group: 'group', topic: 'topic', clientId: 'c' }
    const request = { ...where, filter: null, max: 10, waitMs: 0, invisibleMs: 60_000, autoRenew: false }
    const deliveries = await this.during(this.shell.consuming.receive(request, new AbortController().signal))
    for (const { messageId, handle } of deliveries) {
      if (this.oneIn(3)) continue
      const message = this.#sent.get(messageId)!
      message.acknowledged = 'perhaps'
      const [outcome] = await this.during(this.shell.consuming.ack({ ...where, handles: [handle] }))
      if (outcome?.outcome === 'done') message.acknowledged = 'yes'
    }
  }

  async #look(): Promise<void> {
    const at = this.shell.now()
    const all: StoredMessage[] = []
    const limit = 1 + this.random.below(40)
    const range = { topic: 'topic', fromMs: at - retentionMs, untilMs: at, skip: 0, limit }
    for (let after: readonly number[] | null = null; ; ) {
      const page: BrowsePage = (await this.during(this.shell.inspection.browse({ ...range, after })))!
      all.push(...page.messages)
      if (page.next === null) break
      after = page.next
    }
    this.#judge(all, at)
    this.#found += all.length
    if (all.length > 0) await this.#judgeHistory(this.pick(all))
  }

  #judge(all: readonly StoredMessage[], at: number): void {
    const ids = new Set(all.map(({ messageId }) => messageId))
    check(ids.size === all.length, 'a message was shown twice')
    for (let i = 1; i < all.length; i++)
      check(all[i]!.storeTimeMs >= all[i - 1]!.storeTimeMs, `${all[i]!.messageId} is shown after a younger message`)
    for (const { messageId, promised, storeTimeMs } of this.#sent.values())
      if (promised && storeTimeMs > at - retentionMs + 1_000)
        check(ids.has(messageId), `${messageId} was promised and is not found`)
  }

  async #judgeHistory(one: StoredMessage): Promise<void> {
    const { messageId } = one
    const found = (await this.during(
      this.shell.inspection.findMessage({ topic: 'topic', messageId, fromMs: 0, untilMs: Number.MAX_SAFE_INTEGER }),
    ))!
    check(found.message.position === one.position, `${messageId} is found by its id elsewhere than by time`)
    const history = await this.during(this.shell.inspection.historyOf('topic', found))
    const says = history.some(({ what }) => what === 'acknowledged')
    const { acknowledged: truth } = this.#sent.get(one.messageId)!
    check(!(says && truth === 'no'), `the history of ${one.messageId} says it was acknowledged, and nobody did`)
    check(says || truth !== 'yes', `the history of ${one.messageId} does not say that it was acknowledged`)
    if (says) this.#acknowledged++
  }
}
