/**
 * The model that checks orderly groups. What must hold, in a few sentences:
 *
 * 1. Of one message group, a message comes only when every earlier one was acknowledged (or somebody
 *    asked to), lies among the dead letters by then, or comes in the same answer before it.
 * 2. What was acknowledged comes again only behind, in the same answer and queue, something that was not; what came so, and
 *    whose answer a crash swallowed or which was returned unsent, is to be acknowledged again.
 * 3. A message comes at most `maxAttempts` times as the first of its queue; each crash may forget one. The
 *    attempt a client is told never exceeds `maxAttempts` and never falls.
 * 4. What was promised and matches reaches the group or its dead letters; no message is in both.
 *
 * It knows nothing of leases, locks or logs, only of calls and their answers.
 */
import type { Delivery, TagFilter } from '../../src/broker/broker.ts'
import { check } from './world.ts'

export interface OrderedMessage {
  readonly id: string
  readonly incarnation: number
  readonly messageGroup: string
  readonly tag: string | null
  promised: boolean
  storeTimeMs: number
}

export interface OrderReader {
  readonly group: string
  readonly filter: TagFilter
  /** False for a group that is not orderly all the time: only 4 is asked of it. */
  readonly orderly: boolean
}

interface Story {
  /** The broker promised that it is done with, by an acknowledgement. */
  done: boolean
  /** Crashes there had been by then. */
  doneAfter: number
  /** A delivery after `done` was returned unsent: it is to be acknowledged again. */
  returned: boolean
  /** Its latest delivery came behind another message of its queue. */
  behind: boolean
  /** An acknowledgement or a move to the dead letters was asked for its latest delivery. */
  attempted: boolean
  /** Such calls without an answer: they may have had their effect. */
  unanswered: number
  handle: string
  attempt: number
  asFirst: number
  deliveries: number
  deadAt: number
}

export class OrderModel {
  readonly messages = new Map<string, OrderedMessage>()
  /** By message group, in the order in which they were sent. */
  readonly #lines = new Map<string, OrderedMessage[]>()
  readonly #stories = new Map<string, Story>()
  /** Deliveries that were right only if an earlier message had become a dead letter by then. */
  #owed: Array<{ readonly earlier: Story; readonly at: number; readonly sentence: string }> = []
  incarnation = 0
  crashes = 0
  deliveries = 0
  again = 0
  acknowledged = 0
  deadLetters = 0

  sending(message: OrderedMessage): void {
    this.messages.set(message.id, message)
    const name = `${message.incarnation} ${message.messageGroup}`
    const line = this.#lines.get(name)
    if (line) line.push(message)
    else this.#lines.set(name, [message])
  }

  /** What the broker had not written down yet is forgotten, and what followed from it was no fault. */
  crashed(): void {
    this.crashes++
    this.#owed = []
  }

  /** One answer to a receive, in its order. */
  delivered(reader: OrderReader, deliveries: readonly Delivery[], maxAttempts: number, at: number): void {
    const firsts = new Set<number>()
    const here = new Set<string>()
    for (const delivery of deliveries) {
      const name = `${delivery.messageId} for ${reader.group}`
      const message = this.messages.get(delivery.messageId)
      check(message !== undefined, `${name} was never sent`)
      check(matches(reader.filter, message.tag), `${name} does not match the filter`)
      const story = this.story(reader, delivery.messageId)
      check(story.deadAt === Infinity, `${name} came after it was found among the dead letters`)
      const repeated = story.handle === delivery.handle
      const first = !firsts.has(delivery.queueId)
      firsts.add(delivery.queueId)
      if (reader.orderly) {
        this.#judgeOrder(reader, message, here, at)
        const mayHaveComeUnheard = story.behind && this.crashes > story.doneAfter
        check(
          !(first && story.done && !repeated && !mayHaveComeUnheard && !story.returned),
          `${name} was acknowledged, and came again as the first of its queue`,
        )
        check(delivery.attempt <= maxAttempts, `${name} came as attempt ${delivery.attempt} of ${maxAttempts}`)
        check(
          this.crashes > 0 || repeated || delivery.attempt >= story.attempt,
          `${name} came as attempt ${delivery.attempt} after ${story.attempt}`,
        )
        if (first && !repeated) story.asFirst++
        check(
          story.asFirst <= maxAttempts + this.crashes,
          `${name} came ${story.asFirst} times as the first of its queue, with ${maxAttempts} attempts and ${this.crashes} crashes`,
        )
      }
      here.add(delivery.messageId)
      this.deliveries++
      if (repeated) continue
      if (story.deliveries++ > 0) this.again++
      story.done = false
      story.returned = false
      story.behind = !first
      story.attempted = false
      story.handle = delivery.handle
      story.attempt = delivery.attempt
    }
  }

