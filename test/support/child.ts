/**
 * Programs of tests that must run, and be killed, as processes of their own. Node 20 runs no
 * TypeScript, so they are bundled once per test file, beside node_modules where their packages are
 * found.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..')

/** Bundles `entry` (a path from the repository's root); `remove` deletes what was made. */
export async function buildChild(entry: string): Promise<{ readonly file: string; remove(): void }> {
  const directory = path.join(ROOT, 'node_modules/.cache/gantry-test')
  mkdirSync(directory, { recursive: true })
  const file = path.join(directory, `${path.basename(entry, '.ts')}-${process.pid}.mjs`)
  await build({
    entryPoints: [path.join(ROOT, entry)],
    outfile: file,
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    logLevel: 'error',
  })
  return { file, remove: () => rmSync(file, { force: true }) }
}

export class Child {
  readonly lines: string[] = []
  readonly exited: Promise<unknown>
  readonly #process: ChildProcess
  readonly #listeners = new Set<() => void>()

  constructor(file: string, args: readonly string[]) {
    this.#process = spawn(process.execPath, [file, ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.exited = once(this.#process, 'close')
    createInterface({ input: this.#process.stdout! }).on('line', (line) => {
      this.lines.push(line)
      for (const listener of this.#listeners) listener()
    })
  }

  get pid(): number {
    return this.#process.pid!
  }

  /** The code it ended with; null while it runs or when a signal ended it. */
  get exitCode(): number | null {
    return this.#process.exitCode
  }

  /** Resolves when `condition` holds for the lines printed so far; rejects when the program ends first. */
  async until(condition: (lines: readonly string[]) => boolean): Promise<void> {
    const fulfilled = new Promise<void>((resolve) => {
      const check = (): void => {
        if (!condition(this.lines)) return
        this.#listeners.delete(check)
        resolve()
      }
      this.#listeners.add(check)
      check()
    })
    const ended = this.exited.then(() => {
      if (!condition(this.lines)) throw new Error(`The child ended early: ${this.lines.slice(-5).join(' | ')}`)
    })
    await Promise.race([fulfilled, ended])
  }

  /** Ends it at once, as a power cut would, and waits until all it had printed is read. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.exited
  }
}
