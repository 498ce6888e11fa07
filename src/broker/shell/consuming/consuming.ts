/**
 * The calls of consumers: each notes that its client is alive, then goes to the module that answers it. Receives of a LITE
 * topic go to the lite module.
 */

import type { Cancellation } from '../../../model/cancellation.ts'
import type { ClientId, ConsumerGroupId } from '../../../model/ids.ts'
import type {
  AckRequest,
  ChangeInvisibleRequest,
  ConsumingRole,
  Delivery,
  ForwardRequest,
  GroupView,
  HandleOutcome,
  ReceiveRequest,
  ReturnRequest,
} from '../../broker.ts'
import { codes, tooMuchUnread } from '../../core/refusal.ts'
import type { BrokerState } from '../../core/state.ts'
import type { ClientLiveness } from '../client-liveness.ts'
import type { LiteShell } from '../lite/lite.ts'
import { refuse, topicNotFound } from '../refusals.ts'
import { groupView } from '../views.ts'
import type { Acknowledging } from './acknowledging.ts'
import type { Receiving } from './receiving.ts'
import type { Subscriptions } from './subscriptions.ts'

export interface ConsumingContext {
  readonly state: BrokerState
  readonly subscriptions: Pick<Subscriptions, 'group'>
  readonly liveness: ClientLiveness
  readonly receiving: Pick<Receiving, 'receive'>
  readonly acknowledging: Acknowledging
  readonly lite: Pick<LiteShell, 'receive' | 'clientGone'>
  closed(): boolean
  refuseWhenFailed(): void
  /** Why nothing is written for now; null when it is. */
  writePause(): string | null
}

export class Consuming implements ConsumingRole {
  readonly #context: ConsumingContext

  constructor(context: ConsumingContext) {
    this.#context = context
  }

  useGroup(consumerGroupId: ConsumerGroupId): GroupView {
    return groupView(this.#context.subscriptions.group(consumerGroupId))
  }

  async receive(request: ReceiveRequest, signal: Cancellation): Promise<Delivery[]> {
    const { state, liveness, lite, receiving } = this.#context
    const topic = state.topics.get(request.topic)
    if (!topic) throw refuse(topicNotFound(request.topic))
    if (this.#context.closed() || signal.aborted) return []
    this.#context.refuseWhenFailed()
    if (request.budget?.full()) throw refuse(tooMuchUnread)
    const pause = this.#context.writePause()
    if (pause !== null) throw refuse({ code: codes.tooManyRequests, message: pause })
    liveness.alive(request.clientId)
    const module = topic.settings.messageType === 'LITE' ? lite : receiving
    return module.receive(topic, request, signal)
  }

  ack(request: AckRequest): Promise<HandleOutcome[]> {
    this.clientAlive(request.clientId)
    return this.#context.acknowledging.ack(request)
  }

  changeInvisible(request: ChangeInvisibleRequest): Promise<HandleOutcome & { handle: string }> {
    this.clientAlive(request.clientId)
    return this.#context.acknowledging.changeInvisible(request)
  }

  /** Says nothing about a client: it may be gone. */
  returnDeliveries(request: ReturnRequest): Promise<boolean> {
    return this.#context.acknowledging.returnDeliveries(request)
  }

  forwardToDeadLetter(request: ForwardRequest): Promise<void> {
    this.clientAlive(request.clientId)
    return this.#context.acknowledging.forwardToDeadLetter(request)
  }

  clientAlive(clientId: ClientId): void {
    this.#context.liveness.alive(clientId)
  }

  clientGone(clientId: ClientId): void {
    this.#context.lite.clientGone(clientId)
    this.#context.liveness.gone(clientId)
  }
}
