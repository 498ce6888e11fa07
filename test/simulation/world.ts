/**
 * What all seeded worlds have in common: a machine with a clock and a disk, a broker process on it that can
 * be restarted, killed, cut off from power or from room on its disk, and time that passes only when asked to.
 *
 * A world adds its moves (`step`), what it tells a broker that has just started (`prepare`), and its model.
 * Everything random comes from the seed and everything timed from the simulated clock, so a seed is a life.
 * What a former process still answers was heard by nobody: whoever awaits the shell compares `life` after it.
 */
import type { BrokerSettings, Delivery } from '../../src/broker/broker.ts'
import { encodeState } from '../../src/broker/core/snapshot.ts'
import { LogError } from '../../src/broker/log/errors.ts'
import type { BrokerShell } from '../../src/broker/shell/broker-shell.ts'
import { openShell } from '../../src/broker/shell/open.ts'
import { BrokerRefusal } from '../../src/model/refusals.ts'
import { SimulatedClock, SimulatedRandom } from '../../src/world/simulated.ts'
import { SimulatedDisk } from '../../src/world/simulated-disk.ts'
import { checkState } from '../support/check-state.ts'
import { Mortal } from './mortal.ts'

export const SECOND = 1_000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE

export abstract class World {
  readonly random: SimulatedRandom
  readonly clock = new SimulatedClock()
  /** How long each call of the disk takes; a world may slow it down while it runs. */
  readonly latency = { clock: this.clock, minMs: 0, maxMs: 0 }
  readonly disk: SimulatedDisk
  shell!: BrokerShell
  /** Rises with each start and each end of the process. */
  life = 0
  crashes = 0
  replaysCompared = 0
  /** The process was asked to end, and gives nothing any more. */
  stopping = false
  /** Rises when the clock is set: what was to last for a while may be over at once. */
  jumps = 0
  /** What the broker opens with. */
  settings: BrokerSettings = { retentionMs: 1_000 * HOUR, sendTps: 1e9, receiveTps: 1e9, maxDelayMs: HOUR }
  cipherKey: Uint8Array | null = null
  segmentBytes = 4_096
  #process!: Mortal
  #replayed: Uint8Array = new Uint8Array()
  /** What a check in the background found. */
  #broken: Error | null = null

  constructor(seed: number) {
    this.random = new SimulatedRandom(seed)
    this.disk = new SimulatedDisk({ random: this.random, latency: this.latency })
  }

  abstract step(): Promise<void>
  /** Called after every start: topics, groups, and whoever is there from the first. */
  protected abstract prepare(): Promise<void>
  /** Called as soon as a broker is open, before it does anything by itself. */
  protected opened(_shell: BrokerShell): void {}
  /** Called when it was prepared. */
  protected started(): void {}
  /** Called when a process ended without being asked to. */
  protected crashed(): void {}

  async live(steps: number): Promise<void> {
    await this.open()
    for (let step = 0; step < steps; step++) {
      await this.step()
      checkState(this.shell.state)
    }
  }

  // The machine ----------------------------------------------------------------------------------

  async open(): Promise<void> {
    this.life++
    this.#process = new Mortal(this.clock, this.disk.boot())
    const { clock, disk } = this.#process
    const opened = openShell({
      world: { clock, disk, random: this.random },
      directory: '/instance',
      settings: this.settings,
      cipherKey: this.cipherKey,
      segmentBytes: this.segmentBytes,
      report: (error) => this.#reported(error),
    }).then((shell) => {
      checkState(shell.state)
      this.#replayed = encodeState(shell.state)
      this.opened(shell)
      return shell
    })
    this.shell = await this.during(opened)
    this.stopping = false
    await this.prepare()
    this.started()
  }

  /** A clean stop and a start. */
  async restart(): Promise<void> {
    const closing = this.shell
    this.stopping = true
    await this.during(closing.close())
    const before = encodeState(closing.state)
    this.life++
    this.#process.kill()
    await this.#openAfter(before)
  }

  /** Kill -9: what was written is there. */
  async kill(): Promise<void> {
    const { log } = this.shell
    const before = log.durableEnd === log.end && !log.failed ? encodeState(this.shell.state) : null
    this.#crash()
    await this.#openAfter(before)
  }

