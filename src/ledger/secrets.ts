/**
 * Secrets at rest: sealed with AES-256-GCM under the key file of the home (mode 0600).
 *
 * `context` names the row the secret belongs to and is authenticated with it, so that a sealed value
 * copied to another row does not open. Without the key file nothing sealed can be read again, so it
 * is made once, never replaced, and belongs into every copy of the home.
 */
import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto'
import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises'
import path from 'node:path'
import type { Random } from '../world/world.ts'
import { HomeError } from './errors.ts'
import { createWhole, hasCode, reasonOf, syncDirectory } from './files.ts'

export interface Secrets {
  seal(clear: string, context: string): string
  /** Throws when the value was made under another key, for another context, or was altered. */
  open(sealed: string, context: string): string
  /** 32 bytes of their own for `purpose` (HKDF-SHA256 of the key file), the same at every start. */
  deriveKey(purpose: string): Uint8Array
}

export const SECRET_KEY_FILE = 'secret.key'
const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
/** Format 1: `v1.` and base64url of nonce, tag and ciphertext. */
const FORMAT = 'v1'
const MAX_CLEAR_CHARACTERS = 65_536

/** Reads `<home>/secret.key`, making it at first start. Refuses a file that others may read or that is not 32 bytes. */
export async function openSecrets(options: {
  readonly home: string
  readonly world: { readonly random: Random }
}): Promise<Secrets> {
  const file = path.join(options.home, SECRET_KEY_FILE)
  const key = (await readKey(file)) ?? (await makeKey(file, options.world.random))
  return secretsUnder(key, options.world.random)
}

/** Secrets under a given 32-byte key; for tests and tools that hold one. */
export function secretsUnder(key: Uint8Array, random: Random): Secrets {
  const deriveKey = (purpose: string): Uint8Array =>
    new Uint8Array(hkdfSync('sha256', key, '', `gantry ${purpose}`, KEY_BYTES))
  const sealingKey = deriveKey('ledger secrets v1')
  return {
    deriveKey,
    seal: (clear, context) => seal(clear, context),
    open: (sealed, context) => unseal(sealed, context),
  }

  function seal(clear: string, context: string): string {
    if (clear.length > MAX_CLEAR_CHARACTERS) {
      throw new RangeError(`A secret has at most ${MAX_CLEAR_CHARACTERS} characters.`)
    }
    const nonce = random.bytes(NONCE_BYTES)
    const cipher = createCipheriv('aes-256-gcm', sealingKey, nonce, { authTagLength: TAG_BYTES })
    cipher.setAAD(Buffer.from(context, 'utf8'))
    const body = Buffer.concat([cipher.update(clear, 'utf8'), cipher.final()])
    return `${FORMAT}.${Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64url')}`
  }

  function unseal(sealed: string, context: string): string {
    const [format, text, ...rest] = sealed.split('.')
    const bytes = Buffer.from(text ?? '', 'base64url')
    if (format !== FORMAT || rest.length > 0 || bytes.length < NONCE_BYTES + TAG_BYTES) throw notOpened(context)
    // One text per value: base64url decodes several spellings to the same bytes.
    if (bytes.toString('base64url') !== text) throw notOpened(context)
    const decipher = createDecipheriv('aes-256-gcm', sealingKey, bytes.subarray(0, NONCE_BYTES), {
      authTagLength: TAG_BYTES,
    })
    decipher.setAAD(Buffer.from(context, 'utf8'))
    decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
    try {
      const clear = [decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]
      return Buffer.concat(clear).toString('utf8')
    } catch (cause) {
      throw notOpened(context, cause)
    }
  }
}

function notOpened(context: string, cause?: unknown): Error {
  return new Error(
    `The secret of ${context} does not open: it was sealed under another key file, for another row, or was altered. Restore ${SECRET_KEY_FILE} that belongs to this ledger.`,
    { cause },
  )
}

async function readKey(file: string): Promise<Uint8Array | null> {
  let handle: FileHandle
  try {
    handle = await open(file, 'r')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null
    throw new HomeError(`The key file ${file} cannot be read (${reasonOf(error)}). Make it readable for this user.`, {
      cause: error,
    })
  }
  try {
    const facts = await handle.stat()
    if (!facts.isFile()) throw new HomeError(`${file} is not a file; move it away or use another home.`)
    // Windows has no such modes and reports 0666.
    if (process.platform !== 'win32' && (facts.mode & 0o077) !== 0) {
      const mode = (facts.mode & 0o777).toString(8).padStart(4, '0')
      throw new HomeError(
        `The key file ${file} has mode ${mode}: others may read it. Run \`chmod 600 ${file}\`, and consider its secrets known if others use this machine.`,
      )
    }
    const bytes = Buffer.alloc(KEY_BYTES + 1)
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0)
    if (facts.size !== KEY_BYTES || bytesRead !== KEY_BYTES) {
      throw new HomeError(
        `The key file ${file} has ${facts.size} bytes instead of ${KEY_BYTES}: it is damaged. Restore it from a copy of this home; without it the stored secrets cannot be opened.`,
      )
    }
    return new Uint8Array(bytes.subarray(0, KEY_BYTES))
  } finally {
    await handle.close()
  }
}

/** Written whole under another name first, so that a start that is killed in between leaves no short key. */
async function makeKey(file: string, random: Random): Promise<Uint8Array> {
  const key = random.bytes(KEY_BYTES)
  try {
    const workshop = await mkdtemp(`${file}.new-`)
    try {
      await createWhole(file, key, workshop)
    } finally {
      await rm(workshop, { recursive: true, force: true })
    }
    await syncDirectory(path.dirname(file))
  } catch (error) {
    const theirs = hasCode(error, 'EEXIST') ? await readKey(file) : null
    if (theirs !== null) return theirs
    throw new HomeError(`The key file ${file} cannot be made (${reasonOf(error)}). Check the folder and its disk.`, {
      cause: error,
    })
  }
  return key
}
