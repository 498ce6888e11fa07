/**
 * Wrong credentials, counted by network and account, and by site (`bounds/networks.ts`). Beyond a few in a minute each further wrong try is
 * answered late and ends its connection, which keeps a place among the strangers until then. What is right is compared and
 * answered as ever, also from the same network.
 *
 * A burst is told once when it begins, not for each try; of many bursts only a few a minute are told.
 */

import { networksOf } from '../bounds/networks.ts'
import type { Clock } from '../world/world.ts'

/** Wrong tries of one network with one account within `windowMs` that have no consequence: a client with an old password. */
const freeTries = 20
const windowMs = 60_000
/** The same of one site with all accounts together: many clients with old passwords, not a list of names. */
const freeTriesOfSite = 200
/** Of a longer name no more is looked at. */
const nameLength = 64
/** Pairs of network and account that are counted; beyond, the one counted longest is forgotten. */
const mostCounted = 4096

/** Bursts told within `windowMs`: a list of names, each tried often, is no reason to fill the log. */
const mostTold = 3

interface Count {
  tries: number
  readonly since: number
  told: boolean
}

export class WrongPasswords {
  readonly #clock: Clock
  readonly #tell: (sentence: string) => void
  readonly #byName = new Map<string, Count>()
  /** Of tries that were not beyond for their name. */
  readonly #bySite = new Map<string, Count>()
  /** When the last bursts were told, `mostTold` at most, the oldest first. */
  readonly #toldAt: number[] = []

  constructor(clock: Clock, tell: (sentence: string) => void) {
    this.#clock = clock
    this.#tell = tell
  }

  /** Counts a wrong try; true when it is one beyond, and its connection is to end. */
  note(address: string, username: string): boolean {
    const { network, site } = networksOf(address)
    const name = username.slice(0, nameLength)
    return (
      this.#isBeyond(this.#byName, `${network}\n${name}`, freeTries, `for user ${JSON.stringify(name)}`, address) ||
      this.#isBeyond(this.#bySite, site, freeTriesOfSite, 'for many users', address)
    )
  }

  #isBeyond(counts: Map<string, Count>, key: string, free: number, whom: string, address: string): boolean {
    const now = this.#clock.monotonic()
    let count = counts.get(key)
    if (count === undefined || now - count.since >= windowMs) {
      // A burst that goes on is not told again.
      const told = count?.told === true && count.tries > free
      count = { tries: 0, since: now, told }
      counts.delete(key)
      counts.set(key, count)
      if (counts.size > mostCounted) counts.delete(counts.keys().next().value!)
    }
    count.tries++
    if (count.tries <= free) return false
    if (!count.told && this.#mayTell(now)) {
      count.told = true
      this.#tell(
        `${free} wrong credentials ${whom} came from ${address} within a minute: further ones from there are answered late; right ones are not.`,
      )
    }
    return true
  }

  #mayTell(now: number): boolean {
    if (this.#toldAt.length >= mostTold) {
      if (now - this.#toldAt[0]! < windowMs) return false
      this.#toldAt.shift()
    }
    this.#toldAt.push(now)
    return true
  }
}
