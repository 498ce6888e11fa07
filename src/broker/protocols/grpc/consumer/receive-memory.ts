/**
 * Bytes of messages read for consumers and not yet taken by them, over the whole process. Whoever does not read its
 * stream holds memory of ours; here is the bound: a connection that holds much gets no more, and when all together hold
 * too much, the one that holds most loses its receives. Messages nobody took are given back by whoever reads them.
 */
import type { Connection, WritableCall } from '../../../../grpc/transport.ts'
import type { ReceiveBudget } from '../../../broker.ts'

const mib = 2 ** 20
/** Of one connection: four full receives. */
const undeliveredPerConnection = 64 * mib
/** Of the process. A receive under way may go beyond by what it reads at a time. */
const undeliveredInAll = 512 * mib

type Receive = Pick<WritableCall<unknown, unknown>, 'connection' | 'whenClosed' | 'reset'>

interface Holder {
  bytes: number
  readonly calls: Set<Receive>
}

const holders = new Map<Connection, Holder>()
let total = 0

/** The budget of one receive. What it adds counts until the call's stream is closed: all of it taken, or thrown away. */
export function budgetOf(call: Receive): ReceiveBudget {
  const { connection } = call
  let held = 0
  let closed = false
  let holder: Holder | null = null

  function join(): Holder {
    const joined = holders.get(connection) ?? { bytes: 0, calls: new Set() }
    holders.set(connection, joined)
    joined.calls.add(call)
    call.whenClosed(() => {
      closed = true
      total -= held
      joined.bytes -= held
      joined.calls.delete(call)
      if (joined.calls.size === 0) holders.delete(connection)
    })
    return joined
  }

  return {
    full() {
      if (total > undeliveredInAll) relieve()
      return (holders.get(connection)?.bytes ?? 0) >= undeliveredPerConnection
    },
    add(bytes) {
      if (closed) return
      holder ??= join()
      if (closed) return
      held += bytes
      total += bytes
      holder.bytes += bytes
    },
  }
}

function relieve(): void {
  let most: Holder | null = null
  for (const holder of holders.values()) if (most === null || holder.bytes > most.bytes) most = holder
  for (const call of [...(most?.calls ?? [])]) call.reset()
}
