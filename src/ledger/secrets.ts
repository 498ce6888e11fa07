/**
 * Secrets at rest: sealed with AES-256-GCM under the key file of the home (mode 0600).
 *
 * `context` names the row the secret belongs to and is authenticated with it, so that a sealed value
 * copied to another row does not open.
 */
export interface Secrets {
  seal(clear: string, context: string): string
  /** Throws when the value was made under another key, for another context, or was altered. */
  open(sealed: string, context: string): string
}
