/**
 * Questions this broker puts to clients, each with a nonce, and the answers that come back.
 *
 * A question waits at most five seconds (as in Apache), and the number of open questions is bounded. Only the client that
 * was asked can answer.
 */
import type { ClientId } from '../../model/ids.ts'
import type { Cancel, Clock } from '../../world/world.ts'

const answerMs = 5_000
const maxOpen = 1_024
const maxOpenPerClient = 16

export interface Answer {
  /** A number of `Code` (model/codes.ts), or another of RocketMQ's; 0 when the client sent none. */
  readonly code: number
  readonly message: string
  /** What the client said of its threads, when that was the question. */
  readonly threadStackTrace: string | null
}

interface Question {
  readonly clientId: ClientId
  readonly cancelLimit: Cancel
  settle(answer: Answer | null): void
}

export class Questions {
  readonly #clock: Clock
  readonly #open = new Map<string, Question>()
  readonly #openOf = new Map<string, number>()
  #asked = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Whether another question may be put to this client. */
  mayAsk(clientId: ClientId): boolean {
    return this.#open.size < maxOpen && (this.#openOf.get(clientId) ?? 0) < maxOpenPerClient
  }

  /** `put` sends the question under the nonce it is given. Resolves with null when no answer came in time. */
  ask(clientId: ClientId, put: (nonce: string) => void): Promise<Answer | null> {
    // A stream of a former process cannot answer for this one: it ended with that process.
    const nonce = `${this.#clock.now().toString(36)}-${++this.#asked}`
    return new Promise((resolve) => {
      const settle = (answer: Answer | null): void => {
        this.#open.delete(nonce)
        const left = (this.#openOf.get(clientId) ?? 1) - 1
        if (left > 0) this.#openOf.set(clientId, left)
        else this.#openOf.delete(clientId)
        resolve(answer)
      }
      this.#open.set(nonce, { clientId, settle, cancelLimit: this.#clock.after(answerMs, () => settle(null)) })
      this.#openOf.set(clientId, (this.#openOf.get(clientId) ?? 0) + 1)
      put(nonce)
    })
  }

  /** What a client answered to the question with this nonce; without effect when it was not asked that. */
  answered(clientId: ClientId, nonce: string, answer: Answer): void {
    const question = this.#open.get(nonce)
    if (question === undefined || question.clientId !== clientId) return
    question.cancelLimit()
    question.settle(answer)
  }

  /** The client is gone, or the instance closes: its questions end without an answer. */
  give(up: { readonly on: string | 'everybody' }): void {
    for (const question of [...this.#open.values()]) {
      if (up.on !== 'everybody' && question.clientId !== up.on) continue
      question.cancelLimit()
      question.settle(null)
    }
  }
}
