/**
 * An instance whose messages grow old and are looked at, through kills, power cuts and restarts, by a seed.
 *
 * The model: what was promised and is younger than the retention is found, once, in order of time, whatever page size
 * is asked; what is older than the retention and an eighth is gone, and when nobody sends any more, its bytes too; the
 * history of a message never says it was acknowledged unless it was, and says so when that was promised.
 */
import type { BrowsePage, StoredMessage } from '../../src/broker/broker.ts'
import type { BrokerShell } from '../../src/broker/shell/broker-shell.ts'
import { openShell } from '../../src/broker/shell/open.ts'
import { SimulatedClock, SimulatedRandom } from '../../src/world/simulated.ts'
import { SimulatedDisk } from '../../src/world/simulated-disk.ts'
import { check } from './model.ts'
import { Mortal } from './mortal.ts'

const HOUR = 3_600_000
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
}

export async function simulatePurchases(seed: number, steps = 60): Promise<PurchasesOutcome> {
  const random = new SimulatedRandom(seed)
  const clock = new SimulatedClock()
  const disk = new SimulatedDisk({ random, latency: { clock, minMs: 0, maxMs: random.below(3) } })
  const cipherKey = random.below(2) === 0 ? random.bytes(32) : null
  const segmentBytes = 4_096 << random.below(4)
  const sent = new Map<string, Sent>()
  let [made, crashes, found, acknowledged] = [0, 0, 0, 0]
  let process!: Mortal
  let shell!: BrokerShell

  async function during<T>(work: Promise<T>): Promise<T> {
    let open = true
    const watched = work.finally(() => {
      open = false
    })
    watched.catch(() => {})
    while (open) await clock.advance(1)
    return watched
  }

  async function boot(): Promise<void> {
    process = new Mortal(clock, disk.boot())
    const world = { clock: process.clock, disk: process.disk, random }
    const settings = { retentionMs, sendTps: 1e9, receiveTps: 1e9, maxDelayMs: HOUR }
    shell = await during(openShell({ world, directory: '/instance', settings, cipherKey, segmentBytes }))
    await during(shell.ensureTopics([topic]))
  }

  async function send(): Promise<void> {
    const batch = Array.from({ length: 1 + random.below(20) }, (): Sent => {
      const message: Sent = { messageId: `M${made++}`, storeTimeMs: 0, promised: false, acknowledged: 'no' }
      sent.set(message.messageId, message)
      return message
    })
    const messages = batch.map(({ messageId }) => ({
      messageId,
      tag: null,
      payload: random.bytes(random.below(100)),
      bodyBytes: 1,
    }))
    const receipts = await during(shell.send({ topic: 'topic', messages: messages as never }))
    for (const [i, { storeTimeMs }] of receipts.entries()) Object.assign(batch[i]!, { storeTimeMs, promised: true })
  }

  async function consume(): Promise<void> {
    const request = {
      group: 'group',
      topic: 'topic',
      filter: null,
      max: 10,
      waitMs: 0,
      invisibleMs: 60_000,
      autoRenew: false,
      clientId: 'c',
    }
    for (const { messageId, handle } of await during(shell.receive(request, new AbortController().signal))) {
      if (random.below(3) === 0) continue
      const message = sent.get(messageId)!
      message.acknowledged = 'perhaps'
      const [outcome] = await during(shell.ack({ group: 'group', topic: 'topic', handles: [handle], clientId: 'c' }))
      if (outcome?.outcome === 'done') message.acknowledged = 'yes'
    }
  }

  async function look(): Promise<void> {
    const at = shell.now()
    const all: StoredMessage[] = []
    const limit = 1 + random.below(40)
    // With a condition messages are read ahead of the page's end.
    const condition = random.below(2) === 0 ? {} : { matches: () => true }
    for (let after: readonly number[] | null = null; ; ) {
      const page: BrowsePage = (await during(
        shell.browse({ topic: 'topic', fromMs: at - retentionMs, untilMs: at, after, skip: 0, limit, ...condition }),
      ))!
      all.push(...page.messages)
      if (page.next === null) break
      after = page.next
    }
    const ids = new Set(all.map(({ messageId }) => messageId))
    check(ids.size === all.length, 'a message was shown twice')
    for (let i = 1; i < all.length; i++)
      check(all[i]!.storeTimeMs >= all[i - 1]!.storeTimeMs, `${all[i]!.messageId} is shown after a younger message`)
    for (const { messageId, promised, storeTimeMs } of sent.values())
      if (promised && storeTimeMs > at - retentionMs + 1_000)
        check(ids.has(messageId), `${messageId} was promised and is not found`)
    found += all.length
    const one = all[random.below(Math.max(1, all.length))]
    if (!one) return
    const history = await during(shell.historyOf('topic', one))
    const says = history.some(({ what }) => what === 'acknowledged')
    const { acknowledged: truth } = sent.get(one.messageId)!
    check(!(says && truth === 'no'), `the history of ${one.messageId} says it was acknowledged, and nobody did`)
    check(says || truth !== 'yes', `the history of ${one.messageId} does not say that it was acknowledged`)
    if (says) acknowledged++
  }

  await boot()
  for (let step = 0; step < steps; step++) {
    const way = random.below(20)
    if (way < 8) await send()
    else if (way < 13) await consume()
    else if (way < 16) await look()
    else if (way < 17) {
      await during(shell.close())
      await boot()
    } else if (way < 19) {
      const messageId = `M${made++}`
      sent.set(messageId, { messageId, storeTimeMs: 0, promised: false, acknowledged: 'no' })
      const cut = { messageId, tag: null, payload: random.bytes(50), bodyBytes: 1 }
      // Nobody hears whether this one was stored.
      shell.send({ topic: 'topic', messages: [cut as never] }).catch(() => {})
      await clock.advance(random.below(3))
      process.kill()
      if (way === 18) disk.powerCut()
      crashes++
      await boot()
    }
    await clock.advance(random.below(4) === 0 ? random.below(4) * HOUR : random.below(60_000))
  }
  await look()
  await clock.advance(retentionMs + retentionMs / 8 + HOUR)
  const { messages, storedBytes } = shell.usage()
  check(messages === 0, `${messages} messages are still there long after their retention`)
  check(storedBytes <= 2 * segmentBytes, `${storedBytes} bytes are held for no message`)
  await during(shell.close())
  return { promised: [...sent.values()].filter(({ promised }) => promised).length, found, acknowledged, crashes }
}
