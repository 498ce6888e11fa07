/**
 * Citations of the documents in docs/reference: a document's name, then sections, each perhaps with rows.
 *
 *     data-plane §4.3          product-facts.md §1.3          api-semantics §2 and §3, §15
 *     docs/reference/api-semantics.md §1.6             [auth-and-wire](…) §1
 *     auth-and-wire §6.1–6.3   data-plane §0 row 15           data-plane §0 rows 3 to 5, §1.12
 *
 * A section without a name belongs to the document named last before it in the same file; in a document itself, to that
 * document unless it continues a list.
 */
import { at, type TextFile } from './files.ts'

export interface Document {
  readonly sections: ReadonlySet<string>
  /** Numbers in the first column of the tables of a section. */
  readonly rows: ReadonlyMap<string, ReadonlySet<number>>
}

/** Sections are the numbers that headings begin with: `## 4. Consuming`, `### 4.3 An orderly group`. */
export const readDocument = (markdown: string): Document => {
  const sections = new Set<string>()
  const rows = new Map<string, Set<number>>()
  let current = ''
  for (const line of markdown.split('\n')) {
    const heading = /^#{2,4} (\d+(?:\.\d+)*)\.? /.exec(line)?.[1]
    if (heading !== undefined) {
      current = heading
      sections.add(heading)
    }
    const row = /^\| (\d+(?:, \d+)*) \|/.exec(line)?.[1]
    if (row === undefined) continue
    const known = rows.get(current) ?? new Set<number>()
    for (const number of row.split(', ')) known.add(Number(number))
    rows.set(current, known)
  }
  return { sections, rows }
}

export interface Citation {
  readonly where: string
  readonly document: string
  readonly section: string
  readonly rows: readonly number[]
}

const number = String.raw`\d+(?:\.\d+)*`

/** Matches, in the order of the text: a document's name before a section, one before a bare number, a section. */
const token = (names: readonly string[]) => {
  const hyphenated = names.filter((name) => name.includes('-'))
  return new RegExp(
    [
      `(?:(?<=docs/reference/)|(?<![\\w/-]))(?<name>${names.join('|')})(?:\\.md)?(?:\\]\\([^)]*\\))?(?=[\\s*/]+§)`,
      `(?<![\\w/-])(?<loose>${hyphenated.join('|')})(?:\\.md)? (?=\\d)`,
      `§ ?(?<section>${number})(?:–(?<until>${number}))?(?: rows? (?<row>\\d+)(?: (?<join>to|and) (?<last>\\d+))?)?`,
    ].join('|'),
    'g',
  )
}

const range = (from: number, until: number): number[] =>
  Array.from({ length: until - from + 1 }, (_, index) => from + index)

/** `6.1` and `6.3` are 6.1, 6.2, 6.3. */
const sectionsBetween = (from: string, until: string | undefined): string[] => {
  if (until === undefined) return [from]
  const parent = from.split('.').slice(0, -1)
  const last = (text: string) => Number(text.split('.').at(-1))
  return range(last(from), last(until)).map((each) => [...parent, each].join('.'))
}

const rowsOf = (row: string | undefined, join: string | undefined, last: string | undefined): number[] => {
  if (row === undefined) return []
  return join === 'and' ? [Number(row), Number(last)] : range(Number(row), Number(last ?? row))
}

/** What may stand between two sections of one document: "§2 and §3, §15". */
const continues = /^(,| and| to|;)?[\s*/]+$/

/**
 * Every citation of `file`; `own` is the document the file is. What cites no document, or has no `§` before its
 * section, is a complaint.
 */
export const citationsOf = (
  file: TextFile,
  names: readonly string[],
  own?: string,
): { citations: Citation[]; complaints: string[] } => {
  const citations: Citation[] = []
  const complaints: string[] = []
  let document = own
  let end = 0
  for (const match of file.text.matchAll(token(names))) {
    const { name, loose, section, until, row, join, last } = match.groups!
    const where = at(file, match.index)
    const between = file.text.slice(end, match.index)
    end = match.index + match[0].length
    if (loose !== undefined) complaints.push(`${where} cites ${loose} without "§" before the section`)
    if (name !== undefined) document = name
    if (section === undefined) continue
    if (own !== undefined && !continues.test(between)) document = own
    if (document === undefined) {
      complaints.push(`${where} cites §${section}, but of which document? Write "data-plane §${section}" or the like`)
      continue
    }
    for (const each of sectionsBetween(section, until))
      citations.push({
        where,
        document,
        section: each,
        rows: rowsOf(row, join, last),
      })
  }
  return { citations, complaints }
}

/** Why a citation cannot be looked up, or nothing. */
export const broken = (citation: Citation, documents: ReadonlyMap<string, Document>): string | undefined => {
  const { where, document: name, section, rows } = citation
  const document = documents.get(name)
  if (!document) return `${where} cites ${name}, which is not in docs/reference`
  if (!document.sections.has(section)) return `${where} cites ${name} §${section}: no heading has that number`
  const missing = rows.filter((row) => !document.rows.get(section)?.has(row))
  return missing.length > 0 ? `${where} cites ${name} §${section} row ${missing.join(', ')}: no such row` : undefined
}
