/**
 * A call that goes on for a while: it is ended, as if its client had given up, when its account or what the account may do
 * changes so that it would not be let in any more; `check` then says why.
 */
import type { Account } from '../../gateway/authenticate.ts'
import { accountOf, denyChanged } from '../../gateway/endpoint.ts'
import type { Use } from '../../gateway/grants.ts'
import type { OpenCall } from '../../gateway/open-calls.ts'
import type { Cancellation } from '../../model/cancellation.ts'
import type { BrokerRefusal } from '../../model/refusals.ts'
import { refuse } from './endpoint.ts'
import { checkUses } from './permission.ts'
import type { WireCall } from './wire-call.ts'

export class OngoingCall implements OpenCall, Cancellation {
  readonly #wire: WireCall
  readonly #account: Account | null
  readonly #listeners: Array<() => void> = []
  uses: () => readonly Use[]
  /** Told why it was ended. */
  onRefused: (refusal: BrokerRefusal) => void = () => {}
  #refusal: BrokerRefusal | null = null

  /** `uses`: what it does, asked for when something has changed. */
  constructor(wire: WireCall, uses: () => readonly Use[]) {
    this.#wire = wire
    this.uses = uses
    this.#account = accountOf(wire.endpoint, wire.userName)
    wire.endpoint.openCalls.enter(this)
  }

  get aborted(): boolean {
    return this.#refusal !== null || this.#wire.signal.aborted
  }

  /** It was ended because of a change. */
  get isRefused(): boolean {
    return this.#refusal !== null
  }

  addEventListener(type: 'abort', listener: () => void, options?: { once?: boolean }): void {
    this.#wire.signal.addEventListener(type, listener, options)
    this.#listeners.push(listener)
  }

  removeEventListener(type: 'abort', listener: () => void): void {
    this.#wire.signal.removeEventListener(type, listener)
    const at = this.#listeners.indexOf(listener)
    if (at >= 0) this.#listeners.splice(at, 1)
  }

  lookAgain(): void {
    if (this.aborted) return
    try {
      refuse(denyChanged(this.#wire.endpoint, this.#account, this.#wire.credentials))
      checkUses(this.#wire, this.uses())
    } catch (error) {
      this.#refusal = error as BrokerRefusal
      this.onRefused(this.#refusal)
      for (const listener of this.#listeners.splice(0)) listener()
    }
  }

  /** Throws UNAUTHORIZED or FORBIDDEN when it was ended because of a change. */
  check(): void {
    if (this.#refusal !== null) throw this.#refusal
  }

  /** It is over. */
  end(): void {
    this.#wire.endpoint.openCalls.leave(this)
  }
}
