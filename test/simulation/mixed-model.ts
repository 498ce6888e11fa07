/**
 * The model that checks the mixed simulation. What must hold, in a few sentences:
 *
 * 1. A message lies in one place of its topic for ever, as it was sent, and only when it may: its time has come, it
 *    was not recalled, somebody asked to commit it. Two messages never lie in one place.
 * 2. What was promised, and what was ever delivered, lies there until retention or its topic's removal takes it.
 * 3. A group gets what passes its filter. What it acknowledged does not come again, except behind an earlier message of
 *    an orderly group, or after a reset to before it; what a reset passed over does not come.
 * 4. What was promised reaches every group that reads the topic, or its dead letters, within the attempts it has.
 * 5. To an orderly group the messages of one message group come in the order in which they were sent.
 * 6. What somebody was given comes to nobody else before its time is over; then it comes again. A poll does not end
 *    empty when there was something for long, and of a topic with priorities the most urgent comes first.
 *
 * It knows calls and their answers, and nothing of leases, locks, timers or logs.
 */
import type { Delivery, Filter } from '../../src/broker/broker.ts'
import { check, same } from './world.ts'

export type Resolution = 'commit' | 'rollback'

export interface Message {
  readonly id: string
  readonly topic: string
  /** Rises when the topic is removed: what was sent before is gone with it. */
  readonly incarnation: number
  readonly tag: string | null
  readonly payload: Uint8Array
  readonly messageGroup: string | null
  /** The whole second from which on it may come; 0 for one that does not wait. */
  readonly dueMs: number
  readonly transactional: boolean
  /** It must be in its queue by the end: the send was answered, or the commit. */
  promised: boolean
  /** By the monotonic clock, when it was there for everybody, in this life of the broker; Infinity when that is not known. */
  thereSince: number
  /** By the broker's time, the earliest at which it can have been put into its queue. */
  storedAt: number
  place: string | null
  queueId: number
  offset: number
  recallHandle: string | null
  recall: 'no' | 'asked' | 'done'
  transactionId: string | null
  readonly asked: Set<Resolution>
  ended: Resolution | null
  delivered: boolean
}

/** A group's subscription to a topic. */
export interface Subscription {
  readonly group: string
  readonly topic: string
  readonly filter: Filter
  readonly order: 'never' | 'always' | 'turning'
  readonly stories: Map<string, Story>
  /** Rises with a reset and when the topic is made anew: answers to earlier calls are of another time. */
  epoch: number
  resets: number
  /** Every handle that was given. */
  readonly handles: Set<string>
}

interface Story {
  /** `free`: a reset of which no answer was heard, so anything is right. */
  due: 'owed' | 'passed-over' | 'free'
  done: boolean
  doneAt: number
  /** An acknowledgement or a move to the dead letters was asked for its latest delivery. */
  attempted: boolean
  /** Such calls without an answer: they may have had their effect. */
  unanswered: number
  handle: string
  attempt: number
  deliveries: number
  /** By the broker's time: the latest delivery has certainly ended. */
  heldUntil: number
  /** By the broker's time: until when it is invisible because a later delivery was returned unsent; 0 when none was. */
  returnedUntil: number
  /** The latest delivery is the broker's latest that counts, too. */
  sure: boolean
  suspect: string | null
  deadAt: number
}

export class MixedModel {
  readonly messages = new Map<string, Message>()
  readonly #places = new Map<string, Message>()
  readonly #incarnations = new Map<string, number>()
  /** By topic, incarnation and message group, in the order in which they were sent. */
  readonly #lines = new Map<string, Message[]>()
  /** Deliveries that were right only if an earlier message lay among the dead letters by then. */
  #owed: Array<{ readonly message: Message; readonly earlier: Story; readonly at: number; readonly sentence: string }> =
    []
  /** What was stored before may be gone. */
  readonly #keptSinceMs: () => number
  deliveries = 0
  acknowledged = 0
  deadLetters = 0
  pulled = 0

  constructor(keptSinceMs: () => number) {
    this.#keptSinceMs = keptSinceMs
  }

  incarnation(topic: string): number {
    return this.#incarnations.get(topic) ?? 0
  }

