/**
 * A PostgreSQL for tests: the server of GANTRY_TEST_DATABASE_URL, or a throw-away cluster made from
 * Debian's server binaries, on a unix socket in a temporary folder, without fsync. Where neither is
 * there, tests skip with the reason given here.
 *
 * Every test gets an empty schema of its own, so one server serves all of them. The cluster is ended
 * by the process id it was started with, and every wait has a limit.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { accessSync, chownSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import pg from 'pg'

const START_LIMIT_MS = 30_000
const STOP_LIMIT_MS = 10_000
const BINARIES = '/usr/lib/postgresql'

export interface TestPostgres {
  /** A URL whose connections see a fresh, empty schema. */
  emptyDatabase(): Promise<string>
  stop(): Promise<void>
}

/** Why there is no PostgreSQL for tests here, or null when there is. */
export function postgresMissing(): string | null {
  if (process.env['GANTRY_TEST_DATABASE_URL']) return null
  if (process.platform === 'win32') return 'GANTRY_TEST_DATABASE_URL is not set'
  if (binaries() === null) return `GANTRY_TEST_DATABASE_URL is not set and ${BINARIES}/*/bin/postgres is not installed`
  if (isRoot() && postgresUser() === null) return 'PostgreSQL does not run as root and there is no user "postgres"'
  return null
}

/** `fsync`: for measurements; tests of behaviour do without. */
export async function startPostgres(options: { readonly fsync?: boolean } = {}): Promise<TestPostgres> {
  const given = process.env['GANTRY_TEST_DATABASE_URL']
  if (given) return { emptyDatabase: () => emptySchema(given), stop: async () => {} }

  const directory = mkdtempSync(path.join(tmpdir(), 'gantry-postgres-'))
  const identity: Identity = isRoot() ? postgresUser()! : {}
  if (identity.uid !== undefined && identity.gid !== undefined) chownSync(directory, identity.uid, identity.gid)
  let server: ChildProcess | null = null
  try {
    server = await startCluster(directory, identity, options.fsync === true)
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    throw error
  }
  const running = server
  return {
    emptyDatabase: () => emptySchema(`postgres://gantry@/postgres?host=${encodeURIComponent(directory)}`),
    stop: async () => {
      await stopProcess(running)
      await rm(directory, { recursive: true, force: true })
    },
  }
}

interface Identity {
  readonly uid?: number
  readonly gid?: number
}

async function startCluster(directory: string, identity: Identity, fsync: boolean): Promise<ChildProcess> {
  const bin = binaries()!
  const data = path.join(directory, 'data')
  await promisify(execFile)(
    path.join(bin, 'initdb'),
    ['-D', data, '-U', 'gantry', '-A', 'trust', '-E', 'UTF8', '--no-locale', '--no-sync', '--no-instructions'],
    { ...identity, cwd: directory, timeout: START_LIMIT_MS },
  )
  const settings = [
    `fsync=${fsync ? 'on' : 'off'}`,
    'shared_buffers=16MB',
    'max_connections=60',
    'listen_addresses=',
    `unix_socket_directories=${directory}`,
  ]
  const server = spawn(path.join(bin, 'postgres'), ['-D', data, ...settings.flatMap((setting) => ['-c', setting])], {
    ...identity,
    cwd: directory,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  await ready(server)
  return server
}

/** Resolves when the server says that it takes connections. */
async function ready(server: ChildProcess): Promise<void> {
  const said: string[] = []
  const lines = createInterface({ input: server.stderr! })
  const signal = AbortSignal.timeout(START_LIMIT_MS)
  try {
    await new Promise<void>((resolve, reject) => {
      lines.on('line', (line) => {
        if (said.length < 50) said.push(line)
        if (line.includes('ready to accept connections')) resolve()
      })
      server.once('error', reject)
      server.once('exit', (code) => reject(new Error(`postgres ended with ${code}:\n${said.join('\n')}`)))
      signal.addEventListener('abort', () => reject(new Error(`postgres was not ready in time:\n${said.join('\n')}`)))
    })
  } catch (error) {
    await stopProcess(server)
    throw error
  }
}

/** SIGINT is PostgreSQL's fast shutdown; SIGKILL follows when it is not heeded. */
async function stopProcess(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null || server.pid === undefined) return
  const ended = once(server, 'exit')
  server.kill('SIGINT')
  const patience = AbortSignal.timeout(STOP_LIMIT_MS)
  patience.addEventListener('abort', () => server.kill('SIGKILL'))
  await ended
}

async function emptySchema(databaseUrl: string): Promise<string> {
  const schema = `gantry_test_${randomUUID().replaceAll('-', '')}`
  const client = new pg.Client({ connectionString: databaseUrl, connectionTimeoutMillis: 10_000 })
  await client.connect()
  try {
    await client.query(`create schema ${schema}`)
  } finally {
    await client.end()
  }
  const separator = databaseUrl.includes('?') ? '&' : '?'
  return `${databaseUrl}${separator}options=${encodeURIComponent(`-c search_path=${schema}`)}`
}

/** The newest server installed. */
function binaries(): string | null {
  try {
    const versions = readdirSync(BINARIES).filter((name) => /^\d+$/.test(name))
    const found = versions.sort((a, b) => Number(b) - Number(a)).map((version) => path.join(BINARIES, version, 'bin'))
    return found.find((bin) => exists(path.join(bin, 'postgres')) && exists(path.join(bin, 'initdb'))) ?? null
  } catch {
    return null
  }
}

function exists(file: string): boolean {
  try {
    accessSync(file)
    return true
  } catch {
    return false
  }
}

function isRoot(): boolean {
  return userInfo().uid === 0
}

function postgresUser(): Required<Identity> | null {
  try {
    // /etc/passwd is where Debian's package puts its user.
    const line = readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .find((entry) => entry.startsWith('postgres:'))
    const [, , uid, gid] = line?.split(':') ?? []
    return uid && gid ? { uid: Number(uid), gid: Number(gid) } : null
  } catch {
    return null
  }
}
