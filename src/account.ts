/**
 * The account this server stands for and its first AccessKey: random at the first start, kept in the
 * home (`account.json`, mode 0600) so that `gantry env` and the other commands can sign, and settable
 * with GANTRY_ACCOUNT_ID, GANTRY_ACCESS_KEY_ID and GANTRY_ACCESS_KEY_SECRET.
 */
import { chmodSync, closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import path from 'node:path'
import type { Settings } from './config.ts'
import { HomeError } from './ledger/errors.ts'
import type { Random } from './world/world.ts'

export interface Account {
  /** Digits, 16 when we make it. */
  readonly accountId: string
  readonly accessKeyId: string
  /** Must not reach a log. */
  readonly accessKeySecret: string
}

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

const accountFile = (home: string): string => path.join(home, 'account.json')

/** The account as it is kept; null before the first start. Throws `HomeError` on an unusable file. */
export function readAccount(home: string): Account | null {
  const file = accountFile(home)
  let source: string
  try {
    source = readFileSync(file, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return null
    throw new HomeError(
      `${file} cannot be read: ${(error as Error).message}. Make it readable for this user, or move it away.`,
      { cause: error },
    )
  }
  try {
    const { accountId, accessKeyId, accessKeySecret } = JSON.parse(source) as Record<string, unknown>
    if (typeof accountId === 'string' && typeof accessKeyId === 'string' && typeof accessKeySecret === 'string') {
      return { accountId, accessKeyId, accessKeySecret }
    }
  } catch {
    // Told below, in the same words as a file with missing members.
  }
  throw new HomeError(
    `${file} does not hold an account; restore it from a copy, or move it away to have a new account made.`,
  )
}

/** The kept account with what the settings change, made and kept when there is none. */
export function ensureAccount(settings: Settings, random: Random): Account {
  const kept = readAccount(settings.home)
  const account: Account = {
    accountId: settings.accountId ?? kept?.accountId ?? `1${digits(random, 15)}`,
    accessKeyId: settings.accessKeyId ?? kept?.accessKeyId ?? `LTAI5t${text(random, 18)}`,
    accessKeySecret: settings.accessKeySecret ?? kept?.accessKeySecret ?? text(random, 30),
  }
  if (JSON.stringify(kept) !== JSON.stringify(account)) writeAccount(settings.home, account)
  return account
}

function writeAccount(home: string, account: Account): void {
  const file = accountFile(home)
  try {
    replaceFile(file, `${JSON.stringify(account, null, 2)}\n`)
  } catch (error) {
    throw new HomeError(
      `${file} cannot be written: ${(error as Error).message}. Make the home writable and free space on its disk.`,
      { cause: error },
    )
  }
}

/** Written whole under another name first: a start that is killed in between leaves the old one. */
function replaceFile(file: string, content: string): void {
  const fresh = `${file}.new`
  const descriptor = openSync(fresh, 'w', 0o600)
  try {
    writeSync(descriptor, content)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
  chmodSync(fresh, 0o600)
  renameSync(fresh, file)
}

const text = (random: Random, length: number): string =>
  Array.from({ length }, () => letters[random.below(letters.length)]).join('')

const digits = (random: Random, length: number): string => Array.from({ length }, () => random.below(10)).join('')
