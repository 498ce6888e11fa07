/**
 * `format.json` in the home: which formats what lies in it may have, so that a program which does not know one of them
 * refuses the home before it touches anything.
 *
 * Each stored format has a number that only rises, at the module that reads and writes it; `KnownFormats` is the list of them.
 * A program that knows more than the file says raises it, durably and before it writes anything in a newer format. A home without
 * the file was written before there was one, and is readable. Each format is checked once more where it is read: the ledger
 * may be on a database server, and the folder of an instance may come from elsewhere. docs/decisions/homes-stay-readable.md.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import path from 'node:path'
import { HomeError } from './errors.ts'
import { createWhole, hasCode, reasonOf, syncDirectory } from './files.ts'

/** By the name of the format: the newest number of it that this program reads and writes. */
export type KnownFormats = Readonly<Record<string, number>>

const fileName = 'format.json'

interface Recorded {
  /** Version of the program that raised a number last; for the sentence. */
  readonly program: string
  readonly formats: KnownFormats
}

/** Throws `HomeError` for a home that holds what this program cannot read. Changes nothing. */
export function refuseNewerHome(home: string, known: KnownFormats): void {
  const recorded = read(home)
  if (recorded === null) return
  const unknown = Object.entries(recorded.formats).find(([name, number]) => number > (known[name] ?? 0))
  if (unknown === undefined) return
  const [name, number] = unknown
  const limit = known[name] === undefined ? 'does not know it' : `knows formats up to ${known[name]}`
  throw new HomeError(
    `The home ${home} was written by a newer Gantry (${recorded.program}): its ${name} has format ${number}, and this program ${limit}. Nothing was changed. Start that program or a newer one, or use another home with --home.`,
  )
}

/** Raises what the home says to what this program writes. The caller holds the home's lock. */
export async function recordFormats(home: string, program: string, known: KnownFormats): Promise<void> {
  refuseNewerHome(home, known)
  const before = read(home)?.formats ?? {}
  if (Object.entries(known).every(([name, number]) => before[name] === number)) return
  try {
    const workshop = mkdtempSync(path.join(home, 'format.new-'))
    try {
      const fresh = path.join(workshop, fileName)
      await createWhole(fresh, Buffer.from(`${JSON.stringify({ program, formats: known }, null, 2)}\n`), workshop)
      await rename(fresh, path.join(home, fileName))
      await syncDirectory(home)
    } finally {
      rmSync(workshop, { recursive: true, force: true })
    }
  } catch (error) {
    throw new HomeError(
      `The home ${home} cannot be written (${reasonOf(error)}). Make it writable, or free space on its disk.`,
      { cause: error },
    )
  }
}

function read(home: string): Recorded | null {
  const file = path.join(home, fileName)
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return null
    throw new HomeError(`${file} cannot be read (${reasonOf(error)}). Make it readable for this user.`, {
      cause: error,
    })
  }
  const recorded = parsed(text)
  if (recorded !== null) return recorded
  throw new HomeError(
    `${file} does not say which formats the home has; restore it from a copy. When the home is known to be of this program or an older one, removing the file is fine.`,
  )
}

function parsed(text: string): Recorded | null {
  try {
    const { program, formats } = JSON.parse(text) as Record<string, unknown>
    if (typeof program !== 'string' || typeof formats !== 'object' || formats === null) return null
    const isWhole = Object.values(formats).every((number) => Number.isSafeInteger(number) && number >= 0)
    return isWhole ? { program, formats: formats as KnownFormats } : null
  } catch {
    return null
  }
}
