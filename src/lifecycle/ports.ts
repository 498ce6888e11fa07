/**
 * Ports for the instances' endpoints. A port is kept for the life of its instance, over restarts. The port of an
 * instance that is gone rests: clients that were not told still dial it, and would reach another instance.
 * So a new instance gets the lowest port that no instance ever had, and only when there is none left the one that
 * has rested longest.
 *
 * Only the loop gives ports out, so what is set aside lives in memory until the ledger records it; how long a port
 * has rested is in the ledger, too.
 */
import { createServer } from 'node:net'

export interface PortSource {
  /**
   * What the ledger says, before the first `reserve`: ports that instances hold, and those that rest, the one that
   * has rested longest first.
   */
  restore(ports: { readonly held: readonly number[]; readonly resting: readonly number[] }): void
  /** A port that can be bound; nobody else gets it until `release`. Rejects with a sentence when there is none. */
  reserve(): Promise<number>
  /** Gives back ports that were never recorded, so that no client was told them. */
  release(ports: readonly number[]): void
  /** The instance of these ports is gone. */
  rest(ports: readonly number[]): void
}

interface PortOptions {
  /** First port to give out. */
  readonly base: number
  readonly host: string
  /** Last port to give out. */
  readonly last?: number
  /** Whether the port can be bound now; the machine is asked unless a test says otherwise. */
  readonly isFree?: (port: number, host: string) => Promise<boolean>
}

export const createPortSource = (options: PortOptions): PortSource => new Ports(options)

class Ports implements PortSource {
  readonly #base: number
  readonly #last: number
  readonly #host: string
  readonly #isFree: (port: number, host: string) => Promise<boolean>
  readonly #held = new Set<number>()
  /** In the order in which they came to rest. */
  readonly #resting = new Set<number>()
  /** No port below is unused; without it the search would grow with the number of instances. */
  #lowestUnused: number

  constructor({ base, host, last = 65_535, isFree = canBind }: PortOptions) {
    this.#base = base
    this.#last = last
    this.#host = host
    this.#isFree = isFree
    this.#lowestUnused = base
  }

  restore(ports: { readonly held: readonly number[]; readonly resting: readonly number[] }): void {
    for (const port of ports.held) this.#held.add(port)
    for (const port of ports.resting) {
      if (this.#isOurs(port) && !this.#held.has(port)) this.#resting.add(port)
    }
  }

  async reserve(): Promise<number> {
    while (this.#held.has(this.#lowestUnused) || this.#resting.has(this.#lowestUnused)) this.#lowestUnused += 1
    for (let port = this.#lowestUnused; port <= this.#last; port += 1) {
      if (!this.#held.has(port) && !this.#resting.has(port) && (await this.#tryPort(port))) return port
    }
    for (const port of [...this.#resting]) {
      if (this.#held.has(port) || !(await this.#tryPort(port))) continue
      this.#resting.delete(port)
      return port
    }
    throw new Error(
      `No free port is left on ${this.#host} from ${this.#base} to ${this.#last}: stop what listens there, delete instances that are not needed, or set a higher last port (GANTRY_LAST_INSTANCE_PORT).`,
    )
  }

  release(ports: readonly number[]): void {
    for (const port of ports) {
      this.#held.delete(port)
      if (port >= this.#base && port < this.#lowestUnused && !this.#resting.has(port)) this.#lowestUnused = port
    }
  }

  rest(ports: readonly number[]): void {
    for (const port of ports) {
      this.#held.delete(port)
      this.#resting.delete(port)
      if (this.#isOurs(port)) this.#resting.add(port)
    }
  }

  #isOurs(port: number): boolean {
    return port >= this.#base && port <= this.#last
  }

  async #tryPort(port: number): Promise<boolean> {
    // Set aside before the wait, so that two searches never try the same port.
    this.#held.add(port)
    let free = false
    try {
      free = await this.#isFree(port, this.#host)
    } finally {
      // Another program's port may be free the next time: it is tried again then.
      if (!free) this.#held.delete(port)
    }
    return free
  }
}

function canBind(port: number, host: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.unref()
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') return resolve(false)
      // Anything else (a host that is not this machine's, no file descriptors) fails on every port.
      reject(new Error(`Cannot listen on ${host}: ${error.message}. Check the host setting.`, { cause: error }))
    })
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)))
  })
}
