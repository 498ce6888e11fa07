/**
 * The model: what was promised to which group, as simply as it can be recorded.
 *
 * It knows nothing of leases, logs or offsets. A promise is a resolved call: a send, an
 * acknowledgement. It is told of everything clients saw, says at once what must not have happened,
 * and at the end what must have.
 */
import type { Delivery, Filter } from '../../src/broker/broker.ts'
import { check, same } from './world.ts'

export { check }

export interface SentMessage {
  readonly id: string
  readonly topic: string
  /** Rises when the topic is removed: what was sent before is gone with it. */
  readonly incarnation: number
  readonly tag: string | null
  readonly payload: Uint8Array
  promised: boolean
  storeTimeMs: number
}

/** What one group has to do with one message. */
interface Story {
  /** When the broker promised that it is done with; Infinity before. */
  doneAt: number
  /** An acknowledgement by an old handle was answered "done": then it must have been done with. */
  suspect: string | null
  /** Somebody asked to acknowledge its latest delivery, or to forward it. */
  attempted: boolean
  /** Such calls that were never answered: they may have had their effect. */
  unanswered: number
  deliveries: number
  latest: { readonly attempt: number; readonly handle: string } | null
  /** The latest delivery is the broker's latest, too: no crash can have taken it back. */
  sure: boolean
}

export class Model {
  readonly messages = new Map<string, SentMessage>()
  readonly #stories = new Map<string, Story>()
  readonly #incarnations = new Map<string, number>()
  /** Kills and power cuts so far: each may take back the record of a delivery. */
  crashes = 0
  deliveries = 0
  deadLetters = 0
  acknowledged = 0

  crashed(): void {
    this.crashes++
    for (const story of this.#stories.values()) story.sure = false
  }

  incarnation(topic: string): number {
    return this.#incarnations.get(topic) ?? 0
  }

  topicRemoved(topic: string): void {
    this.#incarnations.set(topic, this.incarnation(topic) + 1)
  }

  sending(message: SentMessage): void {
    this.messages.set(message.id, message)
  }

  delivered(to: { group: string; topic: string; filter: Filter; maxAttempts: number }, delivery: Delivery): void {
    const name = `${delivery.messageId} for ${to.group}`
    const message = this.messages.get(delivery.messageId)
    check(message !== undefined, `${name} was never sent`)
    check(message.topic === to.topic, `${name} was sent to ${message.topic} and came from ${to.topic}`)
    check(same(message.payload, delivery.payload), `${name} came with another payload than it was sent with`)
    check(passes(to.filter, message), `${name} does not match the filter`)
    const story = this.story(to.group, delivery.messageId)
    check(story.doneAt === Infinity, `${name} was acknowledged, and came again as attempt ${delivery.attempt}`)
    story.deliveries++
    this.deliveries++
    check(delivery.attempt <= to.maxAttempts, `${name} came as attempt ${delivery.attempt} of ${to.maxAttempts}`)
    check(
      story.deliveries <= to.maxAttempts + this.crashes,
      `${name} came ${story.deliveries} times, with ${to.maxAttempts} attempts and ${this.crashes} crashes`,
    )
    check(
      this.crashes > 0 || delivery.attempt === (story.latest?.attempt ?? 0) + 1,
      `${name} came as attempt ${delivery.attempt} after ${story.latest?.attempt ?? 0}`,
    )
    check(story.latest?.handle !== delivery.handle, `${name} came twice with one handle`)
    story.latest = delivery
    story.sure = true
  }

  acknowledging(group: string, delivery: Delivery): void {
    const story = this.story(group, delivery.messageId)
    story.unanswered++
    if (story.latest?.handle === delivery.handle) story.attempted = true
  }

  forwarded(group: string, delivery: Delivery): void {
    this.story(group, delivery.messageId).unanswered--
  }

  /** The answer to an acknowledgement arrived, `at` by the broker's time. */
  answered(group: string, delivery: Delivery, outcome: 'done' | 'expired', at: number): void {
    const story = this.story(group, delivery.messageId)
    story.unanswered--
    if (outcome === 'expired') return
    // Done with already: as a dead letter, or by somebody else's acknowledgement.
    if (!story.attempted && story.sure)
      story.suspect ??= `${delivery.messageId} for ${group}: a handle of attempt ${delivery.attempt} acknowledged a later delivery`
    if (story.doneAt === Infinity) {
      this.acknowledged++
      story.doneAt = at
    }
  }

  deadLettered(group: string, delivery: Delivery): void {
    const name = `${delivery.messageId} of ${group}`
    const message = this.messages.get(delivery.messageId)
    check(message !== undefined, `dead letter ${name} was never sent`)
    check(same(message.payload, delivery.payload), `dead letter ${name} has another payload than it was sent with`)
    check(delivery.deadLetterOf?.topicName === message.topic, `dead letter ${name} does not say where it came from`)
    const story = this.story(group, delivery.messageId)
    check(story.doneAt >= delivery.storeTimeMs, `dead letter ${name} was acknowledged before it was one`)
    story.doneAt = Math.min(story.doneAt, delivery.storeTimeMs)
    story.suspect = null
    this.deadLetters++
  }

  /** Everything promised and still to be kept must have reached the group, or its dead letters. */
  judge(reader: { group: string; topic: string; filter: Filter }, keptSinceMs: number): void {
    for (const message of this.messages.values()) {
      if (!message.promised || message.topic !== reader.topic) continue
      if (message.incarnation !== this.incarnation(message.topic) || message.storeTimeMs < keptSinceMs) continue
      if (!passes(reader.filter, message)) continue
      const story = this.story(reader.group, message.id)
      check(story.suspect === null, story.suspect ?? '')
      check(
        story.doneAt < Infinity || story.unanswered > 0,
        `${message.id} (tag ${message.tag}) was promised to ${message.topic} and never reached ${reader.group}; it came ${story.deliveries} times`,
      )
    }
  }

  story(group: string, messageId: string): Story {
    const key = `${group} ${messageId}`
    let story = this.#stories.get(key)
    if (!story) {
      story = {
        doneAt: Infinity,
        suspect: null,
        attempted: false,
        unanswered: 0,
        deliveries: 0,
        latest: null,
        sure: true,
      }
      this.#stories.set(key, story)
    }
    return story
  }
}

function passes(filter: Filter, message: SentMessage): boolean {
  if (filter === null) return true
  return 'sql' in filter ? filter.passes(message.payload) : message.tag !== null && filter.has(message.tag)
}
