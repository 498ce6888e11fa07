/**
 * Whether the key file of a home belongs to its database. The first open seals a word in the database;
 * a later open with another key is refused before it does harm, and `gantry doctor` can say so without
 * a start. Looking changes nothing: SQLite is asked over a copy, because reading a write-ahead log
 * writes beside it, and because a running server holds the file.
 */
import { copyFile, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { CompiledQuery } from 'kysely'
import type { Clock, Random } from '../world/world.ts'
import { HomeError } from './errors.ts'
import { hasCode } from './files.ts'
import { openSecrets, SECRET_KEY_FILE, type Secrets } from './secrets.ts'
import { LEDGER_FILE, openSqliteStore } from './sqlite.ts'
import type { Store } from './store.ts'

export interface KeyPlace {
  readonly home: string
  readonly databaseUrl: string | null
  readonly world: { readonly clock: Clock; readonly random: Random }
}

const KEY_CHECK = 'secret key check'
const NOT_OURS =
  'The key file secret.key of this home does not belong to this database, so its secrets cannot be opened. Put the key file of the home that made the database here, or use another database.'

export async function checkKeyFile(store: Store, secrets: Secrets): Promise<void> {
  if ((await sealedWord(store)) === undefined) {
    const insert =
      store.dialect === 'sqlite'
        ? 'insert into meta (key, value) values (?, ?)'
        : 'insert into meta (key, value) values ($1, $2) on conflict do nothing'
    const sealed = secrets.seal('gantry', KEY_CHECK)
    await store.write((connection) => connection.executeQuery(CompiledQuery.raw(insert, [KEY_CHECK, sealed])))
  }
  try {
    secrets.open((await sealedWord(store)) ?? '', KEY_CHECK)
  } catch (cause) {
    throw new HomeError(NOT_OURS, { cause })
  }
}

/** A key made anew for a database that is there already would open none of its secrets, and hide that the old one is gone. */
export async function keyIsLost({ home, databaseUrl }: Omit<KeyPlace, 'world'>): Promise<boolean> {
  if (databaseUrl !== null || (await sizeOf(path.join(home, SECRET_KEY_FILE))) !== null) return false
  return ((await sizeOf(path.join(home, LEDGER_FILE))) ?? 0) > 0
}

export function lostKey(home: string): HomeError {
  return new HomeError(
    `The key file ${path.join(home, SECRET_KEY_FILE)} is gone, and the secrets in ${LEDGER_FILE} open with no other. Restore it from a copy of this home, or move ${LEDGER_FILE} away to start empty.`,
  )
}

/** A larger database is not copied to be looked at. */
const MAX_COPIED_BYTES = 256 * 1024 * 1024

/** What is wrong with the key, as a sentence with what to do; null when nothing is, or when it cannot be told. */
export async function keyProblem(place: KeyPlace): Promise<string | null> {
  const { home } = place
  if (await keyIsLost(place)) return lostKey(home).message
  if ((await sizeOf(path.join(home, SECRET_KEY_FILE))) === null) return null
  const copy = await mkdtemp(path.join(tmpdir(), 'gantry-look-'))
  try {
    const secrets = await openSecrets(place)
    const store = await storeToLookAt(place, copy)
    if (store === null) return null
    try {
      const word = await sealedWord(store)
      if (word !== undefined) secrets.open(word, KEY_CHECK)
      return null
    } catch (error) {
      // Anything else is a database of another program or version.
      return /does not open/.test((error as Error).message) ? NOT_OURS : null
    } finally {
      await store.close()
    }
  } catch {
    // An unreadable key and an unusable database are reported by the code that opens them.
    return null
  } finally {
    await rm(copy, { recursive: true, force: true })
  }
}

async function storeToLookAt({ home, databaseUrl, world }: KeyPlace, folder: string): Promise<Store | null> {
  if (databaseUrl !== null) {
    const { openPostgresStore } = await import('./postgres.ts')
    return openPostgresStore({ databaseUrl, world, log: { warn() {} }, track: false })
  }
  const file = path.join(home, LEDGER_FILE)
  const sizes = [await sizeOf(file), await sizeOf(`${file}-wal`)]
  if (sizes[0] === null || (sizes[0] ?? 0) + (sizes[1] ?? 0) > MAX_COPIED_BYTES) return null
  const copy = path.join(folder, LEDGER_FILE)
  await copyFile(file, copy)
  if (sizes[1] !== null) await copyFile(`${file}-wal`, `${copy}-wal`)
  return openSqliteStore({ file: copy, clock: world.clock, track: false })
}

async function sealedWord(store: Store): Promise<string | undefined> {
  const select =
    store.dialect === 'sqlite' ? 'select value from meta where key = ?' : 'select value from meta where key = $1'
  return (await store.reads.executeQuery<{ value: string }>(CompiledQuery.raw(select, [KEY_CHECK]))).rows[0]?.value
}

/** Bytes of a file, or null when there is none. */
async function sizeOf(file: string): Promise<number | null> {
  try {
    return (await stat(file)).size
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null
    throw error
  }
}
