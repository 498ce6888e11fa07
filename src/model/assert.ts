/**
 * Invariants that are checked while the program runs. A broken one is a fault of the program, and stops what is broken: an
 * instance whose state or log cannot be relied on takes nothing more, says so, and is read anew from its log
 * (broker/shell/journal.ts). They are cheap: a comparison a step. What costs more is for simulations
 * (test/support/check-state.ts).
 */
export class BrokenInvariant extends Error {
  override readonly name = 'BrokenInvariant'
}

/** `sentence` says what must hold. */
export function assert(condition: boolean, sentence: string): asserts condition {
  if (!condition) throw new BrokenInvariant(`Broken invariant: ${sentence}`)
}
