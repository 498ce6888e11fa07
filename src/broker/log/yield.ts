/** Splits long work into portions; other ready work of the event loop runs between them. Uses no timer. */

/** Asked right before each portion: `if (turns.isSpent) await turns.pause()`. */
export interface LoopBudget {
  /** Nothing more should be done in this turn of the event loop. */
  readonly isSpent: boolean
  /** Resolves in a later turn. */
  pause(): Promise<void>
}

export const yieldToEventLoop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** A turn for each portion; for work that shares the event loop with no other. */
export const aTurnEach: LoopBudget = { isSpent: true, pause: yieldToEventLoop }

/** Does work that is made in small steps, and answers what it makes. */
export async function inTurns<T>(turns: LoopBudget, steps: Generator<void, T>): Promise<T> {
  for (;;) {
    if (turns.isSpent) await turns.pause()
    const { done, value } = steps.next()
    if (done) return value
  }
}
