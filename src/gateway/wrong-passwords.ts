/**
 * Wrong credentials, counted by network and account. Beyond a few in a minute the network is slowed down for a while: its
 * new connections wait before they are served, few of them at a time, and each wrong try ends its connection. What is
 * right always passes: it is compared like any other, and connections that have made a valid call are not touched.
 *
 * A burst is told once when it begins, not for each try.
 */
import type { Clock } from '../world/world.ts'
import { networkOf } from './strangers.ts'

/** Wrong tries of one network with one account within `windowMs` that have no consequence: a client with an old password. */
const freeTries = 20
const windowMs = 60_000
/** A network is slow until so long after its last try beyond. */
const slowMs = 60_000
/** Pairs of network and account that are counted; beyond, the one counted longest is forgotten. */
const mostCounted = 4096

interface Count {
  tries: number
  readonly since: number
  told: boolean
}

export class WrongPasswords {
  readonly #clock: Clock
  readonly #tell: (sentence: string) => void
  readonly #counts = new Map<string, Count>()
  /** Until when each network is slow. */
  readonly #slow = new Map<string, number>()

  constructor(clock: Clock, tell: (sentence: string) => void) {
    this.#clock = clock
    this.#tell = tell
  }

  /** Counts a wrong try; true when it is one beyond, and its connection is to end. */
  note(address: string, username: string): boolean {
    const network = networkOf(address)
    const key = `${network}\n${username}`
    const now = this.#clock.monotonic()
    let count = this.#counts.get(key)
    if (count === undefined || now - count.since >= windowMs) {
      // A burst that goes on is not told again.
      const told = count?.told === true && count.tries > freeTries
      count = { tries: 0, since: now, told }
      this.#counts.delete(key)
      this.#counts.set(key, count)
      if (this.#counts.size > mostCounted) this.#counts.delete(this.#counts.keys().next().value!)
    }
    count.tries++
    if (count.tries <= freeTries) return false
    if (!count.told) {
      count.told = true
      this.#tell(
        `${freeTries} wrong credentials for user ${JSON.stringify(username.slice(0, 64))} came from ${address} within a minute: further ones from there are slowed down; right ones pass.`,
      )
    }
    this.#slow.delete(network)
    this.#slow.set(network, now + slowMs)
    if (this.#slow.size > mostCounted) this.#slow.delete(this.#slow.keys().next().value!)
    return true
  }

  isSlow(address: string): boolean {
    if (this.#slow.size === 0) return false
    const network = networkOf(address)
    const until = this.#slow.get(network)
    if (until === undefined) return false
    if (until > this.#clock.monotonic()) return true
    this.#slow.delete(network)
    return false
  }
}
