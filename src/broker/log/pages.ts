/**
 * Recently read index pages, shared by all indexes of the process: 1024 pages, 4 MiB. The least recently used goes
 * first.
 */
export class PageCache {
  readonly #limit: number
  readonly #pages = new Map<string, Buffer>()

  constructor(limit: number) {
    this.#limit = limit
  }

  get(owner: string, segment: number, page: number): Buffer | undefined {
    const key = `${owner}/${segment}/${page}`
    const found = this.#pages.get(key)
    if (found) {
      this.#pages.delete(key)
      this.#pages.set(key, found)
    }
    return found
  }

  put(owner: string, segment: number, page: number, bytes: Buffer): void {
    this.#pages.set(`${owner}/${segment}/${page}`, bytes)
    if (this.#pages.size > this.#limit) this.#pages.delete(this.#pages.keys().next().value!)
  }

  /** Pages of one segment, or all of the owner's. */
  forget(owner: string, segment?: number): void {
    const prefix = segment === undefined ? `${owner}/` : `${owner}/${segment}/`
    for (const key of this.#pages.keys()) if (key.startsWith(prefix)) this.#pages.delete(key)
  }
}

export const sharedPages = new PageCache(1024)
