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

export function createPortSource(options: {
  /** First port to give out. */
  readonly base: number
  readonly host: string
  /** Last port to give out. */
  readonly last?: number
  /** Whether the port can be bound now; the machine is asked unless a test says otherwise. */
  readonly isFree?: (port: number, host: string) => Promise<boolean>
}): PortSource {
  const { base, host, last = 65_535, isFree = canBind } = options
  const held = new Set<number>()
  /** In the order in which they came to rest. */
  const resting = new Set<number>()
  // No port below is unused; without it the search would grow with the number of instances.
  let lowestUnused = base

  async function tryPort(port: number): Promise<boolean> {
    // Set aside before the wait, so that two searches never try the same port.
    held.add(port)
    let free = false
    try {
      free = await isFree(port, host)
    } finally {
      // Another program's port may be free the next time: it is tried again then.
      if (!free) held.delete(port)
    }
    return free
  }

  return {
    restore(ports) {
      for (const port of ports.held) held.add(port)
      for (const port of ports.resting) {
        if (port >= base && port <= last && !held.has(port)) resting.add(port)
      }
    },
    async reserve() {
      while (held.has(lowestUnused) || resting.has(lowestUnused)) lowestUnused += 1
      for (let port = lowestUnused; port <= last; port += 1) {
        if (!held.has(port) && !resting.has(port) && (await tryPort(port))) return port
      }
      for (const port of [...resting]) {
        if (held.has(port) || !(await tryPort(port))) continue
        resting.delete(port)
        return port
      }
      throw new Error(
        `No free port is left on ${host} from ${base} to ${last}: stop what listens there, delete instances that are not needed, or set a higher last port (GANTRY_LAST_INSTANCE_PORT).`,
      )
    },
    release(ports) {
      for (const port of ports) {
        held.delete(port)
        if (port >= base && port < lowestUnused && !resting.has(port)) lowestUnused = port
      }
    },
    rest(ports) {
      for (const port of ports) {
        held.delete(port)
        resting.delete(port)
        if (port >= base && port <= last) resting.add(port)
      }
    },
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
