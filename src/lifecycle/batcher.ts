/**
 * Joins calls that come while one is under way: the first call runs at once, those that arrive
 * meanwhile go together with the next. No timer, no added wait when idle; many waiting callers cost
 * one ledger transaction. Order of arrival is kept.
 *
 * A batch that fails is repeated one by one, so that one bad item does not fail the others;
 * when two in a row fail, the cause is not an item, and the rest fails at once.
 */

export type Batcher<Item, Result> = (item: Item) => Promise<Result>

/** `run` answers as many results as it was given items, in their order. */
export function createBatcher<Item, Result>(
  run: (items: readonly Item[]) => Promise<readonly Result[]>,
  maxItems: number,
): Batcher<Item, Result> {
  const waiting: Waiting<Item, Result>[] = []
  let running = false

  async function drain(): Promise<void> {
    // One turn of the microtask queue lets callers of the same moment share the first batch.
    await null
    while (waiting.length > 0) await runBatch(waiting.splice(0, maxItems))
    running = false
  }

  async function runBatch(batch: Waiting<Item, Result>[]): Promise<void> {
    try {
      const results = await run(batch.map(({ item }) => item))
      batch.forEach(({ resolve }, index) => {
        resolve(results[index] as Result)
      })
    } catch (error) {
      if (batch.length === 1) batch[0]?.reject(error)
      else await runOneByOne(batch)
    }
  }

  async function runOneByOne(batch: Waiting<Item, Result>[]): Promise<void> {
    let failuresInARow = 0
    let failure: unknown
    for (const { item, resolve, reject } of batch) {
      if (failuresInARow >= 2) {
        reject(failure)
        continue
      }
      try {
        resolve((await run([item]))[0] as Result)
        failuresInARow = 0
      } catch (error) {
        failuresInARow += 1
        failure = error
        reject(error)
      }
    }
  }

  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject })
      if (running) return
      running = true
      void drain()
    })
}

interface Waiting<Item, Result> {
  readonly item: Item
  resolve(result: Result): void
  reject(error: unknown): void
}
