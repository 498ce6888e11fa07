/**
 * `gantry logs`: what the server and the broker processes of a home wrote, in order of time.
 *
 * Reads the ends of the files only, a bounded part of each. Following looks at the files again and again, by name: a
 * file that was renamed, replaced or emptied is read on from its beginning.
 */
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs'
import path from 'node:path'
import { StringDecoder } from 'node:string_decoder'
import type { Settings } from '../config.ts'
import { lookAtProcesses } from '../engines/embedded/inspect.ts'
import { hostPaths } from '../engines/embedded/paths.ts'
import { pause, realClock } from '../world/real.ts'
import { wholeNumber } from './arguments.ts'
import { refuseHostileHome } from './client.ts'
import { CommandError, exitCodes, UsageError } from './errors.ts'
import { serverLogName } from './log-file.ts'
import { inOrder, isChosen, type LogChoice, type LogLine, levels, logText, readLine } from './log-lines.ts'
import { type OutputOptions, printOne } from './output.ts'
import { shown } from './safe-text.ts'

export interface LogsOptions extends OutputOptions {
  readonly follow?: boolean
  readonly lines: string
  readonly instance?: string
  readonly process?: string
  readonly level?: string
}

/** How much of the end of a file is looked at. */
const lookBackBytes = 16 * 1024 * 1024
const largestChunkBytes = 1024 * 1024
const pollMs = 200

interface Source {
  readonly name: string
  readonly file: string
}

export async function logs(settings: Settings, options: LogsOptions): Promise<void> {
  refuseHostileHome(settings.home)
  const limit = wholeNumber('--lines', options.lines, 0, 1_000_000)
  if (options.level !== undefined && !levels.includes(options.level as 'info'))
    throw new UsageError(`--level takes ${levels.join(', ')}, not ${shown(JSON.stringify(options.level))}.`)
  const sources = (): Source[] => chosenSources(settings.home, options.process)
  if (sources().length === 0) throw new CommandError(nothingThere(settings.home, options.process))
  const choice: LogChoice = {
    instanceId: options.instance,
    level: options.level,
    holder: options.instance === undefined ? undefined : await holderOf(settings.home, options.instance),
  }
  const tails = new Map<string, Tail>()
  const earlier = sources().map((source) => {
    const tail = new Tail(source)
    tails.set(source.file, tail)
    return [...before(source), ...tail.lines()].filter((line) => isChosen(line, choice))
  })
  const found = inOrder(earlier)
  for (const line of limit === 0 ? [] : found.slice(-limit)) show(line, options)
  if (options.follow === true) await follow(sources, tails, (line) => isChosen(line, choice) && show(line, options))
}

const show = (line: LogLine, options: OutputOptions): void =>
  printOne(
    { source: line.source, ...(line.fields ?? {}), time: timeOf(line), level: line.level, message: line.message },
    options,
    () => logText(line),
  )

const timeOf = ({ timeMs }: LogLine): string | null => (timeMs === null ? null : new Date(timeMs).toISOString())

/** The server's log and those of the broker processes, also of processes that have ended. */
function chosenSources(home: string, only: string | undefined): Source[] {
  const { brokers } = hostPaths(home)
  const server = path.join(home, serverLogName)
  const names = existsSync(brokers) ? readdirSync(brokers).filter((name) => name.endsWith('.log')) : []
  const all = [
    ...(existsSync(server) ? [{ name: 'server', file: server }] : []),
    ...names
      .map((name) => ({ name: `broker ${name.slice(0, -'.log'.length)}`, file: path.join(brokers, name) }))
      .sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true })),
  ]
  return only === undefined ? all : all.filter(({ name }) => name === only || name === `broker ${only}`)
}

function nothingThere(home: string, only: string | undefined): string {
  return only === undefined
    ? `The home ${shown(home)} holds no logs; "gantry up" writes them. Name another home with --home.`
    : `The home ${shown(home)} holds no log of ${shown(JSON.stringify(only))}; take "server", or the name of a broker process ("gantry list processes").`
}

