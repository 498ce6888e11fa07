/**
 * A process that outlives its starter: it writes to a log of its own, says with one byte on file descriptor 3 that it serves, and is
 * told nothing of the starter's settings. What it wrote last goes into the sentence that says why it ended.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, closeSync, openSync, readSync, statSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { cutLog } from './child-log.ts'

const tailBytes = 4096
const tailLines = 3
const tailLineCharacters = 160

export interface StartedChild {
  readonly child: ChildProcess
  /** Resolves when it says that it serves; rejects when it ends before. */
  readonly announced: Promise<void>
  /** How it ended, for the middle of a sentence. */
  readonly exit: Promise<string>
  /** The last lines it wrote, bounded. */
  said(): string[]
}

/** A log that has grown large is begun anew; the process does the same while it runs (`cutLog`). */
export function startChild({
  command: [program, ...args],
  log,
}: {
  readonly command: readonly [string, ...string[]]
  readonly log: string
}): StartedChild {
  const said = saidFrom(log)
  const child = spawnInto(log, program, args)
  const exit = exitOf(child)
  return { child, exit, announced: announced(child, exit), said }
}

/** What is written to a log from now on: its last lines, bounded. */
export function saidFrom(log: string): () => string[] {
  const from = sizeOf(log)
  return () => lastLines(log, from)
}

function spawnInto(logFile: string, program: string, args: readonly string[]): ChildProcess {
  const log = openSync(logFile, 'a', 0o600)
  try {
    chmodSync(logFile, 0o600)
    cutLog(log)
    const child = spawn(program, args, {
      detached: true,
      stdio: ['ignore', log, log, 'pipe'],
      env: childEnvironment(process.env),
    })
    child.unref()
    return child
  } finally {
    closeSync(log)
  }
}

/** The process gets what it needs with each call. Two of the starter's settings hold secrets. */
function childEnvironment(own: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const ours = Object.keys(own).filter((name) => name.startsWith('GANTRY_'))
  return { ...own, ...Object.fromEntries(ours.map((name) => [name, undefined])), NODE_OPTIONS: '' }
}

function exitOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(`before it began (${error.message})`))
    child.once('exit', (code, signal) => resolve(signal === null ? `with exit code ${code}` : `by ${signal}`))
  })
}

function announced(child: ChildProcess, exit: Promise<string>): Promise<void> {
  const announcement = child.stdio[3] as Readable
  const said = new Promise<void>((resolve, reject) => {
    announcement.once('data', () => resolve())
    void exit.then((how) => reject(new Error(`It ended ${how} while starting.`)))
  })
  return said.finally(() => announcement.destroy())
}

function lastLines(file: string, from: number): string[] {
  try {
    const size = sizeOf(file)
    const start = Math.max(from <= size ? from : 0, size - tailBytes)
    const bytes = Buffer.alloc(size - start)
    const descriptor = openSync(file, 'r')
    try {
      readSync(descriptor, bytes, 0, bytes.length, start)
    } finally {
      closeSync(descriptor)
    }
    const lines = bytes.toString('utf8').split('\n')
    return (
      lines
        .map((line) => line.replace(/\p{Cc}/gu, ' ').trim())
        // A place in the code is of no use in a sentence for the operator.
        .filter((line) => line !== '' && !/^at |^Node\.js v/.test(line))
        .slice(-tailLines)
        .map((line) => line.slice(0, tailLineCharacters))
    )
  } catch {
    return []
  }
}

function sizeOf(file: string): number {
  try {
    return statSync(file).size
  } catch {
    return 0
  }
}
