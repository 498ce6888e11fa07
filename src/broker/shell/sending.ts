/**
 * The producing role: each kind of topic and message goes to its module, within the send budgets; answered when durable.
 */
import type { MessageId, TopicName } from '../../model/ids.ts'
import type { ProducingRole, SendReceipt, SendRequest } from '../broker.ts'
import type { BrokerEvent } from '../core/events.ts'
import { limits } from '../core/limits.ts'
import { codes } from '../core/refusal.ts'
import type { BrokerState } from '../core/state.ts'
import type { LiteShell } from './lite/lite.ts'
import { refuse, topicNotFound } from './refusals.ts'
import type { Throughput } from './throughput.ts'
import type { Timers } from './timers.ts'
import type { TransactionShell } from './transactions.ts'

export interface SendingContext {
  readonly state: BrokerState
  readonly throughput: Pick<Throughput, 'send'>
  readonly timers: Pick<Timers, 'decideSend' | 'sent' | 'recall'>
  readonly transactions: Pick<TransactionShell, 'send'>
  readonly lite: Pick<LiteShell, 'send'>
  /** Why no messages are taken for now; null when they are. */
  sendPause(): string | null
  now(): number
  commit(events: readonly BrokerEvent[]): void
  durable(): Promise<void>
  arm(): void
}

export class Sending implements ProducingRole {
  readonly #context: SendingContext

  constructor(context: SendingContext) {
    this.#context = context
  }

  recall(request: { topic: TopicName; handle: string }): Promise<{ messageId: MessageId }> {
    return this.#context.timers.recall(request)
  }

  async send(request: SendRequest): Promise<SendReceipt[]> {
    const { state, throughput, timers, transactions, lite } = this.#context
    const topic = state.topics.get(request.topic)
    if (!topic) throw refuse(topicNotFound(request.topic))
    const pause = this.#context.sendPause()
    if (pause !== null) throw refuse({ code: codes.tooManyRequests, message: pause })
    if (request.messages.length > limits.messagesPerSend)
      throw refuse({
        code: codes.badRequest,
        message: `a send carries at most ${limits.messagesPerSend} messages; this one has ${request.messages.length}`,
      })
    const at = this.#context.now()
    if (topic.settings.messageType === 'LITE') return lite.send(topic, request, at)
    if (request.messages.some(({ transactional }) => transactional)) {
      throughput.send(topic, request.messages, at)
      return transactions.send(topic, request, at)
    }
    const events = timers.decideSend(topic, request, at)
    throughput.send(topic, request.messages, at)
    this.#context.commit(events)
    const recallHandles = timers.sent(events)
    await this.#context.durable()
    // The sends may have filled segments without waking a receive.
    if (recallHandles !== null) this.#context.arm()
    return events.map((event, i) => ({
      messageId: event.messageId,
      queueId: event.queueKey - topic.firstQueueKey,
      offset: event.type === 'message' ? event.offset : 0,
      storeTimeMs: at,
      recallHandle: recallHandles?.[i] ?? null,
    }))
  }
}
