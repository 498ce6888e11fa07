/**
 * Encryption of log records at rest: AES-256-GCM, a fresh nonce for each record.
 *
 * Sealed: 12 bytes nonce, 16 bytes tag, ciphertext. The nonce is eight random bytes, drawn at each
 * opening and each 2^32 records, and a counter: a busy broker seals more records than random nonces
 * alone could bear. The key is the instance's own.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto'
import type { Random } from '../../world/world.ts'
import type { RecordCipher } from '../log/contract.ts'

const NONCE_BYTES = 12
const TAG_BYTES = 16

/** `key` has 32 bytes. */
export function recordCipher(key: Uint8Array, random: Random): RecordCipher {
  if (key.length !== 32) throw new RangeError(`A storage key has 32 bytes, this one has ${key.length}.`)
  let prefix = random.bytes(NONCE_BYTES - 4)
  let counter = 0
  const nextNonce = (): Buffer => {
    const nonce = Buffer.allocUnsafe(NONCE_BYTES)
    nonce.set(prefix)
    nonce.writeUInt32LE(counter, NONCE_BYTES - 4)
    counter = (counter + 1) >>> 0
    if (counter === 0) prefix = random.bytes(NONCE_BYTES - 4)
    return nonce
  }
  return {
    seal(plain) {
      const nonce = nextNonce()
      const cipher = createCipheriv('aes-256-gcm', key, nonce)
      const body = cipher.update(plain)
      cipher.final()
      return Buffer.concat([nonce, cipher.getAuthTag(), body])
    },
    open(sealed) {
      const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE_BYTES))
      decipher.setAuthTag(sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
      const plain = decipher.update(sealed.subarray(NONCE_BYTES + TAG_BYTES))
      decipher.final()
      return plain
    },
  }
}
