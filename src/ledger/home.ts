/**
 * The home directory: made with mode 0700, and held by one server at a time.
 *
 * The lock is a chain of files `lock.1`, `lock.2`, … of which the highest counts. A starter reads
 * the highest; if its holder is gone it makes the next one, which only one can do, and then looks
 * again that nothing higher appeared meanwhile. The highest file is never removed, only superseded
 * or rewritten as released, so two starters that both find a dead holder cannot both win, and no
 * lock has to be removed by force. A lock ends with its process: kill -9 leaves nothing to clean up.
 *
 * Nothing in a home that is not ours is ever changed.
 */
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { hostname } from 'node:os'
import path from 'node:path'
import { describeSelf, isAlive, maxSocketPathBytes, type ProcessIdentity } from '../world/process-identity.ts'
import { HomeError } from './errors.ts'
import { createWhole, hasCode, reasonOf } from './files.ts'
import { lookAtHome } from './home-trust.ts'

export { HomeError } from './errors.ts'

export interface HeldHome {
  /** Without links in its path: what was looked at before it was locked. */
  readonly home: string
  /** Releases the home for another server; may be called twice. */
  release(): Promise<void>
}

export interface AcquireOptions {
  /** For tests of the race: runs once a free lock was seen and before it is taken. */
  readonly beforeTaking?: () => Promise<void>
}

/**
 * Makes the home if it is absent and locks it for this process.
 * Throws `HomeError` when another server holds it, when it cannot be made or written, or when it is not this user's
 * alone (home-trust.ts).
 */
export async function acquireHome(home: string, options: AcquireOptions = {}): Promise<HeldHome> {
  refuseHostile(home)
  await makeHome(home)
  // Again: somebody may have made it meanwhile. From here on the folder is used that is looked at here.
  const folder = refuseHostile(home)
  try {
    return await lockHome(folder, options)
  } catch (error) {
    if (error instanceof HomeError) throw error
    throw new HomeError(
      `The home ${home} cannot be written (${reasonOf(error)}). Make it writable, free space on its disk, or choose another with --home.`,
      { cause: error },
    )
  }
}

/** The server that holds the home now, or null; changes nothing. For `gantry doctor` and `gantry stop`. */
export async function homeHolder(home: string): Promise<ProcessIdentity | null> {
  if (!(await isFolder(home))) return null
  const highest = await highestLock(home)
  const record = highest === 0 ? null : await readLock(home, highest)
  return record !== null && (await isHeld(record, home)) ? record : null
}

/**
 * Answers the folder to use, whose path has no links. Throws `HomeError` for a home that is not this user's alone
 * (home-trust.ts). Nothing in it is read before.
 */
export function refuseHostile(home: string): string {
  const { folder, hostile } = lookAtHome(home)
  if (hostile !== null) throw new HomeError(hostile)
  return folder
}

async function makeHome(home: string): Promise<void> {
  try {
    await makeFolder(path.resolve(home))
  } catch (error) {
    if (hasCode(error, 'EEXIST', 'ENOTDIR')) {
      throw new HomeError(
        `The home ${home} cannot be a folder: a file is in its place. Move the file, or choose another home with --home.`,
        { cause: error },
      )
    }
    throw new HomeError(
      `The home ${home} cannot be made (${reasonOf(error)}). Choose a folder you may write with --home or GANTRY_HOME.`,
      { cause: error },
    )
  }
}

/** Not `mkdir` with `recursive`: that never ends where a file system answers ENOENT to any new folder, as /proc does. */
async function makeFolder(folder: string): Promise<void> {
  const missing: string[] = []
  let parent = folder
  while (!(await isFolder(parent))) {
    missing.push(parent)
    parent = path.dirname(parent)
  }
  for (const next of missing.reverse()) {
    await mkdir(next, { mode: 0o700 }).catch(async (error: unknown) => {
      // Another starter may have made it meanwhile.
      if (!hasCode(error, 'EEXIST') || !(await isFolder(next))) throw error
    })
  }
}

async function isFolder(name: string): Promise<boolean> {
  try {
    return (await stat(name)).isDirectory()
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR') && path.dirname(name) !== name) return false
    throw error
  }
}

// ---- the lock

interface LockRecord extends ProcessIdentity {
  /** Name of the socket in the home that answers while the holder lives, or null when none could be made. */
  readonly socket: string | null
  readonly released?: true
}

const MAX_TRIES = 100

