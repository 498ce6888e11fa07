/** Tables and lists of facts as text. Cells are data: they are made safe here. Pure. */
import { bold, dim, padded, shown, width } from './safe-text.ts'

/** Columns as wide as their widest cell, two blanks between them. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const titles = header.map(shown)
  const cells = rows.map((row) => header.map((_title, column) => shown(row[column] ?? '')))
  const widths = titles.map((title, column) => Math.max(width(title), ...cells.map((row) => width(row[column]!))))
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => padded(cell, widths[column]!))
      .join('  ')
      .trimEnd()
  return [bold(line(titles)), ...cells.map(line)].join('\n')
}

export type Facts = ReadonlyArray<readonly [name: string, value: string]>

/** Labels and values, one a line, values aligned. */
export function facts(pairs: Facts): string {
  const labels = pairs.map(([label]) => shown(label))
  const widest = Math.max(0, ...labels.map(width))
  return pairs
    .map(([, value], index) => `${dim(labels[index]!)}${' '.repeat(widest - width(labels[index]!))}  ${shown(value)}`)
    .map((line) => line.trimEnd())
    .join('\n')
}

/** Data of any form for people: a page or a list of objects as a table, an object as facts, the rest as text. */
export function anyTable(data: unknown): string {
  if (isObject(data) && Array.isArray(data.list)) return anyTable(data.list)
  if (Array.isArray(data)) {
    if (data.length === 0) return ''
    if (!data.every(isObject)) return data.map((each) => shown(cellOf(each))).join('\n')
    const rows = data.map((each) => new Map(flat(each)))
    const columns = [...new Set(rows.flatMap((row) => [...row.keys()]))]
    return table(
      columns,
      rows.map((row) => columns.map((column) => row.get(column) ?? '')),
    )
  }
  return isObject(data) ? facts(flat(data)) : shown(cellOf(data))
}

/** `1 byte`, `2 bytes`. */
export const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`

/** Members by their dotted names; lists as JSON. */
export function flat(data: Readonly<Record<string, unknown>>, prefix = ''): Array<readonly [string, string]> {
  return Object.entries(data).flatMap(([name, value]) =>
    isObject(value) && Object.keys(value).length > 0
      ? flat(value, `${prefix}${name}.`)
      : [[`${prefix}${name}`, cellOf(value)] as const],
  )
}

const cellOf = (value: unknown): string =>
  value === undefined || value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value)

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
