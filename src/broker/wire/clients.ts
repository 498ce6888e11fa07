/**
 * The clients of one instance as the wire sees them: a client is here from its first settings or
 * heartbeat until it says goodbye, its telemetry stream stays away, or it has been silent too long.
 *
 * Telemetry is no precondition for anything else (a restarted server meets clients that never reopen
 * it), so every call counts as a sign of life and registers what it can.
 */
import type { Cancel, Clock } from '../../world/world.ts'
import type { Broker } from '../broker.ts'

export interface ClientInfo {
  readonly clientId: string
  readonly language: string | undefined
  readonly version: string | undefined
  readonly group: string | null
  readonly topics: readonly string[]
}

export interface ClientRegistry {
  /** Every authenticated call. */
  alive(clientId: string): void
  /** Settings or a heartbeat say what the client is. */
  register(info: ClientInfo): void
  streamOpened(clientId: string): void
  /** The client has no telemetry stream any more; unless it is heard of soon, its deliveries are given back. */
  streamClosed(clientId: string): void
  terminated(clientId: string): void
  list(): ClientInfo[]
  close(): void
}

/** Clients heartbeat every 10 s (Rust every 30 s): a closed stream without a sign of life for this long means a lost client. */
const lostAfterMs = 35_000
const maxClients = 100_000

export function createClientRegistry(broker: Broker, clock: Clock): ClientRegistry {
  const known = new Map<string, ClientInfo>()
  const streams = new Map<string, number>()
  const doubts = new Map<string, Doubt>()

  function doubt(clientId: string): void {
    settle(clientId)
    doubts.set(clientId, { heardAt: clock.monotonic(), cancel: lookAgain(clientId, lostAfterMs) })
  }

  /** One timer a doubted client, however often it is heard: when it fires it asks whether there was silence. */
  function lookAgain(clientId: string, afterMs: number): Cancel {
    return clock.after(afterMs, () => {
      const doubted = doubts.get(clientId)!
      const leftMs = doubted.heardAt + lostAfterMs - clock.monotonic()
      if (leftMs > 0) doubted.cancel = lookAgain(clientId, leftMs)
      else forget(clientId)
    })
  }

  function settle(clientId: string): void {
    doubts.get(clientId)?.cancel()
    doubts.delete(clientId)
  }

  function forget(clientId: string): void {
    settle(clientId)
    known.delete(clientId)
    broker.clientGone(clientId)
  }

  return {
    alive(clientId) {
      const doubted = doubts.get(clientId)
      if (doubted !== undefined) doubted.heardAt = clock.monotonic()
      broker.clientAlive(clientId)
    },
    register(info) {
      if (known.size >= maxClients && !known.has(info.clientId)) known.delete(known.keys().next().value!)
      known.set(info.clientId, info)
      broker.clientAlive(info.clientId)
    },
    streamOpened(clientId) {
      streams.set(clientId, (streams.get(clientId) ?? 0) + 1)
      settle(clientId)
    },
    streamClosed(clientId) {
      const left = (streams.get(clientId) ?? 1) - 1
      if (left > 0) {
        streams.set(clientId, left)
        return
      }
      streams.delete(clientId)
      if (known.has(clientId)) doubt(clientId)
    },
    terminated: forget,
    list: () => [...known.values()],
    close() {
      for (const { cancel } of doubts.values()) cancel()
      doubts.clear()
    },
  }
}

/** A client without a telemetry stream: it may come back, or go on without one as the C# client does. */
interface Doubt {
  /** Monotonic, ms. */
  heardAt: number
  cancel: Cancel
}
