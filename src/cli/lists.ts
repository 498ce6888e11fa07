/** `gantry list`: every page of a list operation, as a table with columns of its own. */
import { quoted } from './arguments.ts'
import { callData, type Target } from './client.ts'
import { given, type Members } from './members.ts'
import { type OutputOptions, print, say } from './output.ts'
import { table } from './tables.ts'
import { withZone } from './zone.ts'

export interface ListOptions extends OutputOptions {
  readonly filter?: string
}

type Row = Readonly<Record<string, unknown>>

/** Columns of a list: title and member. */
export type Columns = ReadonlyArray<readonly [title: string, member: string | ((row: Row) => string)]>

export interface Listing {
  readonly action: string
  readonly input: Members
  readonly pageSize: number
  readonly things: string
  readonly columns: Columns
}

/** All pages of a list operation. `pageSize`: the most that the operation takes; `things`: what an empty list has none of. */
export async function list(
  target: Target,
  { action, input, pageSize, things, columns }: Listing,
  options: ListOptions,
): Promise<void> {
  const entries: Row[] = []
  for (let pageNumber = 1; ; pageNumber++) {
    const page = await callData<{ totalCount: number; list: readonly Row[] }>(target, action, {
      ...input,
      pageNumber,
      pageSize,
      ...given({ filter: options.filter }),
    })
    entries.push(...page.list)
    if (page.list.length === 0 || entries.length >= page.totalCount) break
  }
  print(entries, options, () => {
    if (entries.length === 0) say(noneText(things, options.filter))
    return rows(columns, entries, target.zoneMinutes)
  })
}

/** Said on stderr, under the header of an empty table. */
const noneText = (things: string, filter: string | undefined): string =>
  filter === undefined ? `No ${things}.` : `No ${things} match ${quoted(filter)}.`

export const rows = (columns: Columns, entries: readonly Row[], zoneMinutes: number | null): string =>
  table(
    columns.map(([title, member]) => (member === 'createTime' ? withZone(title, zoneMinutes) : title)),
    entries.map((entry) =>
      columns.map(([, member]) => (typeof member === 'string' ? String(entry[member] ?? '') : member(entry))),
    ),
  )
