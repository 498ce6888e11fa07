/**
 * Records encrypted at rest: AES-256-GCM, a key of its own for each run, a counter as nonce.
 *
 * A run (one `createRecordCipher`) draws a random salt and derives its key from the instance's key
 * with HKDF; the nonce counts the records of the run. So no nonce is ever used twice with one key, not
 * even when a crash makes the log give the same sequence number twice, or when a machine goes on from
 * a snapshot. Random nonces under the instance's one key were rejected: their safe limit of 2^32
 * records is within a busy instance's reach.
 *
 * A sealed record is 12 bytes salt, 6 bytes counter, 16 bytes tag, and the cipher text: 34 bytes more.
 */
import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto'
import type { Random } from '../../world/world.ts'
import type { RecordCipher } from './contract.ts'

/** `key` has 32 bytes and is kept in memory; it must never reach a log. */
export function createRecordCipher(key: Uint8Array, random: Random): RecordCipher {
  if (key.length !== keyBytes) throw new RangeError(`A record key has ${keyBytes} bytes, not ${key.length}`)
  let run = startRun(key, random)
  const opened = new Map<string, Buffer>()

  return {
    overheadBytes,
    seal(plain) {
      if (run.count >= recordsPerRun) run = startRun(key, random)
      const sealed = Buffer.allocUnsafe(overheadBytes + plain.length)
      run.salt.copy(sealed)
      sealed.writeUIntBE(run.count++, saltBytes, counterBytes)
      const cipher = createCipheriv('aes-256-gcm', run.key, nonceOf(sealed))
      sealed.set(cipher.update(plain), overheadBytes)
      cipher.final()
      cipher.getAuthTag().copy(sealed, saltBytes + counterBytes)
      return sealed
    },
    open(sealed) {
      const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.length)
      if (bytes.length < overheadBytes) throw new Error('The record is too short to be encrypted')
      const decipher = createDecipheriv('aes-256-gcm', keyFor(key, bytes, opened), nonceOf(bytes), {
        authTagLength: tagBytes,
      })
      decipher.setAuthTag(bytes.subarray(saltBytes + counterBytes, overheadBytes))
      const plain = decipher.update(bytes.subarray(overheadBytes))
      decipher.final()
      return plain
    },
  }
}

const keyBytes = 32
const saltBytes = 12
const counterBytes = 6
const tagBytes = 16
const overheadBytes = saltBytes + counterBytes + tagBytes
const recordsPerRun = 2 ** 32
/** Keys of runs whose records were read lately; deriving one takes about 20 µs. */
const keptKeys = 64

interface Run {
  readonly salt: Buffer
  readonly key: Buffer
  count: number
}

function startRun(key: Uint8Array, random: Random): Run {
  const salt = Buffer.from(random.bytes(saltBytes))
  return { salt, key: derive(key, salt), count: 0 }
}

function keyFor(key: Uint8Array, sealed: Buffer, kept: Map<string, Buffer>): Buffer {
  const salt = sealed.subarray(0, saltBytes)
  const name = salt.toString('latin1')
  const known = kept.get(name)
  if (known) return known
  if (kept.size >= keptKeys) kept.delete(kept.keys().next().value!)
  const derived = derive(key, salt)
  kept.set(name, derived)
  return derived
}

const derive = (key: Uint8Array, salt: Uint8Array): Buffer =>
  Buffer.from(hkdfSync('sha256', key, salt, 'gantry segment log record', keyBytes))

/** Six zero bytes and the counter. */
function nonceOf(sealed: Buffer): Buffer {
  const nonce = Buffer.alloc(12)
  sealed.copy(nonce, 12 - counterBytes, saltBytes, saltBytes + counterBytes)
  return nonce
}
