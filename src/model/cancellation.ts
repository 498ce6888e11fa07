/**
 * What tells work that nobody waits for it any more. An `AbortSignal` is one, and a client's call has a lighter one.
 */
export interface Cancellation {
  readonly aborted: boolean
  addEventListener(type: 'abort', listener: () => void, options?: { once?: boolean }): void
  removeEventListener(type: 'abort', listener: () => void): void
}
