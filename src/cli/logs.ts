/**
 * `gantry logs`: what the server and the broker processes of a home wrote, in order of time.
 *
 * Reads the ends of the files only, a bounded part of each. Following looks at the files again and again, by name: a
 * file that was renamed, replaced or emptied is read on from its beginning.
 */

import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import type { Settings } from '../config.ts'
import { lookAtProcesses } from '../engines/embedded/inspect.ts'
import { hostPaths } from '../engines/embedded/paths.ts'
import type { InstanceId } from '../model/ids.ts'
import { pause, realClock } from '../world/real.ts'
import { instanceIdOf, quoted, wholeNumber } from './arguments.ts'
import { findTarget, isTargetKnown, refuseHostileHome, zoneOfHome } from './client.ts'
import { CommandError, exitCodes, UnreachableError, UsageError } from './errors.ts'
import { serverLogName } from './log-file.ts'
import { inOrder, isChosen, type LogChoice, type LogLine, levels, logText } from './log-lines.ts'
import { type Source, Tail } from './log-tail.ts'
import { type OutputOptions, printOne, say } from './output.ts'
import { shown } from './safe-text.ts'

export interface LogsOptions extends OutputOptions {
  readonly follow?: boolean
  readonly lines: string
  readonly instance?: string
  readonly process?: string
  readonly level?: string
}

const pollMs = 200

export async function logs(settings: Settings, options: LogsOptions): Promise<void> {
  refuseHostileHome(settings.home)
  const limit = wholeNumber('--lines', options.lines, 0, 1_000_000)
  if (options.level !== undefined && !levels.includes(options.level as 'info'))
    throw new UsageError(`--level takes ${levels.join(', ')}, not ${shown(JSON.stringify(options.level))}.`)
  const sources = (): Source[] => chosenSources(settings.home, options.process)
  if (sources().length === 0) throw new CommandError(nothingThere(settings.home, options.process))
  const instanceId = options.instance === undefined ? undefined : await instanceNamed(settings, options.instance)
  const choice: LogChoice = {
    instanceId,
    level: options.level,
    holder: instanceId === undefined ? undefined : await holderOf(settings.home, instanceId),
  }
  const zoneMinutes = zoneOfHome(settings)
  const show = (line: LogLine): void => printLine(line, options, zoneMinutes)
  const tails = new Map<string, Tail>()
  const earlier = sources().map((source) => {
    const tail = new Tail(source)
    tails.set(source.file, tail)
    return [...before(source), ...tail.lines()].filter((line) => isChosen(line, choice))
  })
  const found = inOrder(earlier)
  for (const line of limit === 0 ? [] : found.slice(-limit)) show(line)
  if (found.length === 0 && options.follow !== true) say(`No line is ${choiceText(choice)}.`)
  if (options.follow === true) await follow(sources, tails, (line) => isChosen(line, choice) && show(line))
}

/** By its name where a server runs, which knows it; by its id in any case, for one that was deleted has lines too. */
async function instanceNamed(settings: Settings, text: string): Promise<string> {
  if (/^rmq-/.test(text) && !isTargetKnown(settings)) return text
  try {
    return await instanceIdOf(findTarget(settings), text)
  } catch (error) {
    if (!(error instanceof UnreachableError)) throw error
    if (/^rmq-/.test(text)) return text
    throw new CommandError(`No server runs that knows which instance is called ${quoted(text)}; give its id.`)
  }
}

const choiceText = ({ instanceId, level }: LogChoice): string =>
  [
    ...(instanceId === undefined ? [] : [`about instance ${shown(instanceId)}`]),
    ...(level === undefined ? [] : [`of level ${level} or above`]),
  ].join(' and ') || 'there yet'

const printLine = (line: LogLine, options: OutputOptions, zoneMinutes: number): void =>
  printOne(
    { source: line.source, ...(line.fields ?? {}), time: timeOf(line), level: line.level, message: line.message },
    options,
    () => logText(line, zoneMinutes),
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
async function holderOf(home: string, instanceId: InstanceId): Promise<string | undefined> {
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