/** Which process holds the instance, as its log is named here. */
async function holderOf(home: string, instanceId: string): Promise<string | undefined> {
  const seen = await lookAtProcesses(home, realClock)
  const alone = seen.find(
    ({ name, instances }) => name === instanceId || (instances.length === 1 && instances[0] === instanceId),
  )
  return alone === undefined ? undefined : `broker ${alone.name}`
}

/** What the file before the last rotation still holds. */
function before({ name, file }: Source): LogLine[] {
  const older = `${file}.1`
  return existsSync(older) ? new Tail({ name, file: older }).lines() : []
}

/** A file that grows: answers the whole lines that came since it was asked last. */
class Tail {
  readonly #source: Source
  #decoder = new StringDecoder('utf8')
  #inode: number | null = null
  #at = 0
  #rest = ''

  constructor(source: Source) {
    this.#source = source
  }

  lines(): LogLine[] {
    let descriptor: number
    try {
      descriptor = openSync(this.#source.file, 'r')
    } catch {
      // Gone, for now: what comes in its place is another file.
      this.#inode = null
      return []
    }
    try {
      return this.#read(descriptor)
    } finally {
      closeSync(descriptor)
    }
  }

  #read(descriptor: number): LogLine[] {
    const { ino, size } = fstatSync(descriptor)
    if (this.#inode === null && this.#at === 0) this.#at = Math.max(0, size - lookBackBytes)
    else if (this.#inode !== ino || size < this.#at) {
      const left = this.#inode === null ? [] : this.#restOfRenamed(this.#inode)
      this.#begin(ino)
      return [...left, ...this.#linesTo(descriptor, size)]
    }
    // Begun in the middle of a line, which is not shown by halves.
    const cut = this.#inode === null && this.#at > 0
    this.#inode = ino
    const lines = this.#linesTo(descriptor, size)
    return cut ? lines.slice(1) : lines
  }

  #begin(inode: number): void {
    this.#inode = inode
    this.#at = 0
    this.#rest = ''
    this.#decoder = new StringDecoder('utf8')
  }

  /** What was written between the last look and the renaming. */
  #restOfRenamed(inode: number): LogLine[] {
    let descriptor: number
    try {
      descriptor = openSync(`${this.#source.file}.1`, 'r')
    } catch {
      return []
    }
    try {
      const { ino, size } = fstatSync(descriptor)
      return ino === inode ? this.#linesTo(descriptor, size) : []
    } finally {
      closeSync(descriptor)
    }
  }

  #linesTo(descriptor: number, size: number): LogLine[] {
    let text = this.#rest
    const chunk = Buffer.alloc(Math.min(largestChunkBytes, Math.max(0, size - this.#at)))
    while (this.#at < size) {
      const read = readSync(descriptor, chunk, 0, Math.min(chunk.length, size - this.#at), this.#at)
      if (read === 0) break
      this.#at += read
      text += this.#decoder.write(chunk.subarray(0, read))
    }
    const lines = text.split('\n')
    // A line without its end is still being written; one that never ends is let go.
    const last = lines.pop() ?? ''
    this.#rest = last.length > largestChunkBytes ? '' : last
    return lines.filter((line) => line !== '').map((line) => readLine(this.#source.name, line))
  }
}

async function follow(
  sources: () => Source[],
  tails: Map<string, Tail>,
  tell: (line: LogLine) => unknown,
): Promise<never> {
  for (const [signal, exitCode] of [
    ['SIGINT', exitCodes.interrupted],
    ['SIGTERM', exitCodes.terminated],
  ] as const) {
    process.on(signal, () => process.exit(exitCode))
  }
  for (;;) {
    await pause(pollMs)
    const fresh = sources().map((source) => {
      const tail = tails.get(source.file) ?? new Tail(source)
      tails.set(source.file, tail)
      return tail.lines()
    })
    for (const line of inOrder(fresh)) tell(line)
  }
}
