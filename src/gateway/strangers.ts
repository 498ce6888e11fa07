/**
 * Connections that have not made a valid call yet, of one instance. They count against few places of their own, never
 * against the connections the instance's specification allows; when those are taken, the oldest stranger of the network
 * that has the most is closed for the newest.
 */
import { isIPv6 } from 'node:net'
import { Share } from './shares.ts'

export interface Closable {
  destroy(): void
}

interface Network {
  readonly share: Share
  readonly connections: Set<Closable>
}

export class Strangers {
  readonly #share: Share
  readonly #networks = new Map<string, Network>()
  readonly #networkOf = new Map<Closable, string>()

  /** `parent` is what all instances share. */
  constructor(options: { readonly most: number; readonly parent: Share }) {
    this.#share = new Share(options)
  }

  get count(): number {
    return this.#share.held
  }

  /** False when it could not be let in at all. */
  enter(connection: Closable, address: string): boolean {
    const name = networkOf(address)
    let network = this.#networks.get(name)
    if (network === undefined) {
      const connections = new Set<Closable>()
      const share = new Share({
        most: Number.POSITIVE_INFINITY,
        parent: this.#share,
        giveWay: () => this.#closeOldest(connections),
      })
      network = { share, connections }
      this.#networks.set(name, network)
    }
    // Its own network may be the one that has the most: then its oldest goes.
    const taken = network.share.take(1) || (this.#closeOldest(network.connections) && network.share.take(1))
    if (!taken) {
      this.#forgetEmpty(name)
      return false
    }
    // The last of the network may just have been closed for it.
    this.#networks.set(name, network)
    network.connections.add(connection)
    this.#networkOf.set(connection, name)
    return true
  }

  /** Does nothing for a connection that is no stranger here. */
  leave(connection: Closable): void {
    const name = this.#networkOf.get(connection)
    if (name === undefined) return
    this.#networkOf.delete(connection)
    const { share, connections } = this.#networks.get(name)!
    connections.delete(connection)
    share.give(1)
    this.#forgetEmpty(name)
  }

  close(): void {
    for (const { share } of this.#networks.values()) share.close()
    this.#share.close()
  }

  #closeOldest(connections: Set<Closable>): boolean {
    const [oldest] = connections
    if (oldest === undefined) return false
    this.leave(oldest)
    oldest.destroy()
    return true
  }

  #forgetEmpty(name: string): void {
    const network = this.#networks.get(name)
    if (network === undefined || network.connections.size > 0) return
    if (network.share.held > 0) return
    network.share.close()
    this.#networks.delete(name)
  }
}

/** Whose an address is: of IPv6 the first 64 bits, which one customer usually has whole. */
export function networkOf(address: string): string {
  if (!isIPv6(address)) return address
  const [before = '', after] = address.split('::')
  const groups = before === '' ? [] : before.split(':')
  if (after !== undefined) {
    const behind = after === '' ? 0 : after.split(':').length + (after.includes('.') ? 1 : 0)
    while (groups.length < 8 - behind) groups.push('0')
    if (after !== '') groups.push(...after.split(':'))
  }
  return groups.slice(0, 4).join(':')
}