  /** What was not synced is there, or not, or in part. */
  async powerCut(): Promise<void> {
    this.#crash()
    this.disk.powerCut()
    await this.open()
  }

  /** The disk is full, or fails to sync, while `busy` goes on; the broker stops, and is started when there is room. */
  async fillDisk(busy: () => void, most = 50): Promise<void> {
    const operation = this.pick(['write', 'datasync'] as const)
    this.disk.inject({ operation, error: 'ENOSPC', times: 1_000 })
    busy()
    await this.clock.advance(this.random.below(most))
    this.disk.healFaults()
    if (this.oneIn(2)) await this.powerCut()
    else {
      this.#crash()
      await this.#openAfter(null)
    }
  }

  /** Writes a checkpoint while others are at work; sometimes the process does not live to see it. */
  async checkpoint(busy: () => void): Promise<void> {
    const written = this.shell.checkpoint().catch(() => {})
    busy()
    if (this.oneIn(3)) await this.kill()
    else await this.during(written)
  }

  jumpClock(mostMs: number = MINUTE): void {
    this.jumps++
    this.clock.jump((this.random.below(3) - 1) * this.random.below(mostMs))
  }

  #crash(): void {
    this.life++
    this.crashes++
    this.#process.kill()
    this.crashed()
  }

  /** A process is gone when the calls it was in have returned; no other opens its files before. */
  async #openAfter(before: Uint8Array | null): Promise<void> {
    await this.during(this.#process.atRest())
    await this.open()
    if (!before) return
    this.replaysCompared++
    check(Buffer.compare(before, this.#replayed) === 0, 'the replayed state differs from the live one')
  }

  /** Bad luck is reported and lived with; a mistake of the program is not. */
  #reported(error: unknown): void {
    for (let cause = error; cause instanceof Error; cause = cause.cause)
      if (cause instanceof TypeError || cause instanceof ReferenceError || cause instanceof RangeError)
        if (!(cause instanceof LogError)) this.breaks(cause)
  }

  // Time -----------------------------------------------------------------------------------------

  /** Time passes; a promise broken meanwhile ends the world. */
  async pass(ms: number): Promise<void> {
    await this.clock.advance(ms)
    if (this.#broken) throw this.#broken
  }

  async wait(ms: number): Promise<void> {
    await new Promise<void>((resolve) => this.clock.after(ms, resolve))
  }

  /** Lets time pass until the promise settles. */
  async during<T>(promise: Promise<T>): Promise<T> {
    let settled = false
    const done = promise.finally(() => {
      settled = true
    })
    done.catch(() => {})
    await this.clock.advance(0)
    for (let tries = 0; !settled; tries++) {
      check(tries < 100_000, 'a call did not return')
      await this.clock.advance(1)
    }
    return done
  }

  /** Work of a client. It may be refused, with these codes only when given; any other error fails the test. */
  behind(work: () => Promise<void>, codes: readonly number[] | null = null): void {
    work().catch((error: unknown) => {
      if (error instanceof BrokerRefusal && (codes === null || codes.includes(error.code))) return
      this.breaks(error)
    })
  }

  /** Where a protocol stopped sending an answer: `sent` reached the client, `unsent` nobody, and is returned uncounted. */
  sendPart(
    where: { readonly group: string; readonly topic: string },
    deliveries: readonly Delivery[],
  ): { readonly sent: Delivery[]; readonly unsent: Delivery[]; readonly delayMs: number } {
    const from = this.random.below(deliveries.length + 1)
    const unsent = deliveries.slice(from)
    const delayMs = this.random.below(5 * SECOND)
    const handles = unsent.map(({ handle }) => handle)
    this.behind(async () => void (await this.shell.consuming.returnDeliveries({ ...where, handles, delayMs })))
    return { sent: deliveries.slice(0, from), unsent, delayMs }
  }

  breaks(error: unknown): void {
    this.#broken ??= error instanceof Error ? error : new Error(String(error))
  }

  // Chance ---------------------------------------------------------------------------------------

  oneIn(ways: number): boolean {
    return this.random.below(ways) === 0
  }

  pick<T>(from: readonly T[]): T {
    return from[this.random.below(from.length)]!
  }
}

export function check(condition: boolean, sentence: string): asserts condition {
  if (!condition) throw new Error(sentence)
}

export function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
