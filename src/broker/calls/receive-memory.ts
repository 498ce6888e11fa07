/**
 * Bytes of messages read for consumers and not yet taken by them, over the whole process. A client that does not read its
 * stream holds memory of the process. The bounds: a connection that holds much gets no more, and when all together hold
 * too much, of the instance that holds most the connection that does loses its receives. The receive that read messages
 * gives back those that no client took.
 */

import { Share } from '../../bounds/shares.ts'
import type { Connection } from '../../gateway/protocol.ts'
import type { InstanceId } from '../../model/ids.ts'
import type { ReceiveBudget } from '../broker.ts'

const mib = 2 ** 20
/** Of one connection: four full receives. */
const undeliveredPerConnection = 64 * mib
/** Of the process, and of one instance while no other holds much. A receive under way may go beyond by what it reads at a time. */
const undeliveredInAll = 512 * mib

/** A call that is answered with messages. */
interface Receive {
  readonly connection: Connection
  readonly context: { readonly instanceId: InstanceId }
  /** Calls `task` once the client has taken everything that was written, or what was left has been thrown away. */
  whenClosed(task: () => void): void
  /** Ends the call at once, and throws away what the client has not taken. */
  reset(): void
}

/** A connection that holds something. */
interface Holder {
  readonly share: Share
  /** Of each of its receives: lets go of what it holds, and ends it. */
  readonly receives: Set<() => void>
}

interface Instance {
  readonly share: Share
  /** Never empty. */
  readonly holders: Map<Connection, Holder>
}

const all = new Share({ most: undeliveredInAll })
const instances = new Map<string, Instance>()

/** The budget of one receive. What it adds counts until the call's stream is closed: all of it taken, or thrown away. */
export function budgetOf(call: Receive): ReceiveBudget {
  const {
    connection,
    context: { instanceId },
  } = call
  let holder: Holder | null = null
  let held = 0
  let closed = false

  function join(): Holder {
    const joined = holderOf(instanceId, connection)
    holder = joined
    joined.receives.add(lose)
    call.whenClosed(close)
    return joined
  }

  function close(): void {
    if (closed) return
    closed = true
    holder!.share.give(held)
    holder!.receives.delete(lose)
    if (holder!.receives.size === 0) forget(instanceId, connection)
  }

  function lose(): void {
    close()
    call.reset()
  }

  return {
    full: () => (instances.get(instanceId)?.holders.get(connection)?.share.held ?? 0) >= undeliveredPerConnection,
    add(bytes) {
      if (closed) return
      const { share } = holder ?? join()
      if (closed) return
      if (share.take(bytes)) held += bytes
      else lose()
    },
  }
}

function holderOf(instanceId: InstanceId, connection: Connection): Holder {
  const instance = instances.get(instanceId) ?? {
    share: new Share({ most: undeliveredInAll, parent: all }),
    holders: new Map<Connection, Holder>(),
  }
  instances.set(instanceId, instance)
  const known = instance.holders.get(connection)
  if (known !== undefined) return known
  const receives = new Set<() => void>()
  const giveWay = () => {
    for (const lose of [...receives]) lose()
    return true
  }
  const holder = { share: new Share({ most: Number.POSITIVE_INFINITY, parent: instance.share, giveWay }), receives }
  instance.holders.set(connection, holder)
  return holder
}

function forget(instanceId: InstanceId, connection: Connection): void {
  const { share, holders } = instances.get(instanceId)!
  holders.get(connection)!.share.close()
  holders.delete(connection)
  if (holders.size > 0) return
  share.close()
  instances.delete(instanceId)
}
