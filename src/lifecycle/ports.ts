/**
 * Ports for the instances' endpoints: the lowest one from a base up that no instance of the ledger
 * holds and that can be bound on the host. A port is kept for the life of its instance, over
 * restarts; only the loop gives ports out, so what is set aside lives in memory until it is recorded.
 */
import { createServer } from 'node:net'

export interface PortSource {
  /** Marks ports of the ledger as held; called with all of them before the first `reserve`. */
  hold(ports: readonly number[]): void
  /** The lowest free port; nobody else gets it until `release`. Rejects with a sentence when there is none. */
  reserve(): Promise<number>
  /** Gives ports back: an instance is gone, or its start failed before the port was recorded. */
  release(ports: readonly number[]): void
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
  // No port below is free; without it the search would grow with the number of instances.
  let lowest = base

  async function reserve(): Promise<number> {
    const busy: number[] = []
    try {
      for (let port = lowest; port <= last; port += 1) {
        if (held.has(port)) continue
        // Set aside before the wait, so that two searches never try the same port.
        held.add(port)
        if (await isFree(port, host)) return port
        busy.push(port)
      }
    } finally {
      // Another program's port may be free the next time: it is tried again then.
      release(busy)
    }
    throw new Error(
      `No free port is left on ${host} from ${base} to ${last}: stop what listens there, or delete instances that are not needed.`,
    )
  }

  function release(ports: readonly number[]): void {
    for (const port of ports) {
      held.delete(port)
      if (port >= base && port < lowest) lowest = port
    }
  }

  return {
    hold(ports) {
      for (const port of ports) held.add(port)
    },
    async reserve() {
      while (held.has(lowest)) lowest += 1
      return reserve()
    },
    release,
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