  topicRemoved(topic: string, subscriptions: readonly Subscription[]): void {
    this.#incarnations.set(topic, this.incarnation(topic) + 1)
    for (const subscription of subscriptions) if (subscription.topic === topic) subscription.epoch++
  }

  /** What the broker had not written down yet is forgotten: the delivery before the latest may be the latest again. */
  crashed(subscriptions: readonly Subscription[]): void {
    this.#owed = []
    this.#unsure(subscriptions)
  }

  #unsure(subscriptions: readonly Subscription[]): void {
    for (const { stories } of subscriptions) for (const story of stories.values()) story.sure = false
  }

  /** With whom the former process left what is there is not known. */
  started(subscriptions: readonly Subscription[]): void {
    this.#unsure(subscriptions)
    for (const message of this.messages.values()) message.thereSince = Number.POSITIVE_INFINITY
  }

  sending(message: Message): void {
    this.messages.set(message.id, message)
    if (message.messageGroup === null) return
    const line = lineOf(message)
    const before = this.#lines.get(line)
    if (before) before.push(message)
    else this.#lines.set(line, [message])
  }

  /** It was seen in its queue, at `wallMs` or before. */
  lies(topic: string, since: number, delivery: Delivery, wallMs: number): Message {
    const { messageId: id, queueId, offset } = delivery
    const message = this.messages.get(id)
    check(message !== undefined, `${id} was never sent`)
    check(message.topic === topic, `${id} was sent to ${message.topic} and lies in ${topic}`)
    check(message.incarnation >= since, `${id} lies in a topic that was made anew`)
    check(same(message.payload, delivery.payload), `${id} lies there with another payload than it was sent with`)
    check(wallMs >= message.dueMs, `${id} for ${message.dueMs} lies there ${message.dueMs - wallMs} ms early`)
    check(message.recall !== 'done', `${id} lies there, and its recall was confirmed`)
    if (message.transactional) {
      check(message.asked.has('commit'), `${id} lies there, and nobody asked to commit it`)
      check(message.ended !== 'rollback', `${id} lies there, and was rolled back`)
    }
    this.#liesAt(message, queueId, offset)
    message.storedAt = Math.max(message.storedAt, delivery.storeTimeMs)
    return message
  }

  #liesAt(message: Message, queueId: number, offset: number): void {
    const place = `${queueId}:${offset}`
    check(message.place === null || message.place === place, `${message.id} lies at ${message.place} and at ${place}`)
    const key = `${message.topic} ${message.incarnation} ${place}`
    const there = this.#places.get(key)
    check(!there || there === message, `${message.id} lies at ${place}, where ${there?.id} lay`)
    this.#places.set(key, message)
    Object.assign(message, { place, queueId, offset })
  }

  /** The send, or the commit, was answered. */
  promise(message: Message, where: { queueId: number; offset: number } | null, storedAt: number, now: number): void {
    message.promised = true
    message.storedAt = Math.max(message.storedAt, storedAt, message.dueMs)
    if (message.dueMs === 0) message.thereSince = now
    if (where) this.#liesAt(message, where.queueId, where.offset)
  }

  /** Nothing is promised of what can have been too old. */
  kept(message: Message): boolean {
    return message.incarnation === this.incarnation(message.topic) && message.storedAt > this.#keptSinceMs()
  }

  // Groups ---------------------------------------------------------------------------------------

  /** One answer to a receive, in its order; `since` the topic's incarnation when it was asked for. */
  delivered(
    subscription: Subscription,
    deliveries: readonly Delivery[],
    when: {
      since: number
      wallMs: number
      at: number
      maxAttempts: number
      most: number
      /** It is renewed, or the clock was set between the broker's taking it and its answer: until when it is held is not known. */
      untold: boolean
      readsFailed: boolean
      slackMs: number
    },
  ): void {
    const firsts = new Set<number>()
    const here = new Set<string>()
    for (const delivery of deliveries) {
      const message = this.lies(subscription.topic, when.since, delivery, when.wallMs)
      const name = `${message.id} for ${subscription.group}`
      message.delivered = true
      check(passes(subscription.filter, message), `${name} does not match the filter`)
      const story = this.story(subscription, message.id)
      const repeated = story.handle === delivery.handle
      const first = !firsts.has(delivery.queueId)
      firsts.add(delivery.queueId)
      check(story.due !== 'passed-over', `${name} came, and a reset had passed over it`)
      if (story.due === 'owed') {
        check(
          !story.done ||
            subscription.order === 'turning' ||
            (subscription.order === 'always' && (!first || repeated || !story.sure || story.returnedUntil > 0)),
          `${name} was acknowledged, and came again as attempt ${delivery.attempt}`,
        )
        if (subscription.order === 'always') this.#judgeOrder(subscription, message, here, when.at)
      }
      check(delivery.attempt <= when.maxAttempts, `${name} came as attempt ${delivery.attempt} of ${when.maxAttempts}`)
      check(repeated || !subscription.handles.has(delivery.handle), `${name} came with a handle that was given before`)
      subscription.handles.add(delivery.handle)
      // In a life of the broker, and while everything can be read, whatever was given was seen.
      const seen =
        story.sure && !when.readsFailed && (story.attempt > 0 || message.thereSince < Number.POSITIVE_INFINITY)
      check(
        subscription.order !== 'never' || story.due !== 'owed' || !seen || delivery.attempt <= story.attempt + 1,
        `${name} came as attempt ${delivery.attempt} after ${story.attempt}`,
      )
      check(
        repeated || !isHeld(story) || when.at > story.heldUntil - when.slackMs,
        `${name} came again ${story.heldUntil - when.at} ms before its time was over`,
      )
      check(subscription.order !== 'never' || !repeated, `${name} came twice with one handle`)
      here.add(message.id)
      this.deliveries++
      story.heldUntil = when.untold ? Number.POSITIVE_INFINITY : when.at + delivery.invisibleMs
      if (repeated) continue
      story.deliveries++
      check(
        subscription.order !== 'never' || story.due !== 'owed' || story.deliveries <= when.most,
        `${name} came ${story.deliveries} times, and there were never more than ${when.most} attempts, each crash one`,
      )
      Object.assign(story, {
        done: false,
        attempted: false,
        handle: delivery.handle,
        attempt: delivery.attempt,
        returnedUntil: 0,
        sure: true,
      })
    }
  }

  /** Sent to no client, and returned: invisible `until` then, and no deliveries. */
  returned(subscription: Subscription, deliveries: readonly Delivery[], until: number): void {
    for (const { messageId } of deliveries) this.story(subscription, messageId).returnedUntil = until
  }

  /** Of an earlier time, and nobody treats them. */
  lost(subscription: Subscription, deliveries: readonly Delivery[]): void {
    for (const { messageId, handle } of deliveries) {
      const story = this.story(subscription, messageId)
      story.deliveries++
      story.sure = false
      subscription.handles.add(handle)
    }
  }

  /** Nobody knows what a receive that failed was to get: in an orderly group, things acknowledged before it too. */
  failed(subscription: Subscription): void {
    if (subscription.order !== 'always') return
    for (const story of subscription.stories.values()) {
      if (!story.done) continue
      story.unanswered++
      Object.assign(story, { done: false, attempted: true })
    }
  }

  #judgeOrder(subscription: Subscription, message: Message, here: ReadonlySet<string>, at: number): void {
    if (message.messageGroup === null) return
    for (const earlier of this.#lines.get(lineOf(message))!) {
      if (earlier === message) return
      if (!earlier.promised || !passes(subscription.filter, earlier) || here.has(earlier.id) || !this.kept(earlier))
        continue
      const story = this.story(subscription, earlier.id)
      if (story.due !== 'owed' || story.done || story.attempted || story.deadAt <= at) continue
      const sentence = `${message.id} came to ${subscription.group} while ${earlier.id} of the same message group was not done with`
      this.#owed.push({ message: earlier, earlier: story, at, sentence })
    }
  }

  /** A poll that was there for long ends with nothing. */
  judgeEmpty(subscription: Subscription, { now, at, slackMs }: { now: number; at: number; slackMs: number }): void {
    for (const message of this.messages.values()) {
      if (message.topic !== subscription.topic || !message.promised || !this.kept(message)) continue
      if (!passes(subscription.filter, message)) continue
      const story = this.story(subscription, message.id)
      if (at <= story.returnedUntil + slackMs) continue
      const name = `${message.id} for ${subscription.group}`
      if (message.thereSince <= now - slackMs)
        check(
          !this.#returned(subscription, message),
          `${name} was there for ${now - message.thereSince} ms, and a poll ended empty`,
        )
      // Delivered before, and its time is over: it comes again, or lies among the dead letters.
      if (!isHeld(story) || at <= story.heldUntil + slackMs) continue
      const sentence = `${name} was there again for ${at - story.heldUntil} ms, and a poll ended empty`
      this.#owed.push({ message, earlier: story, at, sentence })
    }
  }

  /** A pull that was there at the end of a queue ends with nothing. */
  judgeEmptyPull(
    { topic, queueId, offset, filter }: { topic: string; queueId: number; offset: number; filter: Filter },
    before: number,
  ): void {
    for (const message of this.messages.values()) {
      if (message.topic !== topic || message.queueId !== queueId || message.offset < offset) continue
      if (message.thereSince > before || !this.kept(message) || !passes(filter, message)) continue
      check(
        false,
        `${message.id} was at offset ${message.offset}, and a pull from ${offset} of queue ${queueId} ended empty`,
      )
    }
  }

  /** Nobody else asked meanwhile; what was there before the receive is more urgent only if it is among what came. */
  judgeUrgency(subscription: Subscription, fresh: readonly Delivery[], before: number): void {
    const least = Math.min(...fresh.map(({ queueId }) => queueId))
    for (const message of this.messages.values()) {
      if (message.topic !== subscription.topic || message.queueId <= least || message.thereSince > before) continue
      if (!this.#returned(subscription, message)) continue
      check(
        false,
        `${message.id} of queue ${message.queueId} was there, and ${subscription.group} got queue ${least} first`,
      )
    }
  }

  #returned(subscription: Subscription, message: Message): boolean {
    if (!message.promised || !this.kept(message) || !passes(subscription.filter, message)) return false
    const story = this.story(subscription, message.id)
    return story.deliveries === 0 && story.due === 'owed' && !story.done && story.unanswered === 0
  }

  isFresh(subscription: Subscription, delivery: Delivery): boolean {
    return this.story(subscription, delivery.messageId).deliveries === 0
  }

  changed(subscription: Subscription, delivery: Delivery, heldUntil: number): void {
    const story = this.story(subscription, delivery.messageId)
    if (story.handle === delivery.handle) story.heldUntil = heldUntil
  }

  /** Answers whether the handle is of a delivery that has ended. */
  acknowledging(subscription: Subscription, delivery: Delivery, at: number): boolean {
    const story = this.story(subscription, delivery.messageId)
    const stale = story.handle !== delivery.handle || at > story.heldUntil
    const ended = stale && story.sure && !story.attempted && !story.done && story.unanswered === 0
    story.unanswered++
    if (!stale) story.attempted = true
    return ended
  }

  answered(
    subscription: Subscription,
    delivery: Delivery,
    { outcome, ended, at }: { outcome: 'done' | 'expired' | 'forwarded'; ended: boolean; at: number },
  ): void {
    const story = this.story(subscription, delivery.messageId)
    story.unanswered--
    if (ended && outcome === 'done' && !story.attempted && story.due === 'owed')
      story.suspect ??= `${delivery.messageId} for ${subscription.group}: the handle of a delivery that had ended, attempt ${delivery.attempt}, was good`
    if (outcome === 'forwarded' || (story.handle !== delivery.handle && (story.sure || outcome === 'expired'))) return
    if (outcome === 'expired') story.attempted = story.done
    else if (!story.done) {
      story.done = true
      story.doneAt = at
      this.acknowledged++
    }
  }

  /** One that only a look at its bytes tells apart may have ended there too, when that failed or the process died before. */
  deadLettered(subscription: Subscription, delivery: Delivery, unread: boolean): void {
    const name = `dead letter ${delivery.messageId} of ${subscription.group}`
    const message = this.messages.get(delivery.messageId)
    check(message !== undefined, `${name} was never sent`)
    check(same(message.payload, delivery.payload), `${name} has another payload than it was sent with`)
    check(unread || passes(subscription.filter, message), `${name} does not match the filter`)
    const story = this.story(subscription, delivery.messageId)
    if (subscription.resets === 0) {
      check(story.deadAt === Number.POSITIVE_INFINITY, `${name} is there twice`)
      check(
        subscription.order === 'turning' || !story.done || story.doneAt >= delivery.storeTimeMs,
        `${name} was acknowledged before it was one`,
      )
    }
    story.deadAt = Math.min(story.deadAt, delivery.storeTimeMs)
    story.suspect = null
    this.deadLetters++
  }

  /** From here on, and until the answer is heard, anything may come again and nothing must. */
  resetting(subscription: Subscription, concerns: (message: Message) => boolean = () => true): Message[] {
    subscription.epoch++
    subscription.resets++
    const concerned: Message[] = []
    for (const message of this.messages.values()) {
      if (message.topic !== subscription.topic || !concerns(message)) continue
      concerned.push(message)
      this.story(subscription, message.id).due = 'free'
      subscription.stories.set(message.id, { ...untold(), due: 'free' })
    }
    return concerned
  }

  /** The reset was answered: what of these it leads to, what it passes over, and what is not known (null). */
  wasReset(
    subscription: Subscription,
    messages: readonly Message[],
    leadsTo: (message: Message) => boolean | null,
  ): void {
    for (const message of messages) {
      const leads = leadsTo(message)
      if (leads !== null) this.story(subscription, message.id).due = leads ? 'owed' : 'passed-over'
    }
  }

  // The end --------------------------------------------------------------------------------------

  /** A queue of the topic was read as a whole. */
  judgeTopic(topic: string, found: ReadonlySet<string>): void {
    for (const message of this.messages.values()) {
      if (message.topic !== topic || !this.kept(message)) continue
      const must = message.promised && message.recall === 'no' && message.ended !== 'rollback'
      if (must)
        check(
          found.has(message.id),
          `${message.id} was promised to ${topic} (at ${message.place}, ${message.storedAt}), and does not lie there`,
        )
      if (message.delivered) check(found.has(message.id), `${message.id} was delivered from ${topic}, and is gone`)
    }
  }

  judge(subscription: Subscription): void {
    for (const message of this.messages.values()) {
      if (message.topic !== subscription.topic || !message.promised || !this.kept(message)) continue
      if (message.recall !== 'no' || !passes(subscription.filter, message)) continue
      const story = this.story(subscription, message.id)
      check(story.suspect === null, story.suspect ?? '')
      // What an orderly group was given once more with a message before it stays acknowledged when the group turns,
      // or when the process dies and nobody knows of that delivery any more.
      const forgotten = subscription.order === 'turning' || !story.sure
      const done = story.done || (forgotten && story.doneAt < Number.POSITIVE_INFINITY)
      check(
        story.due !== 'owed' || done || story.unanswered > 0 || story.deadAt < Number.POSITIVE_INFINITY,
        `${message.id} was promised to ${message.topic} and never reached ${subscription.group}; it came ${story.deliveries} times`,
      )
    }
  }

  /** When all dead letters are known. */
  settle(): void {
    for (const { message, earlier, at, sentence } of this.#owed)
      check(earlier.deadAt <= at || earlier.due !== 'owed' || !this.kept(message), sentence)
  }

  story(subscription: Subscription, messageId: string): Story {
    const known = subscription.stories.get(messageId)
    if (known) return known
    const story = untold()
    subscription.stories.set(messageId, story)
    return story
  }
}

/** It was given to somebody who has done nothing with it yet, and until when is known. */
function isHeld(story: Story): boolean {
  const untreated = !story.done && !story.attempted && story.unanswered === 0
  return story.sure && story.due === 'owed' && story.deliveries > 0 && untreated && Number.isFinite(story.heldUntil)
}

function untold(): Story {
  return {
    due: 'owed',
    done: false,
    doneAt: Number.POSITIVE_INFINITY,
    attempted: false,
    unanswered: 0,
    handle: '',
    attempt: 0,
    deliveries: 0,
    heldUntil: Number.POSITIVE_INFINITY,
    returnedUntil: 0,
    sure: true,
    suspect: null,
    deadAt: Number.POSITIVE_INFINITY,
  }
}

function lineOf({ topic, incarnation, messageGroup }: Message): string {
  return `${topic} ${incarnation} ${messageGroup}`
}

export function passes(filter: Filter, message: Pick<Message, 'tag' | 'payload'>): boolean {
  if (filter === null) return true
  return 'sql' in filter ? filter.passes(message.payload) : message.tag !== null && filter.has(message.tag)
}
