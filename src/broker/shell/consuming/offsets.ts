/**
 * Offsets by name: a group's subscription moved by the management API or by a client, and reading a queue from an
 * offset without a lease (data-plane §1.15, §4.9).
 *
 * A pull changes nothing in the state; one that waits is woken by what arrives in its queue. A reset
 * moves all queues of a topic, or the one of a lite topic, by one event: never some of them.
 */

import type { Cancellation } from '../../../model/cancellation.ts'
import type { ConsumerGroupId, TopicName } from '../../../model/ids.ts'
import type { OffsetReset } from '../../../model/instances.ts'
import type { TopicLag } from '../../../model/observations.ts'
import { BrokerRefusal } from '../../../model/refusals.ts'
import type { Cancel, Clock } from '../../../world/world.ts'
import type { Delivery, OffsetsRole, Pulled, PullRequest } from '../../broker.ts'
import {
  type Backlog,
  backlogOf,
  decideReset,
  latestOffsets,
  lowWater,
  offsetsAtTime,
} from '../../core/consuming/offsets.ts'
import type { BrokerEvent, MessageEvent } from '../../core/events.ts'
import { filterHashes, matches } from '../../core/filters/filter.ts'
import { limits } from '../../core/limits.ts'
import { decideLiteReset } from '../../core/lite/lite.ts'
import { codes, tooMuchUnread } from '../../core/refusal.ts'
import type { BrokerState, Group, Queue, Subscription, Topic } from '../../core/state.ts'
import { refuseLiteSubscriptions } from '../../core/subscription-limits.ts'
import { units } from '../../core/throttle.ts'
import type { SegmentLog } from '../../log/contract.ts'
import type { PersistentQueueIndex } from '../../log/queue-index.ts'
import { messageOf } from '../records.ts'
import { refuse, refused, topicNotFound } from '../refusals.ts'
import { Semaphore } from '../semaphore.ts'
import type { Throughput } from '../throughput.ts'
import type { TurnBudget } from '../turn-budget.ts'
import type { Subscriptions } from './subscriptions.ts'

/** What offsets may use of the shell around them. */
export interface OffsetsContext {
  readonly state: BrokerState
  readonly clock: Clock
  readonly index: PersistentQueueIndex
  readonly log: SegmentLog
  readonly turns: TurnBudget
  /** The broker's own time, which never goes back. */
  now(): number
  retentionMs(): number
  readonly subscriptions: Pick<Subscriptions, 'group' | 'of' | 'settled'>
  readonly throughput: Pick<Throughput, 'refuseReceive' | 'spendReceive'>
  /** Written and applied; throws a `BrokerRefusal` and then has changed nothing. */
  commit(events: readonly BrokerEvent[]): void
  durable(): Promise<void>
  /** Called when a subscription's offsets were moved: its handles and what was read ahead for it are invalid. */
  moved(subscription: Subscription): void
  /** Closed, or the log has failed. */
  stopped(): boolean
  refuseWhenFailed(): void
}

/** A pull that waits for its queue. */
type Wake = () => void

export class Offsets implements OffsetsRole {
  readonly #context: OffsetsContext
  readonly #waiting = new Map<Queue, Set<Wake>>()
  #waitingCount = 0
  /** A few reads at a time, as for receives. */
  readonly #reads = new Semaphore(8)
  #resetting: Promise<void> = Promise.resolve()

  constructor(context: OffsetsContext) {
    this.#context = context
  }

  /** One after another: a repetition that was slow to find its offsets must not undo what came after it. */
  reset(reset: OffsetReset): Promise<void> {
    const mine = this.#resetting.then(() => this.#reset(reset))
    this.#resetting = mine.catch(() => {})
    return mine.catch(refused)
  }