  /** Sent to no client, and returned: these count as no deliveries. */
  returned(reader: OrderReader, deliveries: readonly Delivery[]): void {
    for (const { messageId } of deliveries) this.story(reader, messageId).returned = true
  }

  #judgeOrder(reader: OrderReader, message: OrderedMessage, here: ReadonlySet<string>, at: number): void {
    for (const earlier of this.#lines.get(`${message.incarnation} ${message.messageGroup}`)!) {
      if (earlier === message) return
      if (!earlier.promised || !matches(reader.filter, earlier.tag) || here.has(earlier.id)) continue
      const story = this.story(reader, earlier.id)
      if (story.done || story.attempted || story.deadAt <= at) continue
      const sentence = `${message.id} came to ${reader.group} while ${earlier.id} of the same message group was not done with`
      this.#owed.push({ earlier: story, at, sentence })
    }
  }

  acknowledging(reader: OrderReader, delivery: Delivery): void {
    const story = this.story(reader, delivery.messageId)
    story.unanswered++
    if (story.handle === delivery.handle) story.attempted = true
  }

  /** An acknowledgement was answered; `forwarded` for a call that says nothing of its effect. */
  answered(reader: OrderReader, delivery: Delivery, outcome: 'done' | 'expired' | 'forwarded'): void {
    const story = this.story(reader, delivery.messageId)
    story.unanswered--
    if (story.handle !== delivery.handle || outcome === 'forwarded') return
    if (outcome === 'expired') story.attempted = story.done
    else if (!story.done) {
      story.done = true
      story.doneAfter = this.crashes
      this.acknowledged++
    }
  }

  deadLettered(reader: OrderReader, delivery: Delivery, maxAttempts: number): void {
    const name = `dead letter ${delivery.messageId} of ${reader.group}`
    const story = this.story(reader, delivery.messageId)
    check(this.messages.has(delivery.messageId), `${name} was never sent`)
    check(story.deadAt === Infinity, `${name} is there twice`)
    check(
      story.attempted || story.unanswered > 0 || story.deliveries + this.crashes >= maxAttempts,
      `${name} came ${story.deliveries} times of ${maxAttempts}, and nobody asked for it`,
    )
    // Its first delivery of all may have been behind another message, and ended when it was the first itself.
    check(
      story.attempted || story.unanswered > 0 || !reader.orderly || story.asFirst + 1 + this.crashes >= maxAttempts,
      `${name} failed ${story.asFirst} times as the first of its queue, with ${maxAttempts} attempts`,
    )
    story.deadAt = delivery.storeTimeMs
    this.deadLetters++
  }

  judge(reader: OrderReader): void {
    for (const message of this.messages.values()) {
      if (!message.promised || message.incarnation !== this.incarnation) continue
      if (!matches(reader.filter, message.tag)) continue
      const story = this.story(reader, message.id)
      check(
        story.done || story.unanswered > 0 || story.deadAt < Infinity,
        `${message.id} was promised and never reached ${reader.group}; it came ${story.deliveries} times`,
      )
    }
  }

  /** When all dead letters are known. */
  settle(): void {
    for (const { earlier, at, sentence } of this.#owed) check(earlier.deadAt <= at, sentence)
  }

  story({ group }: OrderReader, messageId: string): Story {
    const key = `${group} ${messageId}`
    let story = this.#stories.get(key)
    if (!story) {
      story = {
        done: false,
        doneAfter: 0,
        returned: false,
        behind: false,
        attempted: false,
        unanswered: 0,
        handle: '',
        attempt: 0,
        asFirst: 0,
        deliveries: 0,
        deadAt: Infinity,
      }
      this.#stories.set(key, story)
    }
    return story
  }
}

function matches(filter: TagFilter, tag: string | null): boolean {
  return filter === null || (tag !== null && (filter as ReadonlySet<string>).has(tag))
}
