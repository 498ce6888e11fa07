/** Runs the steps on one thing (an instance, by its id) one after the other, whatever became of the step before. */
export type KeyedQueue = <T>(id: string, step: () => Promise<T>) => Promise<T>

export function createKeyedQueue(): KeyedQueue {
  /** The last step of each id that has one under way. */
  const last = new Map<string, Promise<void>>()
  return (id, step) => {
    const mine = (last.get(id) ?? Promise.resolve()).then(step)
    const settled = mine.then(nothing, nothing)
    last.set(id, settled)
    void settled.then(() => {
      if (last.get(id) === settled) last.delete(id)
    })
    return mine
  }
}

function nothing(): void {}
