/**
 * Messages that a client's gRPC library refuses to read. Node.js, C# and Rust take at most 4 MiB a gRPC message (data-plane
 * §0 row 10), a body may have 4 MiB, and one message too large ends the whole receive there: what came with it would fail
 * again and again beside it, up to the dead letters. So what is too large never travels with others: it is given back
 * while there is something else, and goes alone, where the client says what is wrong, when there is not.
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
  const stopped = new Set<number>()
  const sent: Delivery[] = []
  const heldBack: Delivery[] = []
  for (const delivery of deliveries) {
    const lane = laneOf?.(delivery)
    const fits = delivery.payload.byteLength <= surelyFits || sizeOf(delivery) <= fourMiB
    const inTurn = lane === undefined || !stopped.has(lane)
    if (fits && inTurn) {
      sent.push(delivery)
      continue
    }
    heldBack.push(delivery)
    if (lane !== undefined) stopped.add(lane)
  }
  return sent.length > 0 ? { sent, heldBack } : { sent: heldBack.slice(0, 1), heldBack: heldBack.slice(1) }
}
