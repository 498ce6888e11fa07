/**
 * What the clients of one instance said in their settings, kept to answer them anew when their group changes: as bytes in
 * the form of their protocol, because a decoded list of empty entries takes twenty times as much. Small settings are always
 * kept, their number being that of the streams; large ones share a bound, beyond which the largest is dropped. The client
 * of dropped settings is answered as others are, and is not told of later changes.
 */

/** A client with some thirty topics. */
const smallBytes = 2 * 1024
/** Beyond, settings are not kept at all. */
const largestBytes = 256 * 1024
const largeBytesTogether = 16 * 2 ** 20

/** Whose settings they are: a stream. */
type Owner = object

export class KeptSettings {
  readonly #small = new WeakMap<Owner, Uint8Array>()
  readonly #large = new Map<Owner, Uint8Array>()
  #largeBytes = 0

  keep(owner: Owner, bytes: Uint8Array): void {
    this.forget(owner)
    if (bytes.length <= smallBytes) {
      this.#small.set(owner, bytes)
      return
    }
    if (bytes.length > largestBytes) return
    this.#large.set(owner, bytes)
    this.#largeBytes += bytes.length
    while (this.#largeBytes > largeBytesTogether) this.forget(this.#largest())
  }

  /** Null when the owner gave none, or they gave way. */
  of(owner: Owner): Uint8Array | null {
    return this.#small.get(owner) ?? this.#large.get(owner) ?? null
  }

  /** Its stream has ended, or has new ones. */
  forget(owner: Owner): void {
    this.#small.delete(owner)
    this.#largeBytes -= this.#large.get(owner)?.length ?? 0
    this.#large.delete(owner)
  }

  /** A walk of a few thousand at most: so many fit under the bound. */
  #largest(): Owner {
    let found: Owner | null = null
    let most = 0
    for (const [owner, { length }] of this.#large) {
      if (length <= most) continue
      found = owner
      most = length
    }
    return found!
  }
}
