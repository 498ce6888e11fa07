/**
 * Messages that a client's gRPC library refuses to read. Node.js, C# and Rust take at most 4 MiB a gRPC message (data-plane
 * §0 row 10), a body may have 4 MiB, and one message too large ends the whole receive there: what came with it would fail
 * again and again beside it, up to the dead letters. So a message that is too large is sent alone, where the client's error
 * names the reason: when it is the first of a receive. Anywhere else it is held back, and so is the rest of a receive whose
 * first message is too large. What is held back is returned uncounted, and comes among the first of a later receive.
 */
import type { Delivery } from '../../../broker.ts'

const fourMiB = 4 * 1024 * 1024
/** By `x-mq-language`: Node.js, C#, Rust. None of them lets its user choose another limit. */
const limited: ReadonlySet<string | undefined> = new Set(['HTTP', 'DOTNET', 'RUST'])

/** Smaller ones fit whatever is said beside their payload. */
const surelyFits = fourMiB - 64 * 1024

/** Almost always so: then nothing needs to be sorted. */
export const allFit = (language: string | undefined, deliveries: readonly Delivery[]): boolean =>
  !limited.has(language) || deliveries.every(({ payload }) => payload.byteLength <= surelyFits)

export interface Sorted {
  readonly sent: readonly Delivery[]
  readonly heldBack: readonly Delivery[]
}

/**
 * `laneOf` tells what must stay in order: what follows one held back in its lane is held back too; null where order is no
 * matter. `sizeOf` answers the bytes of the encoded message; it is asked only of those that are near the limit.
 */
export function whatFits(
  deliveries: readonly Delivery[],
  laneOf: ((delivery: Delivery) => number) | null,
  sizeOf: (delivery: Delivery) => number,
): Sorted {
  const fits = (delivery: Delivery) => delivery.payload.byteLength <= surelyFits || sizeOf(delivery) <= fourMiB
  // Held back for as long as there is something else, it would never be sent in a busy topic.
  if (deliveries.length > 0 && !fits(deliveries[0]!))
    return { sent: deliveries.slice(0, 1), heldBack: deliveries.slice(1) }
  const stopped = new Set<number>()
  const sent: Delivery[] = []
  const heldBack: Delivery[] = []
  for (const delivery of deliveries) {
    const lane = laneOf?.(delivery)
    const inTurn = lane === undefined || !stopped.has(lane)
    if (inTurn && fits(delivery)) {
      sent.push(delivery)
      continue
    }
    heldBack.push(delivery)
    if (lane !== undefined) stopped.add(lane)
  }
  return { sent, heldBack }
}
