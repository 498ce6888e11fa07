/**
 * Recent records in memory, so that consumers near the head of their queues never touch the disk.
 *
 * Records are encoded once into blocks; a commit writes the block's bytes, readers get views of
 * them. All logs of a process share one budget: the oldest block goes first, whichever log it
 * belongs to, so a busy instance may use what idle instances do not. A block that is not yet
 * durable is never dropped (the log bounds how much that can be).
 */
export class Block {
  readonly bytes: Buffer
  readonly segment: number
  /** Offset in the segment of the block's first byte. */
  readonly start: number
  used = 0
  /** Bytes from here on are not durable yet. */
  durable = 0
  readonly #owner: BlockOwner

  constructor(owner: BlockOwner, segment: number, start: number, capacityBytes: number) {
    this.#owner = owner
    this.segment = segment
    this.start = start
    this.bytes = Buffer.allocUnsafeSlow(capacityBytes)
  }

  forget(): void {
    this.#owner.forgetBlock(this)
  }
}

export interface BlockOwner {
  forgetBlock(block: Block): void
}

export class RecentRecords {
  readonly #budgetBytes: number
  /** In order of age. */
  readonly #blocks = new Set<Block>()
  #bytes = 0

  constructor(budgetBytes: number) {
    this.#budgetBytes = budgetBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  add(block: Block): void {
    this.#blocks.add(block)
    this.#bytes += block.bytes.length
    if (this.#bytes > this.#budgetBytes) this.#makeRoom(block)
  }

  remove(block: Block): void {
    if (this.#blocks.delete(block)) this.#bytes -= block.bytes.length
  }

  #makeRoom(keep: Block): void {
    for (const block of this.#blocks) {
      if (this.#bytes <= this.#budgetBytes) return
      if (block === keep || block.durable < block.used) continue
      this.remove(block)
      block.forget()
    }
  }
}

/** The budget of the process: 64 MiB. */
export const sharedRecentRecords = new RecentRecords(64 * 2 ** 20)
