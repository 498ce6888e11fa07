/**
 * Builds the programs of foreign clients, before the tests run (a global setup of vitest), all languages at once and outside the checkout:
 * `GANTRY_CLIENTS_CACHE`, or ~/.cache/gantry-clients. A language whose toolchain is not installed, or whose packages its registry does not
 * give, is skipped with that reason; a program that does not compile fails the run.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const sources = path.dirname(fileURLToPath(import.meta.url))
export const cache = process.env.GANTRY_CLIENTS_CACHE ?? path.join(homedir(), '.cache', 'gantry-clients')
const stepLimitMs = 10 * 60_000

export type Language = 'Go' | 'Java' | 'Python' | 'Rust'
export type Command = readonly [string, ...string[]]

/** How to start the programs of a language: around its messaging client, and around its SDK of the management API. */
export interface Programs {
  readonly client: Command
  readonly manage: Command | null
}

export type Toolchain = ({ readonly missing: null } & Programs) | { readonly missing: string }

declare module 'vitest' {
  interface ProvidedContext {
    toolchains: Readonly<Record<Language, Toolchain>>
  }
}

interface Project {
  provide(key: 'toolchains', value: Readonly<Record<Language, Toolchain>>): void
}

export default async function setup({ provide }: Project): Promise<void> {
  mkdirSync(cache, { recursive: true })
  const [Go, Java, Python, Rust] = await Promise.all([built(go), built(java), built(python), built(rust)])
  provide('toolchains', { Go, Java, Python, Rust })
}

/** Why a language is skipped. */
class Missing extends Error {}

async function built(build: () => Promise<Programs>): Promise<Toolchain> {
  try {
    return { missing: null, ...(await build()) }
  } catch (error) {
    if (error instanceof Missing) return { missing: error.message }
    throw error
  }
}

async function go(): Promise<Programs> {
  const folder = fresh('go')
  const file = path.join(folder, 'client')
  if (!existsSync(file)) {
    const cwd = path.join(sources, 'go')
    await fetched('go', ['mod', 'download'], cwd)
    await run('go', ['build', '-o', file, '.'], cwd)
  }
  return { client: [file], manage: null }
}

async function java(): Promise<Programs> {
  const folder = fresh('java')
  const file = path.join(folder, 'classpath')
  if (!existsSync(file)) {
    const maven = ['-q', '-B', `-DbuildFolder=${folder}`]
    const cwd = path.join(sources, 'java')
    await fetched('mvn', [...maven, 'dependency:build-classpath', `-Dmdep.outputFile=${file}.new`], cwd)
    await run('mvn', [...maven, 'compile'], cwd)
    renameSync(`${file}.new`, file)
  }
  const classpath = `${path.join(folder, 'classes')}:${readFileSync(file, 'utf8').trim()}`
  const start = (main: string): Command => ['java', '-Xmx256m', '-XX:+UseSerialGC', '-cp', classpath, main]
  return { client: start('Client'), manage: start('Manage') }
}

async function python(): Promise<Programs> {
  const folder = fresh('python')
  const done = path.join(folder, 'done')
  const venv = path.join(folder, 'venv')
  const interpreter = path.join(venv, 'bin', 'python')
  if (!existsSync(done)) {
    await fetched('python3', ['-m', 'venv', '--clear', venv], folder)
    const wanted = path.join(sources, 'python', 'requirements.txt')
    await fetched(interpreter, ['-m', 'pip', 'install', '-q', '-r', wanted], folder)
    writeFileSync(done, '')
  }
  const start = (name: string): Command => [interpreter, '-u', path.join(sources, 'python', `${name}.py`)]
  return { client: start('client'), manage: start('manage') }
}

async function rust(): Promise<Programs> {
  const folder = fresh('rust')
  const file = path.join(folder, 'target', 'debug', 'gantry-test-client')
  if (!existsSync(file)) {
    // In the cache, where its lock file stays.
    cpSync(path.join(sources, 'rust'), folder, { recursive: true })
    await fetched('cargo', ['fetch', '-q'], folder)
    await run('cargo', ['build', '-q', '--target-dir', path.join(folder, 'target')], folder)
  }
  return { client: [file], manage: null }
}

/** A folder for what is built from the sources as they are; what was built from others goes. */
function fresh(name: string): string {
  const hash = createHash('sha256')
  for (const file of (readdirSync(path.join(sources, name), { recursive: true }) as string[]).sort())
    hash.update(`${file}\n`).update(contentOf(path.join(sources, name, file)))
  const folder = `${name}-${hash.digest('hex').slice(0, 16)}`
  for (const old of readdirSync(cache))
    if (old.startsWith(`${name}-`) && old !== folder) rmSync(path.join(cache, old), { recursive: true, force: true })
  mkdirSync(path.join(cache, folder), { recursive: true })
  return path.join(cache, folder)
}

function contentOf(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch {
    return Buffer.alloc(0)
  }
}

/** A step that needs the toolchain and its registry: without them the language is skipped. */
async function fetched(command: string, args: readonly string[], cwd: string): Promise<void> {
  try {
    await run(command, args, cwd)
  } catch (error) {
    const { code, stdout = '', stderr = '', message } = error as Record<string, string>
    if (code === 'ENOENT') throw new Missing(`${command} is not installed`)
    const [said] = `${stderr}\n${stdout}\n${message}`.split('\n').filter((line) => line.trim() !== '')
    throw new Missing(`${command} cannot get its packages: ${said?.trim()}`)
  }
}

const run = async (command: string, args: readonly string[], cwd: string): Promise<void> => {
  await promisify(execFile)(command, args, { cwd, timeout: stepLimitMs, maxBuffer: 64 * 2 ** 20 })
}