async function lockHome(home: string, options: AcquireOptions): Promise<HeldHome> {
  const own = await describeSelf()
  for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
    const highest = await highestLock(home)
    await refuseIfHeld(home, highest)
    await options.beforeTaking?.()
    const number = highest + 1
    const socketName = `lock.${number}.${process.pid}.sock`
    const server = await listen(home, socketName)
    const record: LockRecord = { ...own, socket: server === null ? null : socketName }
    if ((await createLock(home, number, record)) && (await highestLock(home)) === number) {
      await removeOlder(home, number)
      return heldHome(home, number, record, server)
    }
    // Another starter took a higher number first: find out which. A file of ours, if made, is below it and has no effect.
    await stopListening(server)
  }
  throw new HomeError(`The home ${home} is being taken by too many starters at once; try again.`)
}

async function refuseIfHeld(home: string, number: number): Promise<void> {
  if (number === 0) return
  const record = await readLock(home, number)
  if (record === null || !(await isHeld(record, home))) return
  const where = record.host === hostname() ? '' : ` on ${record.host}`
  throw new HomeError(
    `Another Gantry server (process ${record.pid}${where}) uses the home ${home}. Stop it, or give this one another home with --home. (If no such server runs, remove ${path.join(home, `lock.${number}`)}.)`,
  )
}

function heldHome(home: string, number: number, record: LockRecord, server: Server | null): HeldHome {
  let released: Promise<void> | null = null
  const release = async (): Promise<void> => {
    await stopListening(server)
    const file = lockFile(home, number)
    try {
      await writeFile(`${file}.released`, JSON.stringify({ ...record, released: true }), { mode: 0o600 })
      await rename(`${file}.released`, file)
    } catch {
      // A full disk, or a home that was removed: the lock ends with this process instead.
      await rm(`${file}.released`, { force: true }).catch(() => {})
    }
  }
  return {
    home,
    release: () => {
      released ??= release()
      return released
    },
  }
}

function lockFile(home: string, number: number): string {
  return path.join(home, `lock.${number}`)
}

async function lockNumbers(home: string): Promise<number[]> {
  const names = await readdir(home)
  return names.flatMap((name) => {
    const match = /^lock\.([1-9]\d{0,14})$/.exec(name)
    return match === null ? [] : [Number(match[1])]
  })
}

async function highestLock(home: string): Promise<number> {
  return Math.max(0, ...(await lockNumbers(home)))
}

/** False when the number is taken. The file appears whole or not at all. */
async function createLock(home: string, number: number, record: LockRecord): Promise<boolean> {
  const workshop = await mkdtemp(path.join(home, 'lock.new-'))
  try {
    await createWhole(lockFile(home, number), Buffer.from(`${JSON.stringify(record)}\n`), workshop)
    return true
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false
    throw error
  } finally {
    await rm(workshop, { recursive: true, force: true })
  }
}

/** Null when the file is gone (it was superseded) or is not a lock of ours. */
async function readLock(home: string, number: number): Promise<LockRecord | null> {
  try {
    const record = JSON.parse(await readFile(lockFile(home, number), 'utf8')) as LockRecord
    return Number.isSafeInteger(record?.pid) && typeof record.host === 'string' ? record : null
  } catch (error) {
    if (hasCode(error, 'ENOENT') || error instanceof SyntaxError) return null
    throw error
  }
}

async function removeOlder(home: string, number: number): Promise<void> {
  for (const name of await readdir(home)) {
    const match = /^lock\.([1-9]\d{0,14})(\.\d+\.sock|\.released)?$/.exec(name)
    if (match !== null && Number(match[1]) < number) await rm(path.join(home, name), { force: true })
  }
}

// ---- is the holder alive?

async function isHeld(record: LockRecord, home: string): Promise<boolean> {
  if (record.released === true) return false
  return isAlive(record, await describeSelf(), record.socket === null ? null : path.join(home, record.socket))
}

// ---- the holder's socket

/** Null where sockets in folders do not work; the lock then rests on process facts alone. */
async function listen(home: string, name: string): Promise<Server | null> {
  const file = path.join(home, name)
  if (process.platform === 'win32' || Buffer.byteLength(file) > maxSocketPathBytes) return null
  // Left by a starter that was killed between here and its lock, under the process number we have now.
  await rm(file, { force: true })
  const server = createServer((socket) => socket.destroy())
  return new Promise((resolve) => {
    server.once('error', () => resolve(null))
    server.listen(file, () => {
      server.on('error', () => {})
      server.unref()
      resolve(server)
    })
  })
}

function stopListening(server: Server | null): Promise<void> {
  return new Promise((resolve) => {
    if (server === null) resolve()
    else server.close(() => resolve())
  })
}
