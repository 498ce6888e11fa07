/**
 * An index from terms to positions of the records that name them; the shell says which terms a record names.
 *
 * Entries of the newest records are in memory. When a table is full it is sorted and written as a run, a file for one
 * stretch of the log, and neighbouring runs are merged into larger ones (merge.ts), so that a look-up asks a number of
 * files that grows with the logarithm of what is retained. All of that happens in the background, in portions.
 *
 * A run holds nothing that the log does not. A stretch of the log that no run knows (an older program wrote
 * it, a file is missing or damaged) is a gap: look-ups read it, and it is indexed again in the background. What must
 * never happen is an answer that leaves out a record, so a damaged run becomes a gap before anything is answered from it.
 */
import type { Disk } from '../../../world/disk.ts'
import type { RecordCipher, SegmentLog } from '../contract.ts'
import { positionOf, segmentOf } from '../contract.ts'
import { isDamage, LogError } from '../errors.ts'
import { sharedPages } from '../pages.ts'
import { sharedReadFiles } from '../read-files.ts'
import { aTurnEach, type LoopBudget, yieldToEventLoop } from '../yield.ts'
import { EntryTable } from './entry-table.ts'
import { mergeRuns, runsToMerge } from './merge.ts'
import {
  findInRun,
  forgetRun,
  isMissing,
  isRunFileName,
  type Run,
  RunCursor,
  type RunPlace,
  RunWriter,
  readRun,
  type Term,
  type Wanted,
} from './run-file.ts'
import { TermFilter } from './term-filter.ts'

/** Emits the terms of records in the order of the log. */
export interface Terms {
  read(record: Uint8Array, position: number, emit: (high: number, low: number) => void): void
}

export interface OpenLookupIndexOptions {
  readonly disk: Disk
  /** The log's folder; runs lie beside the segments. */
  readonly directory: string
  readonly log: SegmentLog
  readonly cipher?: RecordCipher | null
  /** One for each pass over the log. */
  readonly terms: () => Terms
  readonly report: (error: unknown) => void
  /** Entries in memory before they become a run; 49,152 unless given. */
  readonly tableEntries?: number
  /** Bytes of the log that a look-up reads itself where no run is; 256 MiB unless given. */
  readonly readableGapBytes?: number
  /** Memory for filters of runs; 16 MiB unless given. */
  readonly filterBytes?: number
  /** A turn for each portion unless given. */
  readonly turns?: LoopBudget
}

const defaultTableEntries = 49_152
const defaultReadableGapBytes = 256 * 2 ** 20
/** Full tables that wait for the disk; what does not fit is indexed again from the log later. */
const mostTables = 4
/**
 * Memory for filters of runs, used from the first look-up on: one byte an entry. The smallest runs, of which there
 * are the most, get theirs first.
 */
const defaultFilterBytes = 16 * 2 ** 20
/** Records looked at before others run. */
const recordsPerYield = 64
/** Look-ups that wait while another one reads the log. */
const mostReaders = 16
/** Full tables skipped after a failed write before the disk is tried again. */
const retryWrites = 16

export async function openLookupIndex(options: OpenLookupIndexOptions): Promise<LookupIndex> {
  const index = new LookupIndex(options)
  await index.open()
  return index
}

interface Gap {
  readonly from: number
  readonly to: number
}

let indexesOpened = 0

export class LookupIndex {
  readonly #place: RunPlace
  readonly #log: SegmentLog
  readonly #options: OpenLookupIndexOptions
  readonly #tableEntries: number
  readonly #turns: LoopBudget
  /** Disjoint, in the order of the log. */
  #runs: Run[] = []
  /** Full, oldest first, on their way to the disk. */
  readonly #full: EntryTable[] = []
  #table: EntryTable
  #terms: Terms
  #position = 0
  readonly #emit = (high: number, low: number): void => this.#table.add(high, low, this.#position)
  /** Parts of the log that cannot be read and are not retried, by segment. */
  readonly #unreadable = new Set<number>()
  readonly #filters = new Map<Run, TermFilter>()
  /** One look-up at a time reads stretches of the log that no run knows: each may be hundreds of megabytes. */
  #reading: Promise<unknown> = Promise.resolve()
  #readers = 0
  /** The record noted last could not be read: it is a gap, and the table begins with the next one. */
  #leavesGap = false
  /** An unreadable record was already reported for this table. */
  #isTold = false
  /** Whether a look-up was made since opening. */
  #asked = false
  #working: Promise<void> | null = null
  /** After a failed write: full tables still to skip before the next attempt. */
  #pause = 0
  #begun = false
  #closed = false
  #saved = false

