/** Where a new message goes: its queue, by message group, priority or turn, and its offset there. */

import { assert } from '../../model/assert.ts'
import type { MessageId } from '../../model/ids.ts'
import type { MessageEvent, Origin } from './events.ts'
import { touch } from './lite/lite-topics.ts'
import { queueOfGroup } from './message-group.ts'
import { type BrokerState, LiteTopic, type Queue, type Topic } from './state.ts'

export interface Outgoing {
  readonly messageId: MessageId
  readonly tag: string | null
  readonly payload: Uint8Array
  readonly bodyBytes: number
  /** Messages of one group are in one queue, in the order in which they were sent. */
  readonly messageGroup?: string | null
  /** Larger is more urgent; at least 0. */
  readonly priority?: number | null
}

/** The queue that a client asks for is ignored (data-plane §1.5). */
export function decideSend(topic: Topic, messages: readonly Outgoing[], at: number): MessageEvent[] {
  let turn = topic.roundRobin
  const queueOf = (message: Outgoing) => queueFor(topic, message) ?? topic.queues[turn++ % topic.queues.length]!
  // Nearly all sends are of one message, and nothing must be remembered for it.
  if (messages.length === 1) {
    const queue = queueOf(messages[0]!)
    return [messageEvent(queue, queue.end, messages[0]!, null, at)]
  }
  const ends = new Map<Queue, number>()
  return messages.map((message) => {
    const queue = queueOf(message)
    const offset = ends.get(queue) ?? queue.end
    ends.set(queue, offset + 1)
    return messageEvent(queue, offset, message, null, at)
  })
}

/** By its message group, else by its priority; null: the next one in turn. */
function queueFor(topic: Topic, { messageGroup, priority }: Outgoing): Queue | null {
  const { queues } = topic
  if (messageGroup != null) return queues[queueOfGroup(messageGroup, queues.length)]!
  if (priority != null) return queues[Math.min(priority, queues.length - 1)]!
  return null
}

export function messageEvent(
  queue: Queue,
  offset: number,
  message: Outgoing,
  origin: Origin | null,
  at: number,
): MessageEvent {
  return {
    type: 'message',
    queueKey: queue.key,
    offset,
    storeTimeMs: at,
    tag: message.tag,
    messageId: message.messageId,
    bodyBytes: message.bodyBytes,
    origin,
    payload: message.payload,
  }
}

/** The queue is absent when its topic was removed after the message was written. */
export function applyMessage(state: BrokerState, event: MessageEvent): void {
  const queue = state.queues.get(event.queueKey)
  if (queue) {
    assert(event.offset === queue.end, 'messages of a queue follow one another')
    queue.end = event.offset + 1
    queue.topic.roundRobin = (queue.id + 1) % queue.topic.queues.length
    if (queue.topic instanceof LiteTopic) touch(queue.topic, event.storeTimeMs)
  }
  if (event.storeTimeMs > state.lastAt) state.lastAt = event.storeTimeMs
}
