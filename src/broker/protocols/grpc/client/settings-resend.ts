/**
 * Sends a client its settings again, shortly after it asked for a route.
 *
 * The Node.js client opens its telemetry stream with the first route of its start, asks for the routes of its other
 * topics, and only then begins to wait for settings. Settings that arrive before that are lost, and its start hangs for
 * ever; a broker on the same machine nearly always answers too early. Settings may be sent at any time, so sending them
 * twice more does no harm.
 */
import type { Cancel, Clock } from '../../../../world/world.ts'

/** After the last route: once when the client has surely read it, and once for a client that was very busy. */
const pausesMs = [50, 1000]
/** A start takes three rounds of routes and six seconds at most; later routes are refreshed without anybody waiting. */
const startMs = 20_000

export class SettingsAgain {
  readonly #clock: Clock
  readonly #tell: () => void
  readonly #openedAt: number
  #pending: Cancel[] = []

  constructor(clock: Clock, tell: () => void) {
    this.#clock = clock
    this.#tell = tell
    this.#openedAt = clock.monotonic()
  }

  routeAsked(): void {
    if (this.#clock.monotonic() - this.#openedAt > startMs) return
    this.close()
    this.#pending = pausesMs.map((ms) => this.#clock.after(ms, this.#tell))
  }

  close(): void {
    for (const cancel of this.#pending) cancel()
    this.#pending = []
  }
}