  async #reset(reset: OffsetReset): Promise<void> {
    const { state } = this.#context
    for (;;) {
      const topic = state.topics.get(reset.topicName)
      const group = state.groups.get(reset.consumerGroupId)
      if (!topic || !group) break
      if (topic.subscriptions.get(reset.consumerGroupId)?.resetIds.includes(reset.resetId)) break
      if (topic.liteTopics && group.settings.lite?.topicName !== reset.topicName) break
      const isThere = () =>
        state.topics.get(reset.topicName) === topic && state.groups.get(reset.consumerGroupId) === group
      await this.#moveLites(group, topic, reset.toMs, isThere)
      const nexts =
        reset.toMs === null ? latestOffsets(topic) : offsetsAtTime(topic, await this.#stored(topic, reset.toMs))
      // Made anew while the index was asked: then these offsets belong to another topic.
      if (!isThere()) continue
      this.#move(group, topic, reset.resetId, nexts)
      break
    }
    await this.#context.durable()
  }

  /**
   * In a LITE topic, the group's subscription of each lite topic, a portion at a time. The reset counts as carried out
   * with its last event; a crash before that moves all of them once more.
   */
  async #moveLites(group: Group, topic: Topic, toMs: number | null, isThere: () => boolean): Promise<void> {
    const { state, index, turns } = this.#context
    const lites = [...(topic.liteTopics?.byName.values() ?? [])]
    for (let from = 0; from < lites.length; from += limits.liteTopicsPerStep) {
      const places = new Map<number, number>()
      for (const { queues } of lites.slice(from, from + limits.liteTopicsPerStep)) {
        const [queue] = queues
        places.set(queue.key, toMs === null ? queue.end : await index.offsetAtTime(queue.key, toMs))
      }
      if (turns.isSpent) await turns.pause()
      if (!isThere()) return
      const { events, moved } = decideLiteReset(state, group, places)
      const refusal = refuseLiteSubscriptions(state, events.length - moved.length)
      if (refusal) throw refuse(refusal)
      if (events.length > 0) this.#context.commit(events)
      for (const subscription of moved) this.#context.moved(subscription)
    }
  }

  lag(consumerGroupId: ConsumerGroupId): Promise<TopicLag[]> {
    return this.#lagOfGroup(consumerGroupId).catch(refused)
  }

  async #lagOfGroup(consumerGroupId: ConsumerGroupId): Promise<TopicLag[]> {
    const { turns } = this.#context
    const group = this.#context.state.groups.get(consumerGroupId)
    // All counted before anything is read: one moment for all topics, except that of many lite topics each has its own.
    const backlogs: Backlog[] = []
    for (const subscription of group?.subscriptions.values() ?? []) {
      if (subscription.topic.parent !== null && turns.isSpent) await turns.pause()
      if (!subscription.removed) backlogs.push(backlogOf(subscription))
    }
    const lags: TopicLag[] = []
    for (const backlog of backlogs) {
      if (turns.isSpent) await turns.pause()
      lags.push(await this.#lagOf(backlog))
    }
    return lags
  }

  async #lagOf({ topic, readyCount, inflightCount, places }: Backlog): Promise<TopicLag> {
    let lastConsumeMs: number | null = null
    let readySinceMs: number | null = null
    for (const { queueKey, firstReady, last } of places) {
      const consumed = await this.#storeTimeOf(queueKey, last)
      if (consumed !== null) lastConsumeMs = Math.max(lastConsumeMs ?? consumed, consumed)
      const since = firstReady === null ? null : await this.#storeTimeOf(queueKey, firstReady)
      if (since !== null) readySinceMs = Math.min(readySinceMs ?? since, since)
    }
    const { settings, parent, liteTopic } = topic
    const ofLite = parent === null ? {} : { liteTopic }
    return { topicName: settings.topicName, ...ofLite, readyCount, inflightCount, lastConsumeMs, readySinceMs }
  }

  /** Null when retention took the message. */
  async #storeTimeOf(queueKey: number, offset: number): Promise<number | null> {
    if (offset < 0) return null
    const found = await this.#context.index.lookup(queueKey, offset, 1)
    return found.count > 0 && found.from === offset ? found.storeTimeMs(0) : null
  }

  committed(request: { group: ConsumerGroupId; topic: TopicName; queueId: number }): number | null {
    const { topic, queue } = this.#queue(request)
    const subscription = topic.subscriptions.get(request.group)
    return subscription ? lowWater(subscription.cursors[queue.id]!) : null
  }

  async update(request: { group: ConsumerGroupId; topic: TopicName; queueId: number; offset: number }): Promise<void> {
    const { topic, queue } = this.#queue(request)
    checkOffset(queue, request.offset, queue.end)
    this.#move(this.#context.subscriptions.group(request.group), topic, null, new Map([[queue.id, request.offset]]))
    await this.#context.durable()
  }

  async query(request: { topic: TopicName; queueId: number; at: 'beginning' | 'end' | number }): Promise<number> {
    const { queue } = this.#queue(request)
    if (request.at === 'beginning') return queue.begin
    if (request.at === 'end') return queue.visible
    const found = await this.#context.index.offsetAtTime(queue.key, request.at).catch(refused)
    return Math.min(Math.max(found, queue.begin), queue.visible)
  }

  async pull(request: PullRequest, signal: Cancellation): Promise<Pulled> {
    this.#context.refuseWhenFailed()
    return this.#pull(request, signal).catch(refused)
  }

  async #pull(request: PullRequest, signal: Cancellation): Promise<Pulled> {
    const { clock, subscriptions, throughput } = this.#context
    const { topic, queue } = this.#queue(request)
    const group = subscriptions.group(request.group)
    const refusal = throughput.refuseReceive({ group }, this.#context.now())
    if (refusal) throw refuse(refusal)
    checkOffset(queue, request.offset, queue.visible)
    await subscriptions.settled(group)
    const until = clock.monotonic() + Math.max(0, request.waitMs)
    let at = request.offset
    for (;;) {
      if (at < queue.visible) {
        const { messages, next } = await this.#reads
          .run(() => this.#read(queue, at, request))
          .catch((error: unknown) => {
            this.#checkKept(queue, at)
            throw error
          })
        if (messages.length === 0) this.#checkKept(queue, at)
        at = next
        if (messages.length > 0) {
          let cost = 0
          for (const { event } of messages) cost += units(event.bodyBytes)
          throughput.spendReceive({ group, topic }, cost, this.#context.now())
          return { deliveries: messages.map(({ offset, event }) => delivery(queue, offset, event)), nextOffset: at }
        }
      }
      if (signal.aborted || this.#context.stopped() || clock.monotonic() >= until)
        return { deliveries: [], nextOffset: at }
      if (this.#context.state.queues.get(queue.key) !== queue) throw refuse(topicNotFound(topic.settings.topicName))
      // There is more that may match: others first, then on.
      if (at < queue.visible) await new Promise<void>((resolve) => clock.after(0, resolve))
      else await this.#untilArrival(queue, until - clock.monotonic(), signal)
    }
  }

  /** Messages of these topics became visible, or the topics are gone. */
  arrived(topics: Iterable<Topic>): void {
    if (this.#waitingCount === 0) return
    for (const topic of topics)
      for (const queue of topic.queues) for (const wake of this.#waiting.get(queue) ?? []) wake()
  }

  close(): void {
    for (const wakes of this.#waiting.values()) for (const wake of wakes) wake()
  }

  #move(group: Group, topic: Topic, resetId: string | null, nexts: ReadonlyMap<number, number>): void {
    // One that begins with this: where it would begin otherwise counts for the queues that are not named.
    const subscription = this.#context.subscriptions.of(group, topic)
    const event = decideReset(subscription, resetId, nexts)
    if (!event) return
    this.#context.commit([event])
    this.#context.moved(subscription)
  }

  async #stored(topic: Topic, timeMs: number): Promise<ReadonlyMap<number, number>> {
    const found = new Map<number, number>()
    for (const queue of topic.queues) found.set(queue.id, await this.#context.index.offsetAtTime(queue.key, timeMs))
    return found
  }

  /** One portion: what matches in it, and the offset after the last message looked at. */
  async #read(
    queue: Queue,
    from: number,
    request: PullRequest,
  ): Promise<{ messages: Array<{ offset: number; event: MessageEvent }>; next: number }> {
    const { index, log, turns } = this.#context
    const max = Math.min(Math.max(request.max, 1), limits.messagesPerReceive)
    const count = Math.min(queue.visible - from, request.filter === null ? max : limits.scanStep)
    const found = await index.lookup(queue.key, from, count)
    const oldestMs = this.#context.now() - this.#context.retentionMs()
    const hashes = filterHashes(request.filter)
    const wanted: number[] = []
    for (let i = 0; i < found.count; i++)
      if ((!hashes || hashes.has(found.tagHash(i))) && found.storeTimeMs(i) >= oldestMs) wanted.push(i)
    const messages: Array<{ offset: number; event: MessageEvent }> = []
    let bytes = 0
    let done = 0
    for (let some: number = limits.messagesReadFirst; done < wanted.length; ) {
      if (request.budget?.full()) {
        if (messages.length === 0) throw new BrokerRefusal(tooMuchUnread.code, tooMuchUnread.message)
        return { messages, next: found.from + wanted[done - 1]! + 1 }
      }
      const portion = wanted.slice(done, done + some)
      for (const record of await log.readMany(portion.map((i) => found.position(i)))) {
        // An expression is asked of each, and may take milliseconds for one.
        if (turns.isSpent) await turns.pause()
        const offset = found.from + wanted[done++]!
        const event = messageOf(record)
        bytes += record.length
        if (matches(request.filter, event)) {
          messages.push({ offset, event })
          request.budget?.add(record.length)
        }
        if (messages.length >= max) return { messages, next: offset + 1 }
      }
      some = Math.floor((limits.bytesPerReceive - bytes) / (bytes / done))
      if (some <= 0) return { messages, next: found.from + wanted[done - 1]! + 1 }
    }
    return { messages, next: Math.min(Math.max(found.from + found.count, from), queue.visible) }
  }

  /** Resolves when something arrived in the queue, after `waitMs`, or when `signal` aborts. */
  #untilArrival(queue: Queue, waitMs: number, signal: Cancellation): Promise<void> {
    const waiting = this.#waiting.get(queue) ?? new Set<Wake>()
    if (this.#waitingCount >= limits.waiters || waiting.size >= limits.waitersPerSubscription)
      throw new BrokerRefusal(
        codes.tooManyRequests,
        `polling full: ${waiting.size} pulls already wait on this queue; pull with fewer clients or shorter polls`,
      )
    return new Promise((resolve) => {
      let cancel: Cancel = () => {}
      const wake = (): void => {
        if (!waiting.delete(wake)) return
        this.#waitingCount--
        if (waiting.size === 0) this.#waiting.delete(queue)
        cancel()
        signal.removeEventListener('abort', wake)
        resolve()
      }
      this.#waiting.set(queue, waiting.add(wake))
      this.#waitingCount++
      cancel = this.#context.clock.after(Math.max(0, waitMs), wake)
      signal.addEventListener('abort', wake, { once: true })
    })
  }

  /** Retention may take what is being looked at: then the offset is refused as if the request had come afterwards. */
  #checkKept(queue: Queue, at: number): void {
    if (this.#context.state.queues.get(queue.key) !== queue) throw refuse(topicNotFound(queue.topic.settings.topicName))
    checkOffset(queue, at, queue.visible, Math.max(queue.begin, this.#context.index.minimumOffset(queue.key)))
  }

  #queue(request: { topic: TopicName; queueId: number }): { topic: Topic; queue: Queue } {
    const topic = this.#context.state.topics.get(request.topic)
    if (!topic) throw refuse(topicNotFound(request.topic))
    const queue = topic.queues[request.queueId]
    if (!queue)
      throw new BrokerRefusal(
        codes.badRequest,
        `topic ${request.topic} has queues 0 to ${topic.queues.length - 1}; there is no queue ${request.queueId}`,
      )
    return { topic, queue }
  }
}

function checkOffset(queue: Queue, offset: number, end: number, begin = queue.begin): void {
  if (Number.isSafeInteger(offset) && offset >= begin && offset <= end) return
  throw new BrokerRefusal(
    codes.illegalOffset,
    `offset ${offset} is out of range: queue ${queue.id} holds ${begin} to ${end}, the end included`,
  )
}

function delivery(queue: Queue, offset: number, message: MessageEvent): Delivery {
  return {
    messageId: message.messageId,
    payload: message.payload,
    queueId: queue.id,
    offset,
    attempt: 1,
    handle: '',
    storeTimeMs: message.storeTimeMs,
    invisibleMs: 0,
    deadLetterOf: message.origin,
  }
}
