/**
 * Secrets of the instances in clear: the key that messages are encrypted with, and the accounts' passwords. They are
 * passed on to the broker process and must not appear in anything shown, such as a process's last output.
 */
import type { InstanceId } from '../../model/ids.ts'
import type { InstanceSpec } from '../../model/instances.ts'

/** 32 bytes that the instance's messages are encrypted with under the key id its owner named. */
export type StorageKey = (instanceId: InstanceId, keyId: string) => Uint8Array

export class InstanceSecrets {
  readonly #storageKey: StorageKey
  readonly #texts = new Map<InstanceId, readonly string[]>()

  constructor(storageKey: StorageKey) {
    this.#storageKey = storageKey
  }

  /** Remembers the secrets of the specification; answers the storage key in base64, or null without encryption. */
  remember({ instanceId, encryptionKeyId, accounts }: InstanceSpec): string | null {
    const storageKey =
      encryptionKeyId === null ? null : Buffer.from(this.#storageKey(instanceId, encryptionKeyId)).toString('base64')
    const texts = [...accounts.map(({ secret }) => secret), storageKey ?? '']
    this.#texts.set(
      instanceId,
      texts.filter((text) => text !== ''),
    )
    return storageKey
  }

  forget(instanceId: InstanceId): void {
    this.#texts.delete(instanceId)
  }

  /** The text with every secret of every instance replaced. */
  redact(text: string): string {
    let clean = text
    for (const secrets of this.#texts.values()) {
      for (const secret of secrets) clean = clean.replaceAll(secret, '[secret]')
    }
    return clean
  }
}
