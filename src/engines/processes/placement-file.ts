/**
 * `brokers/processes.json` in the home: which instance belongs to which broker process, and what became
 * of the processes. Written by the server that holds the home, read by the next one and by `gantry
 * doctor`. Nothing depends on its being there: what runs is asked, what is missing is placed anew.
 */
import { readFileSync } from 'node:fs'
import { mkdir, open, rename } from 'node:fs/promises'
import path from 'node:path'
import { isProcessName } from './placement.ts'
import type { ProcessRecord } from './supervisor.ts'

export interface ProcessesFile {
  /** Size of the pool for which the instances were placed; 0 when none were. */
  readonly pool: number
  readonly instances: ReadonlyMap<string, string>
  readonly processes: ReadonlyMap<string, ProcessRecord>
}

const format = 1

/** What is written down; empty when the file is absent, or damaged (`onDamage` is told). */
export function readProcessesFile(file: string, onDamage: (error: Error) => void = () => {}): ProcessesFile {
  try {
    const content = JSON.parse(readFileSync(file, 'utf8')) as Written
    if (content.format !== format) throw new Error(`format ${content.format} is not known`)
    return {
      pool: content.pool,
      instances: new Map(Object.entries(content.instances).filter(([, name]) => isProcessName(name))),
      processes: new Map(Object.entries(content.processes).filter(([name]) => isProcessName(name))),
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      onDamage(new Error(`${file} cannot be used and is made anew: ${(error as Error).message}.`))
    return { pool: 0, instances: new Map(), processes: new Map() }
  }
}

interface Written {
  readonly format: number
  readonly pool: number
  readonly instances: Readonly<Record<string, string>>
  readonly processes: Readonly<Record<string, ProcessRecord>>
}

export interface ProcessesWriter {
  /** Writes what `content` says when its turn comes; many calls at once are one write. */
  changed(): void
  /** Resolves when everything is written. */
  settled(): Promise<void>
}

export function createProcessesWriter(
  file: string,
  content: () => ProcessesFile,
  report: (error: unknown) => void,
): ProcessesWriter {
  let writing: Promise<void> | null = null
  let again = false

  async function write(): Promise<void> {
    do {
      again = false
      try {
        await writeWhole(file, content())
      } catch (error) {
        report(new Error(`${file} could not be written.`, { cause: error }))
      }
    } while (again)
    writing = null
  }

  return {
    changed() {
      again = true
      // A turn later, so that what changes together is written together.
      writing ??= Promise.resolve().then(write)
    },
    settled: () => writing ?? Promise.resolve(),
  }
}

async function writeWhole(file: string, { pool, instances, processes }: ProcessesFile): Promise<void> {
  const written: Written = {
    format,
    pool,
    instances: Object.fromEntries(instances),
    processes: Object.fromEntries(processes),
  }
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
  const fresh = `${file}.new`
  const handle = await open(fresh, 'w', 0o600)
  try {
    await handle.writeFile(`${JSON.stringify(written, null, 1)}\n`)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(fresh, file)
}
