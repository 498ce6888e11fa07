/** Which clients were heard lately: what they hold is renewed while they are, and is given to others soon after they went. */

import { decideDeadline } from '../core/consuming/deliveries.ts'
import type { BrokerEvent } from '../core/events.ts'
import { limits } from '../core/limits.ts'
import type { BrokerState } from '../core/state.ts'

/** How often clients that fell silent are forgotten. */
const SWEEP_MS = 60_000

export interface ClientLivenessContext {
  readonly state: BrokerState
  now(): number
  tryCommit(events: readonly BrokerEvent[]): boolean
  arm(): void
  stopped(): boolean
}

export class ClientLiveness {
  readonly #context: ClientLivenessContext
  #sweptAt = 0

  constructor(context: ClientLivenessContext) {
    this.#context = context
  }

  alive(clientId: string): void {
    const { heard } = this.#context.state
    const at = this.#context.now()
    if (at - this.#sweptAt >= SWEEP_MS) this.#forgetSilent(at)
    if (heard.size < limits.clients || heard.has(clientId)) heard.set(clientId, at)
  }

  gone(clientId: string): void {
    const { heard, owned } = this.#context.state
    heard.delete(clientId)
    const leases = owned.get(clientId)
    if (!leases || this.#context.stopped()) return
    this.#context.tryCommit(decideDeadline([...leases], this.#context.now() + limits.goneVisibleMs))
    this.#context.arm()
  }

  #forgetSilent(at: number): void {
    const { heard, owned } = this.#context.state
    this.#sweptAt = at
    for (const [clientId, heardAt] of heard)
      if (at - heardAt > 2 * limits.ownerSilenceMs && !owned.has(clientId)) heard.delete(clientId)
  }
}
