/** What is known of an access key, and who it stands for. */
import type { Principal } from './principal.ts'

export interface AccessKey {
  readonly accessKeyId: string
  /** In clear, for HMAC. Must never reach a log or a reply. */
  readonly secret: string
  /** PEM of the public key registered for ACS3-RSA-SHA256, or null. */
  readonly publicKeyPem: string | null
  readonly status: 'Active' | 'Inactive'
  /** Token that must come with a temporary key (`STS.…`); null for a permanent one. */
  readonly securityToken: string | null
  /** End of a temporary key, milliseconds since the epoch. */
  readonly expireTimeMs: number | null
  readonly principal: Principal
}

export interface KeyRing {
  /** Null when there is no such key. */
  find(accessKeyId: string): Promise<AccessKey | null>
}
