/** What a broker process tells of itself: who it is, since when it runs, and how long it stays without a server. */
import type { Clock } from '../../world/world.ts'
import { type HostGreeting, hostProtocol } from './host-api.ts'

export class HostFacts {
  readonly #clock: Clock
  readonly #self: Pick<HostGreeting, 'version' | 'home' | 'name'>
  readonly #startedAtMs: number
  /** Of the monotonic clock. */
  readonly #startedAt: number
  lingerMinutes: number

  constructor(clock: Clock, self: Pick<HostGreeting, 'version' | 'home' | 'name'>, lingerMinutes: number) {
    this.#clock = clock
    this.#self = self
    this.#startedAtMs = clock.now()
    this.#startedAt = clock.monotonic()
    this.lingerMinutes = lingerMinutes
  }

  /** `instances`: how many are open; `attention`: those that the loop is to look at. */
  greeting(open: Pick<HostGreeting, 'instances' | 'attention'>): HostGreeting {
    return {
      ...this.#self,
      pid: process.pid,
      protocol: hostProtocol,
      startedAtMs: this.#startedAtMs,
      uptimeMs: Math.round(this.#clock.monotonic() - this.#startedAt),
      lingerMinutes: this.lingerMinutes,
      ...open,
    }
  }
}