  constructor(options: OpenLookupIndexOptions) {
    const { disk, directory, log, cipher = null } = options
    this.#options = options
    this.#log = log
    this.#place = { disk, directory, cipher, owner: `lookup ${indexesOpened++}` }
    this.#tableEntries = options.tableEntries ?? defaultTableEntries
    this.#turns = options.turns ?? aTurnEach
    this.#table = new EntryTable(log.first)
    this.#terms = options.terms()
  }

  /** Records from here on that are not known must be noted, in order. */
  get resumeAt(): number {
    return this.#table.from
  }

  async open(): Promise<void> {
    const { disk, directory } = this.#place
    const found: Run[] = []
    for (const name of await disk.list(directory)) {
      if (!isRunFileName(name)) continue
      const run = await readRun(this.#place, name)
      if (run && run.to > this.#log.first && run.to <= this.#log.end) found.push(run)
      else await this.#remove({ path: `${directory}/${name}` })
    }
    // A crash while runs were merged leaves both: the larger one knows what the others do.
    for (const run of found.sort((a, b) => b.to - b.from - (a.to - a.from))) {
      if (this.#runs.some((other) => run.from < other.to && other.from < run.to)) await this.#remove(run)
      else this.#runs.push(run)
    }
    this.#runs.sort((a, b) => a.from - b.from)
    this.#table = new EntryTable(this.#runs.at(-1)?.to ?? this.#log.first)
  }

  /** Noting goes on from this position; what lies between `resumeAt` and it is indexed in the background. */
  start(position: number): void {
    if (position > this.#table.from) this.#table = new EntryTable(position)
  }

  /** Must be called for every record in order; below `resumeAt` it does nothing. */
  note(record: Uint8Array, position: number): void {
    if (this.#leavesGap) {
      this.#table = new EntryTable(position)
      this.#leavesGap = false
    }
    if (position < this.#table.from) return
    if (this.#table.count >= this.#tableEntries) this.#endTable(position)
    this.#position = position
    try {
      this.#terms.read(record, position, this.#emit)
    } catch (error) {
      this.#unread(error, position)
    }
  }

  /**
   * Look-ups by name do not find a record that the index cannot read; the log itself is intact. Reported once per
   * table; the table ends there, so that the next one begins after the record.
   */
  #unread(error: unknown, position: number): void {
    if (this.#isTold) return
    this.#options.report(error)
    this.#terms = this.#options.terms()
    this.#endTable(position)
    this.#table = new EntryTable(Number.POSITIVE_INFINITY)
    this.#leavesGap = true
    this.#isTold = true
  }

  /**
   * Positions from `from` on of records that may name the term, in order, at most `limit` of them: a collision of terms
   * gives one that does not. Rejects with a `LogError` (`busy`) while a large part of the log is not indexed yet.
   */
  async find(term: Wanted, from: number, limit: number): Promise<number[]> {
    if (!this.#asked) {
      this.#asked = true
      this.#work()
    }
    for (let attempt = 0; ; attempt++) {
      const tables = [...this.#full, this.#table]
      const inMemory: number[][] = tables.map((table) => {
        const found: number[] = []
        table.find(term, from, found, limit)
        return found
      })
      const runs = this.#runs
      const gaps = this.#gaps().filter(({ to }) => to > from)
      if (gaps.length > 0) this.#tryAgain()
      this.#refuseLarge(gaps)
      const inRuns = await Promise.all(runs.map((run) => this.#findInRun(run, term, from, limit)))
      if (!inRuns.includes(null)) {
        const found = [...inRuns.flatMap((each) => each!), ...inMemory.flat()]
        if (gaps.length > 0) found.push(...(await this.#findInGaps(gaps, term, from, limit)))
        return found.sort((a, b) => a - b).slice(0, limit)
      }
      if (attempt === 3) throw new LogError('busy', `The look-up index in ${this.#place.directory} changes too fast`)
    }
  }

  /** Removes the runs of segments that are gone. */
  async trimmed(): Promise<void> {
    const { first } = this.#log
    const gone = this.#runs.filter(({ to }) => to <= first)
    this.#runs = this.#runs.filter(({ to }) => to > first)
    for (const run of gone) await this.#remove(run)
    this.#work()
  }

  /** Begins with what is to be done in the background; before, records are only noted. */
  begin(): void {
    this.#begun = true
    this.#work()
  }

  /** Resolves when nothing is left to do in the background. */
  async settled(): Promise<void> {
    for (this.#work(); this.#working; this.#work()) await this.#working
  }

  memoryBytes(): number {
    const held = [...this.#full, this.#table, ...this.#filters.values()]
    return held.reduce((sum, { memoryBytes }) => sum + memoryBytes, this.#runs.length * 200)
  }

  /** The runs, and the stretches that none of them knows; for people and tests that look. */
  view(): { readonly runs: readonly Run[]; readonly gaps: readonly Gap[] } {
    return { runs: this.#runs, gaps: this.#gaps() }
  }

  /** `save`: what is in memory is written, when the log has it durably, so that the next opening need not read it again. */
  async close({ save }: { readonly save: boolean }): Promise<void> {
    this.#closed = true
    await this.#working
    try {
      const { durableEnd, end } = this.#log
      if (save && !this.#saved && durableEnd === end && end > this.#table.from) {
        this.#table.to = end
        for (const table of [...this.#full, this.#table]) await this.#written(table)
        this.#saved = true
      }
    } finally {
      sharedReadFiles.close(this.#place.owner)
      sharedPages.forget(this.#place.owner)
    }
  }

  // Finding --------------------------------------------------------------------------------------

  /** Null when the run no longer exists: it was merged meanwhile, or is damaged and now a gap. */
  async #findInRun(run: Run, wanted: Wanted, from: number, limit: number): Promise<number[] | null> {
    const terms = wanted.before && !run.hasCurrentTerms ? [wanted, wanted.before] : [wanted]
    const filter = this.#filters.get(run)
    const asked = filter ? terms.filter((term) => filter.mayHave(term)) : terms
    if (asked.length === 0) return []
    try {
      const found = await Promise.all(asked.map((term) => findInRun(this.#place, run, term, from, limit)))
      return found.length === 1 ? found[0]! : [...new Set(found.flat())].sort((a, b) => a - b)
    } catch (error) {
      if (!this.#runs.includes(run)) return null
      if (!isMissing(error)) throw error
      await this.#lose(run)
      return null
    }
  }

  /** One look-up after another. Rejects with a `LogError` (`busy`) when too many wait for it. */
  #findInGaps(gaps: readonly Gap[], term: Term, from: number, limit: number): Promise<number[]> {
    if (this.#readers >= mostReaders)
      return Promise.reject(
        new LogError('busy', 'Messages are being indexed, and many are looked up. Look again in a moment'),
      )
    this.#readers++
    const read = this.#reading.then(async () => {
      const found: number[] = []
      for (const gap of gaps) found.push(...(await this.#findInGap(gap, term, from, limit)))
      return found
    })
    this.#reading = read.then(
      () => this.#readers--,
      () => this.#readers--,
    )
    return read
  }

  async #findInGap(gap: Gap, term: Term, from: number, limit: number): Promise<number[]> {
    const found: number[] = []
    const terms = this.#options.terms()
    let names = false
    const emit = (high: number, low: number): void => {
      if (high === term.high && low === term.low) names = true
    }
    for await (const { position, payload } of this.#each(gap)) {
      if (position < from) continue
      names = false
      try {
        terms.read(payload, position, emit)
      } catch {
        // A record without terms, as when it was noted.
      }
      if (names && found.push(position) === limit) return found
    }
    return found
  }

  #refuseLarge(gaps: readonly Gap[]): void {
    const most = this.#options.readableGapBytes ?? defaultReadableGapBytes
    const bytes = gaps.reduce((sum, gap) => sum + this.#bytesOf(gap), 0)
    if (bytes <= most) return
    const left = Math.ceil(bytes / 2 ** 20)
    throw new LogError('busy', `Messages are being indexed: ${left} MiB are left. Look again in a moment`)
  }

  // Gaps -----------------------------------------------------------------------------------------

  /** The gaps, in order. */
  #gaps(): Gap[] {
    const gaps: Gap[] = []
    let at = this.#log.first
    const known = [...this.#runs, ...this.#full, this.#table]
    for (const { from, to } of known.sort((a, b) => a.from - b.from)) {
      if (from > at) gaps.push(...this.#readableParts(at, Math.min(from, this.#log.end)))
      at = Math.max(at, to)
    }
    return gaps
  }

  /** Without the segments that cannot be read. */
  #readableParts(from: number, to: number): Gap[] {
    if (from >= to) return []
    const parts: Gap[] = []
    let at = from
    for (const segment of [...this.#unreadable].sort((a, b) => a - b)) {
      const start = positionOf(segment, 0)
      const end = positionOf(segment + 1, 0)
      if (end <= at || start >= to) continue
      if (start > at) parts.push({ from: at, to: start })
      at = end
    }
    if (at < to) parts.push({ from: at, to })
    return parts
  }

  #bytesOf({ from, to }: Gap): number {
    const last = segmentOf(this.#log.end)
    const ends = [...this.#log.segments(), { first: positionOf(last, 0), end: this.#log.end }]
    return ends.reduce((sum, { first, end }) => sum + Math.max(0, Math.min(end, to) - Math.max(first, from)), 0)
  }

  /** Records of the gap; others run between them. */
  async *#each(gap: Gap) {
    let looked = 0
    for await (const records of this.#readable(gap)) {
      for (const record of records) {
        if (looked++ % recordsPerYield === 0 && this.#turns.isSpent) await this.#turns.pause()
        if (this.#closed) return
        yield record
      }
    }
  }

  /**
   * Records of the gap, many at a time. A damaged record ends its segment: without its length the following ones
   * cannot be found.
   */
  async *#readable({ from, to }: Gap) {
    let at = from
    try {
      for await (const records of this.#log.scanChunks(from, to)) {
        if (this.#closed) return
        yield records
        at = records.at(-1)!.position
      }
    } catch (error) {
      if (to <= this.#log.first || this.#closed) return
      if (!isDamage(error) || at < this.#log.first) throw error
      const damaged = error instanceof LogError && error.place ? /(\d{7})\.segment$/.exec(error.place.file) : null
      this.#unreadable.add(damaged ? Number(damaged[1]) : segmentOf(at))
      throw error
    }
  }

  // In the background ----------------------------------------------------------------------------

  #endTable(to: number): void {
    this.#isTold = false
    this.#table.to = to
    this.#full.push(this.#table)
    this.#table = new EntryTable(to)
    if (this.#full.length > mostTables) this.#full.shift()
    if (this.#pause > 0) this.#pause--
    this.#work()
  }

  #tryAgain(): void {
    this.#pause = 0
    this.#work()
  }

  #work(): void {
    if (!this.#begun || this.#working || this.#closed || this.#pause > 0 || !this.#hasWork()) return
    this.#working = this.#doAll().finally(() => {
      this.#working = null
    })
  }

  #hasWork(): boolean {
    return (
      this.#full.length > 0 ||
      this.#unfiltered() !== undefined ||
      runsToMerge(this.#runs, this.#log.first) !== null ||
      this.#gaps().length > 0
    )
  }

  async #doAll(): Promise<void> {
    try {
      while (!this.#closed) {
        const table = this.#full[0]
        const run = table ? undefined : this.#unfiltered()
        const group = table || run ? null : runsToMerge(this.#runs, this.#log.first)
        const gap = table || run || group ? undefined : this.#gaps()[0]
        if (table) await this.#writeTable(table)
        else if (run) await this.#makeFilter(run)
        else if (group) await this.#merge(group)
        else if (gap) await this.#fill(gap)
        else return
      }
    } catch (error) {
      if (this.#closed || this.#log.failed) return
      // Nothing is lost: what is not indexed is read from the log, and indexed when the disk takes it.
      this.#pause = retryWrites
      this.#options.report(error)
    }
  }

  async #writeTable(table: EntryTable): Promise<void> {
    // Records are indexed only when they are durable.
    await this.#log.append([])
    // Sorting takes some milliseconds, so it gets its own turn of the event loop, apart from commits.
    await yieldToEventLoop()
    const run = await this.#written(table)
    const at = this.#full.indexOf(table)
    if (at >= 0) this.#full.splice(at, 1)
    this.#add(run)
  }

  async #written(table: EntryTable): Promise<Run> {
    const { from, to } = table
    const writer = await RunWriter.create(this.#place, { from, to, hasCurrentTerms: true })
    try {
      const entries = table.sorted()
      while (entries.next()) if (writer.add(entries)) await writer.write()
      return await writer.finish()
    } catch (error) {
      await writer.abandon()
      throw error
    }
  }

  async #merge(group: readonly Run[]): Promise<void> {
    try {
      // The filter is built during the merge when it will be needed, which saves another read of a large run.
      const entries = group.reduce((sum, run) => sum + run.entries, 0)
      const filter = this.#asked && this.#hasRoomFor(entries, group) ? new TermFilter(entries) : null
      const merged = await mergeRuns(this.#place, group, {
        first: this.#log.first,
        each: (term) => filter?.add(term),
        stopped: () => this.#closed,
      })
      if (!merged) return
      if (filter) this.#filters.set(merged, filter)
      // The merged run is durable before the runs it replaces are removed.
      await this.#place.disk.syncDirectory(this.#place.directory)
      this.#runs = this.#runs.filter((run) => !group.includes(run))
      this.#add(merged)
      for (const run of group) if (run.path !== merged.path) await this.#remove(run)
    } catch (error) {
      const before = this.#runs
      for (const run of group) if (isMissing(error) && !(await this.#isSound(run))) await this.#lose(run)
      // A merge whose input runs were removed meanwhile by retention or a look-up is abandoned.
      if (this.#runs === before && group.every((run) => before.includes(run))) throw error
    }
  }

  #unfiltered(): Run | undefined {
    if (!this.#asked) return undefined
    return this.#runs.find((run) => run.entries > 0 && !this.#filters.has(run) && this.#hasRoomFor(run.entries, [run]))
  }

  /** Whether a run of so many entries gets a filter beside those that are no larger; `but` are not counted. */
  #hasRoomFor(entries: number, but: readonly Run[]): boolean {
    let bytes = entries
    for (const run of this.#runs) if (run.entries <= entries && !but.includes(run)) bytes += run.entries
    return bytes <= (this.#options.filterBytes ?? defaultFilterBytes)
  }

  async #makeFilter(run: Run): Promise<void> {
    const filter = new TermFilter(run.entries)
    const cursor = new RunCursor(this.#place, run)
    try {
      do {
        if (cursor.mustRead) await cursor.read()
        if (!cursor.next()) break
        filter.add(cursor)
      } while (!this.#closed)
      if (this.#runs.includes(run)) this.#filters.set(run, filter)
    } catch (error) {
      if (!this.#runs.includes(run)) return
      if (!isMissing(error)) throw error
      await this.#lose(run)
    }
  }

  /** Indexes a part of the log anew, a table at a time. */
  async #fill({ from, to }: Gap): Promise<void> {
    let table = new EntryTable(from)
    const terms = this.#options.terms()
    let position = 0
    const emit = (high: number, low: number): void => table.add(high, low, position)
    try {
      for await (const record of this.#each({ from, to })) {
        position = record.position
        if (table.count >= this.#tableEntries) {
          table.to = position
          await this.#fillPart(table)
          table = new EntryTable(position)
        }
        try {
          terms.read(record.payload, position, emit)
        } catch {
          // A record without terms, as when it was noted.
        }
      }
      if (this.#closed) return
      table.to = to
    } catch (error) {
      if (!isDamage(error)) throw error
      this.#options.report(
        new Error(
          'A damaged record is not indexed, nor are those behind it in its segment; messages there are found by time.',
          { cause: error },
        ),
      )
      table.to = position
    }
    await this.#fillPart(table)
  }

  async #fillPart(table: EntryTable): Promise<void> {
    if (table.to <= Math.max(table.from, this.#log.first)) return
    const run = await this.#written(table)
    this.#add(run)
  }

  #add(run: Run): void {
    this.#runs = [...this.#runs, run].sort((a, b) => a.from - b.from)
    // Smaller runs were written since.
    for (const filtered of this.#filters.keys())
      if (!this.#hasRoomFor(filtered.entries, [filtered])) this.#filters.delete(filtered)
  }

  async #isSound(run: Run): Promise<boolean> {
    try {
      const cursor = new RunCursor(this.#place, run)
      do if (cursor.mustRead) await cursor.read()
      while (cursor.next())
      return true
    } catch {
      return false
    }
  }

  /** Removes a damaged run; its stretch of the log becomes a gap. */
  async #lose(run: Run): Promise<void> {
    if (!this.#runs.includes(run)) return
    this.#runs = this.#runs.filter((other) => other !== run)
    await this.#remove(run)
    this.#work()
  }

  async #remove(run: Pick<Run, 'path'> & Partial<Run>): Promise<void> {
    if (run.key !== undefined) {
      this.#filters.delete(run as Run)
      forgetRun(this.#place, run as Run)
    } else sharedReadFiles.close(this.#place.owner, run.path)
    await this.#place.disk.unlink(run.path)
  }
}
