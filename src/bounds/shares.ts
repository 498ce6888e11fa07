/**
 * A bound that many hold parts of, so that none can take it from the others: when it is full, whoever holds the most
 * gives way, never whoever came last. Shares form a tree (process, instance, connection): each level has a bound of its
 * own, and the search for the largest holder goes down level by level, so that many small holders of one owner count as
 * that owner. Pure; amounts are of any one unit.
 */
export interface ShareOptions {
  /** What it may hold together with all below it. */
  readonly most: number
  readonly parent?: Share
  /**
   * Of a share that has none below it: lets go of something by calling `give`, and answers whether it could. Without it,
   * or when it cannot, others may go beyond a bound, each up to half of an equal part of it.
   */
  readonly giveWay?: () => boolean
}

export class Share {
  most: number
  #held = 0
  readonly #parent: Share | null
  readonly #giveWay: (() => boolean) | null
  /** Those that have held something; a share that never did costs nothing. */
  readonly #below = new Set<Share>()
  #joined = false

  constructor(options: ShareOptions) {
    this.most = options.most
    this.#parent = options.parent ?? null
    this.#giveWay = options.giveWay ?? null
  }

  get held(): number {
    return this.#held
  }

  /** Adds `amount`; false when that is too much and nobody else was to give way: then nothing was added. */
  take(amount: number): boolean {
    if (!this.#joined) this.#join()
    for (let level: Share | null = this; level !== null; level = level.#parent) level.#held += amount
    for (let level: Share | null = this; level !== null; level = level.#parent) {
      if (level.#held > level.most && !level.#makeRoom(this)) {
        this.give(amount)
        return false
      }
    }
    return true
  }

  /** Gives `amount` back. */
  give(amount: number): void {
    for (let level: Share | null = this; level !== null; level = level.#parent) level.#held -= amount
  }

  /** Gives back all it holds, and is forgotten. Shares below it are to be closed first. */
  close(): void {
    if (this.#held !== 0) this.give(this.#held)
    if (this.#parent !== null) this.#parent.#below.delete(this)
    this.#joined = false
  }

  #join(): void {
    for (let level: Share | null = this; level !== null && !level.#joined; level = level.#parent) {
      level.#joined = true
      if (level.#parent !== null) level.#parent.#below.add(level)
    }
  }

  /** Lets the largest holders give way until the bound is kept; false when `asker` is the one to be refused. */
  #makeRoom(asker: Share): boolean {
    while (this.#held > this.most) {
      const largest = this.#largest()
      if (largest === asker) return false
      const before = this.#held
      if (largest.#giveWay?.() !== true || this.#held >= before) return this.#withinPart(asker)
    }
    return true
  }

  #largest(): Share {
    let at: Share = this
    while (at.#below.size > 0) {
      let largest: Share | null = null
      for (const share of at.#below) if (largest === null || share.#held > largest.#held) largest = share
      at = largest!
    }
    return at
  }

  /** Whether what stands directly below this and leads to `asker` holds at most half of an equal part. */
  #withinPart(asker: Share): boolean {
    let child = asker
    if (child === this) return false
    while (child.#parent !== this) child = child.#parent!
    let holders = 0
    for (const share of this.#below) if (share.#held > 0) holders++
    return child.#held <= this.most / holders / 2
  }
}
