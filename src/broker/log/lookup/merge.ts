/**
 * Which runs are merged, and how. Few runs make a look-up cheap; few rewrites of an entry make the index cheap: an entry
 * is rewritten only into a run at least four times as large, so about once for each four-fold of what there is.
 */
import { type Run, RunCursor, type RunPlace, RunWriter, type Term } from './run-file.ts'

/** A run of more entries is merged no further: 192 MiB, some ten million messages. */
const mostEntries = 2 ** 24

/** Neighbours to be merged, in order; one alone when most of it lies below `first`. Null when everything is well. */
export function runsToMerge(runs: readonly Run[], first: number): readonly Run[] | null {
  const oldest = runs[0]
  if (oldest && oldest.from < first && first - oldest.from > (oldest.to - oldest.from) / 2) return [oldest]
  for (let size = 0; 4 ** size <= mostEntries; size++) {
    let group: Run[] = []
    let entries = 0
    for (const run of runs) {
      const isSmall = run.entries < 4 ** (size + 1)
      const isNext = group.at(-1)?.to === run.from && entries + run.entries <= mostEntries
      if (!isSmall || !isNext) {
        group = []
        entries = 0
      }
      if (!isSmall) continue
      group.push(run)
      entries += Math.max(1, run.entries)
      if (group.length > 1 && entries >= 4 ** (size + 1)) return group
    }
  }
  return null
}

export interface Merging {
  /** Entries below this position are left out. */
  readonly first: number
  /** Called with the term of each entry. */
  readonly each: (term: Term) => void
  readonly stopped: () => boolean
}

/** Ends early, leaving nothing, when `stopped`. */
export async function mergeRuns(
  place: RunPlace,
  runs: readonly Run[],
  { first, each, stopped }: Merging,
): Promise<Run | null> {
  const writer = await RunWriter.create(place, {
    ...{ from: Math.max(first, runs[0]!.from), to: runs.at(-1)!.to },
    hasCurrentTerms: runs.every(({ hasCurrentTerms }) => hasCurrentTerms),
  })
  try {
    const cursors: RunCursor[] = []
    for (const run of runs) {
      const cursor = new RunCursor(place, run)
      if (cursor.mustRead) await cursor.read()
      if (cursor.next()) cursors.push(cursor)
    }
    while (cursors.length > 0) {
      if (stopped()) return await nothing(writer)
      const least = leastOf(cursors)
      if (least.position >= first) {
        each(least)
        if (writer.add(least)) await writer.write()
      }
      if (least.mustRead) await least.read()
      if (!least.next()) cursors.splice(cursors.indexOf(least), 1)
    }
    return await writer.finish()
  } catch (error) {
    await writer.abandon()
    throw error
  }
}

async function nothing(writer: RunWriter): Promise<null> {
  await writer.abandon()
  return null
}

/** Runs are in the order of their positions: of equal terms the first run's comes first. */
function leastOf(cursors: readonly RunCursor[]): RunCursor {
  let least = cursors[0]!
  for (let i = 1; i < cursors.length; i++) {
    const cursor = cursors[i]!
    if (cursor.high < least.high || (cursor.high === least.high && cursor.low < least.low)) least = cursor
  }
  return least
}
