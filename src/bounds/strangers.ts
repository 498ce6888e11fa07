/**
 * Connections that have not made a valid call yet, of one instance or of the API. They count against few places of their
 * own, never against the connections of those that have. When the places are taken, the oldest stranger of the network
 * that has the most is closed for the newest: whoever cannot make more than a few networks (`networks.ts`) closes its own,
 * and whoever can must fill all places anew in the time that a client needs for its first call.
 */
import { NetworkShares } from './networks.ts'
import { Share } from './shares.ts'

export interface Closable {
  destroy(): void
}

interface Place {
  readonly share: Share
  readonly address: string
}

export class Strangers<Member extends Closable = Closable> {
  readonly #share: Share
  readonly #networks: NetworkShares
  readonly #places = new Map<Member, Place>()

  /** `parent` is what all instances share. */
  constructor(options: { readonly most: number; readonly parent?: Share }) {
    this.#share = new Share(options)
    this.#networks = new NetworkShares(this.#share)
  }

  get count(): number {
    return this.#share.held
  }

  /** In the order in which they came. */
  [Symbol.iterator](): Iterator<Member> {
    return this.#places.keys()
  }

  /** False when it could not be let in at all. */
  enter(connection: Member, address: string): boolean {
    const giveWay = () => {
      this.leave(connection)
      connection.destroy()
      return true
    }
    // Of equal holders the first is asked to give way, and these have one place each: the oldest.
    const share = new Share({ most: 1, parent: this.#networks.of(address), giveWay })
    this.#places.set(connection, { share, address })
    if (share.take(1)) return true
    this.leave(connection)
    return false
  }

  /** Does nothing for a connection that is no stranger here. */
  leave(connection: Member): void {
    const place = this.#places.get(connection)
    if (place === undefined) return
    this.#places.delete(connection)
    place.share.close()
    this.#networks.forget(place.address)
  }

  close(): void {
    for (const { share } of this.#places.values()) share.close()
    this.#places.clear()
    this.#networks.close()
    this.#share.close()
  }
}
