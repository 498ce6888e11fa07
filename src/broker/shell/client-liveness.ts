/** Which clients reported lately: their deliveries are renewed while they do, and become visible soon after they stop. */

import type { ClientId } from '../../model/ids.ts'
import { decideDeadline, isGone } from '../core/consuming/deliveries.ts'
import type { BrokerEvent } from '../core/events.ts'
import { limits } from '../core/limits.ts'
import type { BrokerState, Lease } from '../core/state.ts'
import type { TurnBudget } from './turn-budget.ts'

/** How often clients that stopped reporting are removed. */
const SWEEP_MS = 60_000
const GIVEN_BACK_AT_ONCE = 1_024

export interface ClientLivenessContext {
  readonly state: BrokerState
  readonly turns: TurnBudget
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

  alive(clientId: ClientId): void {
    const { heard } = this.#context.state
    const at = this.#context.now()
    if (at - this.#sweptAt >= SWEEP_MS) this.#forgetSilent(at)
    if (heard.size < limits.clients || heard.has(clientId)) heard.set(clientId, at)
  }

  gone(clientId: ClientId): void {
    const { heard, owned } = this.#context.state
    heard.delete(clientId)
    const held = owned.get(clientId)
    if (held && !this.#context.stopped()) void this.#giveBack(clientId, [...held])
  }

  /** So many at a time: a client may hold a hundred thousand deliveries. One that is back keeps what is left. */
  async #giveBack(clientId: ClientId, held: readonly Lease[]): Promise<void> {
    const { state, turns } = this.#context
    for (let from = 0; from < held.length; from += GIVEN_BACK_AT_ONCE) {
      if (from > 0 && turns.isSpent) await turns.pause()
      if (this.#context.stopped() || (from > 0 && state.heard.has(clientId))) return
      const some = held
        .slice(from, from + GIVEN_BACK_AT_ONCE)
        .filter((lease) => lease.owner === clientId && lease.renewable && !isGone(lease))
      this.#context.tryCommit(decideDeadline(some, this.#context.now() + limits.goneVisibleMs))
      this.#context.arm()
    }
  }

  #forgetSilent(at: number): void {
    const { heard, owned } = this.#context.state
    this.#sweptAt = at
    for (const [clientId, heardAt] of heard)
      if (at - heardAt > 2 * limits.ownerSilenceMs && !owned.has(clientId)) heard.delete(clientId)
  }
}
