/**
 * Receives of lite consumers that wait: a wait queue for each client, first come, first served, and the time at which
 * each receive ends with nothing.
 */
import type { Cancellation } from '../../../model/cancellation.ts'
import type { Delivery, ReceiveBudget, ReceiveRequest } from '../../broker.ts'
import { makeWaiter } from '../../core/consuming/waiters.ts'
import { limits } from '../../core/limits.ts'
import type { LiteClient } from '../../core/lite/lite-subscriptions.ts'
import { codes, type Refusal } from '../../core/refusal.ts'
import type { BrokerState, Waiter } from '../../core/state.ts'
import { DeadlineHeap } from '../../core/structures/deadline-heap.ts'
import { FifoList } from '../../core/structures/fifo-list.ts'
import type { HandOver } from '../consuming/hand-over.ts'
import { refuse } from '../refusals.ts'

/** A waiting receive with the client that asked. */
export interface LitePoll extends Waiter {
  readonly client: LiteClient
  readonly budget: ReceiveBudget | undefined
  readonly signal: Cancellation
  readonly onAbort: () => void
  readonly resolve: (deliveries: Delivery[]) => void
  readonly reject: (error: Error) => void
}

/** How a receive is answered. */
export type LiteAnswer = Pick<LitePoll, 'resolve' | 'reject'>

/** Receives ended with nothing in one firing of the alarm: each has an answer to write after it. */
const ENDED_AT_ONCE = 128

export class LitePolls {
  readonly #state: BrokerState
  readonly #handOver: Pick<HandOver, 'run'>
  readonly #queues = new Map<LiteClient, FifoList<Waiter>>()
  readonly #ends = new DeadlineHeap<LitePoll>()

  constructor(state: BrokerState, handOver: Pick<HandOver, 'run'>) {
    this.#state = state
    this.#handOver = handOver
  }

  /** When the first one ends. */
  get due(): number {
    return this.#ends.earliest
  }

  /** Null when the client may wait once more. */
  refuse(client: LiteClient): Refusal | null {
    const mine = this.#queues.get(client)?.size ?? 0
    const waiting = this.#ends.size + this.#state.waiting.size
    if (mine < limits.waitersPerSubscription && waiting < limits.waiters) return null
    return {
      code: codes.tooManyRequests,
      message: `polling full: ${mine} receives of this client wait already; receive with shorter polls`,
    }
  }

  enter(client: LiteClient, request: ReceiveRequest, signal: Cancellation, answer: LiteAnswer, at: number): LitePoll {
    const poll: LitePoll = Object.assign(makeWaiter(request), {
      client,
      budget: request.budget,
      signal,
      onAbort: () => {
        if (poll.linked) this.end(poll)
      },
      ...answer,
    })
    const queue = this.#queues.get(client) ?? new FifoList<Waiter>()
    this.#queues.set(client, queue)
    queue.push(poll)
    this.#ends.set(poll, at + Math.max(0, request.waitMs))
    signal.addEventListener('abort', poll.onAbort, { once: true })
    return poll
  }

  /** The client's receive that has waited longest. */
  first(client: LiteClient): LitePoll | null {
    return (this.#queues.get(client)?.first ?? null) as LitePoll | null
  }

  leaveQueue(poll: LitePoll): void {
    this.#queues.get(poll.client)?.remove(poll)
    this.#ends.remove(poll)
  }

  /** Ends receives whose time is up; those of a client for which something is being read a little later. */
  endOverdue(at: number, isLoading: (client: LiteClient) => boolean): void {
    for (let ended = 0; ended < ENDED_AT_ONCE; ended++) {
      const poll = this.#ends.pop(at)
      if (!poll) return
      if (isLoading(poll.client)) this.#ends.set(poll, at + limits.busyRetryMs)
      else this.end(poll)
    }
  }

  end(poll: LitePoll): void {
    this.leaveQueue(poll)
    this.answer(poll, [])
  }

  /** All that the client waits for: refused, or with nothing. */
  endAll(client: LiteClient, refusal: Refusal | null): void {
    for (let poll = this.first(client); poll; poll = this.first(client)) {
      this.leaveQueue(poll)
      this.#handOver.run(() => {
        if (refusal) this.fail(poll, refusal)
        else this.answer(poll, [])
      })
    }
  }

  forget(client: LiteClient): void {
    this.#queues.delete(client)
  }

  answer(poll: LitePoll, deliveries: Delivery[]): void {
    poll.signal.removeEventListener('abort', poll.onAbort)
    poll.resolve(deliveries)
  }

  fail(poll: LitePoll, refusal: Refusal): void {
    poll.signal.removeEventListener('abort', poll.onAbort)
    poll.reject(refuse(refusal))
  }
}
