/**
 * Everything at once in one broker: normal, ordered, priority, timed and transactional topics, and one that is made
 * anew; concurrent and orderly groups and one that turns, with tags, expressions or neither; pulls; resets; members
 * that join, fall silent and leave; settings changed live; kills, power cuts, full, slow and failing disks, clocks
 * that jump, replies that are lost or asked for twice. `mixed-model.ts` judges.
 */
import type { Delivery, Filter } from '../../src/broker/broker.ts'
import { limits } from '../../src/broker/core/limits.ts'
import { segmentOf } from '../../src/broker/log/contract.ts'
import type { MessageType } from '../../src/model/instances.ts'
import { BrokerRefusal } from '../../src/model/refusals.ts'
import { type Message, MixedModel, passes, type Resolution, type Subscription } from './mixed-model.ts'
import { check, HOUR, MINUTE, SECOND, World } from './world.ts'

const topics: Readonly<Record<string, MessageType>> = {
  normal: 'NORMAL',
  line: 'FIFO',
  urgent: 'PRIORITY',
  later: 'DELAY',
  half: 'TRANSACTION',
  passing: 'NORMAL',
}
/** Two of them share a hash. */
const tags = [null, 'tag36vu', 'tagayea', 'c'] as const
const tagged: Filter = new Set(['tag36vu', 'c'])
/** Payloads are bytes by chance, so what an expression would say of them is a matter of the first. */
const even: Filter = { sql: 'even', passes: (payload) => payload[0]! % 2 === 0 }

const MOST_ATTEMPTS = 4

/** What the management plane wants of a group; changed while it is at work. */
interface Group {
  readonly name: string
  readonly order: Subscription['order']
  generation: number
  orderly: boolean
  maxRetryTimes: number
  intervalSeconds: number | null
  maxReceiveTps: number | null
  /** By the monotonic clock: since when it gets what there is; Infinity while `maxReceiveTps` holds. */
  freeSince: number
  /** Its dead letters go to a topic of the user's. */
  deadLettered: boolean
}

interface Member {
  readonly clientId: string
  alive: boolean
  readonly polls: Set<AbortController>
}

export interface MixedOutcome {
  readonly sent: number
  readonly deliveries: number
  readonly acknowledged: number
  readonly deadLetters: number
  readonly pulled: number
  readonly resets: number
  readonly turns: number
  readonly recalled: number
  readonly committed: number
  readonly answersLost: number
  /** Deliveries that were sent to no client. */
  readonly returned: number
  readonly crashes: number
  readonly replaysCompared: number
  readonly trimmed: number
}

/** Throws with a sentence when a promise was broken. */
export async function simulateMixed(seed: number, steps = 110): Promise<MixedOutcome> {
  const simulation = new Mixed(seed)
  await simulation.live(steps)
  return simulation.finish()
}

class Mixed extends World {
  readonly #model = new MixedModel(() => this.#keptSince())
  readonly #groups: readonly Group[]
  readonly #topics: readonly string[]
  readonly #subscriptions: readonly Subscription[]
  readonly #members = new Map<string, Member>()
  /** Handles that somebody still holds, from before crashes too. */
  readonly #old: Array<{ subscription: Subscription; delivery: Delivery }> = []
  /** Polls under way. */
  readonly #asking = new Map<Subscription, number>()
  /** Some of what was there may have been taken for a poll that was not there any more, and given back: it counts as coming again. */
  readonly #disturbed = new Set<Subscription>()
  /** The largest number of attempts while each poll is under way. */
  readonly #attempts = new Set<{ readonly group: Group; most: number }>()
  /** By the monotonic clock: since when nothing limits what is given, and no disk is slow or fails. */
  #freeSince = 0
  /** The latest the wall clock ever showed. */
  #latestWallMs = 0
  #keptSinceMs = 0
  #made = 0
  #generation = 1
  #finishing = false
  #readsFailed = false
  readonly #calm: boolean
  readonly #usualMs: number
  readonly #counts = { resets: 0, turns: 0, recalled: 0, committed: 0, answersLost: 0, returned: 0 }

  constructor(seed: number) {
    super(seed)
    this.#calm = this.oneIn(2)
    this.#usualMs = this.random.below(4)
    this.latency.maxMs = this.#usualMs
    this.settings = { ...this.settings, retentionMs: this.pick([2 * MINUTE, 10 * MINUTE, 1_000 * HOUR, 1_000 * HOUR]) }
    this.cipherKey = this.oneIn(6) ? this.random.bytes(32) : null
    this.segmentBytes = 4_096 << this.random.below(5)
    // The last one is the one that is reset.
    const last = this.pick(['never', 'never', 'always'] as const)
    const orders = ['never', 'always', 'turning', 'never', 'never', last] as const
    this.#groups = orders.map((order, i) => ({
      name: `group-${i}`,
      order,
      generation: 1,
      orderly: order === 'always',
      maxRetryTimes: this.random.below(MOST_ATTEMPTS),
      intervalSeconds: 3,
      maxReceiveTps: null,
      freeSince: 0,
      deadLettered: this.oneIn(3),
    }))
    // Some of the topics in each world, so that what is sent meets what is in the way.
    const chosen = Object.keys(topics).filter(() => this.oneIn(2))
    this.#topics = chosen.length > 0 ? chosen : ['line']
    this.#subscriptions = this.#topics.flatMap((topic) => this.#subscriptionsOf(topic))
  }

  /** An ordered topic always has an orderly group, and the others by chance. */
  #subscriptionsOf(topic: string): Subscription[] {
    const filters = [
      null,
      this.pick([null, null, tagged, even]),
      this.pick([null, tagged]),
      tagged,
      even,
      this.pick([null, tagged, even]),
    ]
    return this.#groups.flatMap(({ name: group, order }, i) => {
      const reads = order === 'always' && topic === 'line' ? true : this.oneIn(2)
      if (!reads) return []
      return [{ group, topic, filter: filters[i]!, order, stories: new Map(), epoch: 0, resets: 0, handles: new Set() }]
    })
  }

  async step(): Promise<void> {
    // What a process forgets shows only while it lives: in half of the worlds it lives longer.
    const way = this.random.below(this.#calm && !this.oneIn(5) ? 164 : 200)
    if (way < 60) this.#send()
    else if (way < 114) this.#consume()
    else if (way < 124) this.#pull()
    else if (way < 129) this.#recall()
    else if (way < 135) this.#decide()
    else if (way < 140) this.#acknowledgeOld()
    else if (way < 146) this.#leave()
    else if (way < 149) this.shell.consuming.clientAlive(this.#member().clientId)
    else if (way < 154) this.#reset()
    else if (way < 162) await this.#changeGroup()
    else if (way < 165) this.#squeeze()
    else if (way < 166) this.#changeRetention()
    else if (way < 170) await this.checkpoint(() => this.#busy())
    else if (way < 172) await this.#recreate()
    else if (way < 175) this.#ail()
    else if (way < 179) this.#jump()
    else if (way < 182) await this.#stopAndStart()
    else if (way < 188) await this.kill()
    else if (way < 193) await this.powerCut()
    else if (way < 195) await this.#fill()
    await this.pass(this.#pause())
  }

  async finish(): Promise<MixedOutcome> {
    this.#finishing = true
    // Not always: what a process has forgotten to do, the next one does.
    if (this.oneIn(2)) await this.#stopAndStart()
    else this.#recover()
    this.shell.administration.configure(this.settings)
    // What was overdrawn before is paid back first, however much there is now.
    await this.pass(5 * MINUTE)
    for (const group of this.#groups) Object.assign(group, { maxReceiveTps: null })
    this.#generation++
    await this.during(this.#ensureGroups())
    this.#decideAll()
    await this.#drain()
    for (const topic of this.#topics) await this.#audit(topic)
    for (const group of this.#groups) await this.#readDeadLetters(group)
    for (const subscription of this.#subscriptions) await this.#judge(subscription)
    this.#model.settle()
    const { inflight } = this.shell.inspection.usage()
    check(inflight === 0, `${inflight} deliveries are in flight with nobody`)
    await this.restart()
    await this.pass(Math.min(this.settings.retentionMs, limits.transactionLifeMs) + MINUTE)
    const { open } = this.shell.state.transactions
    check(open.size === 0, `${open.size} transactions are open after their end of life`)
    await this.during(this.shell.close())
    const { deliveries, acknowledged, deadLetters, pulled } = this.#model
    const { crashes, replaysCompared } = this
    const trimmed = segmentOf(this.shell.log.first) - 1
    return {
      sent: this.#made,
      deliveries,
      acknowledged,
      deadLetters,
      pulled,
      ...this.#counts,
      crashes,
      replaysCompared,
      trimmed,
    }
  }

  // Producers ------------------------------------------------------------------------------------

  #send(topic: string = this.pick(this.#topics)): void {
    const { life } = this
    const incarnation = this.#model.incarnation(topic)
    const wallMs = this.clock.now()
    const count = 1 + this.random.below(this.oneIn(5) ? 20 : 3)
    const sent = Array.from({ length: count }, () => this.#make(topic, wallMs))
    for (const { message } of sent) this.#model.sending(message)
    // Sometimes the answer is lost on the way.
    const heard = !this.oneIn(10)
    this.behind(async () => {
      const receipts = await this.shell.producing.send({
        topic,
        messages: sent.map(({ outgoing }) => outgoing),
        clientId: 'producer',
      })
      if (life !== this.life || !heard || incarnation !== this.#model.incarnation(topic)) return
      receipts.forEach(({ queueId, offset, storeTimeMs, recallHandle, transactionId }, i) => {
        const { message } = sent[i]!
        message.recallHandle = recallHandle ?? null
        message.transactionId = transactionId ?? null
        if (message.transactional) return
        const place = message.recallHandle === null ? { queueId, offset } : null
        this.#model.promise(message, place, storeTimeMs, this.clock.monotonic())
      })
    })
  }

  #make(topic: string, wallMs: number) {
    const type = topics[topic]!
    const deliverAtMs = type === 'DELAY' && !this.oneIn(8) ? wallMs + this.#delay() : null
    const waits = deliverAtMs !== null && deliverAtMs > wallMs
    const payload = this.random.bytes(1 + this.random.below(this.oneIn(30) ? 2_000 : 60))
    const message: Message = {
      id: `M${(this.#made++).toString().padStart(6, '0')}`,
      topic,
      incarnation: this.#model.incarnation(topic),
      tag: this.pick(tags),
      payload,
      messageGroup: type === 'FIFO' ? `order-${this.random.below(5)}` : null,
      dueMs: waits ? Math.ceil(deliverAtMs / SECOND) * SECOND : 0,
      transactional: type === 'TRANSACTION',
      promised: false,
      thereSince: Number.POSITIVE_INFINITY,
      storedAt: 0,
      place: null,
      queueId: -1,
      offset: -1,
      recallHandle: null,
      recall: 'no',
      transactionId: null,
      asked: new Set(),
      ended: null,
      delivered: false,
    }
    const outgoing = {
      messageId: message.id,
      tag: message.tag,
      payload,
      bodyBytes: payload.length,
      messageGroup: message.messageGroup,
      priority: type === 'PRIORITY' ? this.random.below(8) : null,
      deliverAtMs,
      transactional: message.transactional,
      recoveryMs: null,
    }
    return { message, outgoing }
  }

  /** Milliseconds from now: past, soon, or in some minutes. */
  #delay(): number {
    const way = this.random.below(10)
    if (way < 1) return -this.random.below(MINUTE)
    if (way < 7) return this.random.below(10 * SECOND)
    return this.random.below(3 * MINUTE)
  }

  #recall(): void {
    const message = this.#oneOf((each) => each.recallHandle !== null && each.recall !== 'done')
    if (!message) return
    const { life } = this
    if (message.recall === 'no') message.recall = 'asked'
    this.behind(async () => {
      try {
        await this.shell.producing.recall({ topic: message.topic, handle: message.recallHandle! })
      } catch (error) {
        // It was too late, and is late for ever: that no earlier recall had its effect is not known.
        if (error instanceof BrokerRefusal && error.code === 40401)
          check(this.#wall() >= message.dueMs, `recalling ${message.id} was refused as late before its time`)
        throw error
      }
      if (life !== this.life) return
      check(message.place === null, `${message.id} was delivered, and its recall confirmed`)
      if (message.recall !== 'done') this.#counts.recalled++
      message.recall = 'done'
    })
  }

  #decide(): void {
    const message = this.#oneOf((each) => each.transactionId !== null)
    if (!message) return
    this.#end(message, this.oneIn(3) ? 'rollback' : 'commit')
    // Sometimes the producer asks twice, or changes its mind.
    if (this.oneIn(3)) this.#end(message, this.oneIn(2) ? 'rollback' : 'commit')
  }

  /** Producers decide at the end what they left open; some of it is never decided. */
  #decideAll(): void {
    for (const message of this.#model.messages.values())
      if (message.transactionId !== null && !this.oneIn(4)) this.#end(message, 'commit')
  }

  #end(message: Message, resolution: Resolution): void {
    const { life } = this
    const { topic, transactionId } = message
    message.asked.add(resolution)
    const at = this.shell.now()
    this.behind(async () => {
      const answer = await this.shell.transactions.end({ topic, transactionId: transactionId!, resolution })
      if (life !== this.life || this.oneIn(10)) return
      if (answer.outcome === 'committed') {
        check(resolution === 'commit', `${message.id} was to end by ${resolution}, and was committed`)
        check(message.ended !== 'rollback', `${message.id} was rolled back and then committed`)
        if (message.ended === null) this.#counts.committed++
        message.ended = 'commit'
        this.#model.promise(message, null, at, this.clock.monotonic())
      } else if (answer.outcome === 'rolled-back') {
        check(resolution === 'rollback', `${message.id} was to end by ${resolution}, and was rolled back`)
        check(message.place === null, `${message.id} lies in its queue, and was rolled back`)
        check(message.ended !== 'commit', `${message.id} was committed and then rolled back`)
        message.ended = 'rollback'
      } else check(answer.outcome === 'ended', `${message.id} is ${answer.outcome} after ${resolution}`)
    })
  }

  #oneOf(such: (message: Message) => boolean): Message | null {
    const found = [...this.#model.messages.values()].filter(
      (message) => message.incarnation === this.#model.incarnation(message.topic) && such(message),
    )
    return found.length === 0 ? null : this.pick(found)
  }

  // Consumers ------------------------------------------------------------------------------------

  #consume(): void {
    if (this.#subscriptions.length === 0) return
    const subscription = this.pick(this.#subscriptions)
    const member = this.#member()
    const attemptId = subscription.order !== 'never' && this.oneIn(2) ? `attempt-${this.random.below(1e9)}` : null
    const request = {
      max: 1 + this.random.below(this.oneIn(3) ? 16 : 4),
      waitMs: this.random.below(this.oneIn(3) ? 100 : 20 * SECOND),
      invisibleMs: SECOND + this.random.below(30 * SECOND),
      autoRenew: this.oneIn(4),
      clientId: member.clientId,
      attemptId,
    }
    const poll = new AbortController()
    member.polls.add(poll)
    if (this.oneIn(8)) this.clock.after(this.oneIn(2) ? 0 : this.random.below(10 * SECOND), () => poll.abort())
    const { life } = this
    const began = this.clock.monotonic()
    this.behind(async () => {
      let deliveries = await this.#receive(subscription, request, poll.signal)
      if (deliveries.length > 0 && this.oneIn(8)) {
        // The answer was lost; whoever can asks again as the same attempt.
        this.#counts.answersLost++
        if (attemptId === null) return
        const { epoch } = subscription
        const lost = deliveries
        deliveries = await this.#receive(subscription, { ...request, waitMs: 0 }, poll.signal, { whole: true })
        const heard = life === this.life && !this.stopping && epoch === subscription.epoch && !poll.signal.aborted
        if (subscription.order === 'always' && heard && this.#calmSince(subscription) < began)
          check(named(lost) === named(deliveries), `${attemptId} got ${named(lost)} and then ${named(deliveries)}`)
      }
      member.polls.delete(poll)
      await this.#work(subscription, deliveries, member)
    })
  }

  /** Nothing when nobody was there to hear the answer. */
  async #receive(
    subscription: Subscription,
    request: Omit<Parameters<World['shell']['consuming']['receive']>[0], 'group' | 'topic' | 'filter'>,
    signal: AbortSignal,
    { whole = false } = {},
  ): Promise<Delivery[]> {
    const { life, jumps } = this
    const { epoch, group, topic, filter } = subscription
    const since = this.#model.incarnation(topic)
    const began = this.clock.monotonic()
    const alone = (this.#asking.get(subscription) ?? 0) === 0
    const attempts = this.#attemptsOf(subscription)
    this.#asking.set(subscription, (this.#asking.get(subscription) ?? 0) + 1)
    let deliveries: Delivery[]
    try {
      deliveries = await this.shell.consuming.receive({ group, topic, filter, ...request }, signal)
    } catch (error) {
      // What was taken for it could not be read, so it comes again.
      if (epoch === subscription.epoch) this.#model.failed(subscription)
      this.#disturbed.add(subscription)
      throw error
    } finally {
      this.#asking.set(subscription, this.#asking.get(subscription)! - 1)
      this.#attempts.delete(attempts)
    }
    if (life !== this.life) {
      this.#disturbed.add(subscription)
      return []
    }
    if (epoch !== subscription.epoch) {
      this.#model.lost(subscription, deliveries)
      return []
    }
    if (deliveries.length > 0 && !whole && !this.#finishing && this.oneIn(6)) {
      const { sent, unsent, delayMs } = this.sendPart(subscription, deliveries)
      this.#model.returned(subscription, unsent, this.shell.now() + delayMs)
      this.#disturbed.add(subscription)
      this.#counts.returned += unsent.length
      if (sent.length === 0) return []
      deliveries = sent
    }
    const now = this.clock.monotonic()
    const calm = this.#calmSince(subscription) < began && !this.stopping && subscription.order === 'never'
    if (deliveries.length === 0 && calm && !signal.aborted && now - began > this.#slackMs)
      this.#model.judgeEmpty(subscription, { now, at: this.shell.now(), slackMs: this.#slackMs })
    const fresh = deliveries.filter((delivery) => this.#model.isFresh(subscription, delivery))
    this.#model.delivered(subscription, deliveries, {
      since,
      wallMs: this.#wall(),
      at: this.shell.now(),
      maxAttempts: attempts.most,
      most: MOST_ATTEMPTS + this.crashes,
      untold: request.autoRenew || jumps !== this.jumps,
      readsFailed: this.#readsFailed,
      slackMs: this.#slackMs,
    })
    if (signal.aborted) this.#disturbed.add(subscription)
    if (topic === 'urgent' && calm && alone && fresh.length > 0 && !this.#disturbed.has(subscription))
      this.#model.judgeUrgency(subscription, fresh, began - this.#slackMs)
    return signal.aborted ? [] : deliveries
  }

  /** Since when nothing is in the way of what the group gets. */
  #calmSince(subscription: Subscription): number {
    return Math.max(this.#freeSince, this.#groupOf(subscription).freeSince)
  }

  /** What the broker may need for a message that is there: disk calls one after the other, a timer. */
  get #slackMs(): number {
    return 2 * SECOND + 100 * this.#usualMs
  }

  #attemptsOf(subscription: Subscription) {
    const group = this.#groupOf(subscription)
    const attempts = { group, most: group.maxRetryTimes + 1 }
    this.#attempts.add(attempts)
    return attempts
  }

  /** One after the other, as careful clients do; others leave, skip, fail or take too long anywhere. */
  async #work(subscription: Subscription, deliveries: readonly Delivery[], member: Member): Promise<void> {
    const { life } = this
    const { epoch } = subscription
    const careful = this.oneIn(2)
    // Some do not keep to the order they were given.
    const inTurn = this.oneIn(3) ? deliveries.toReversed() : deliveries
    for (const delivery of inTurn) {
      if (this.oneIn(4)) await this.wait(this.random.below(12 * SECOND))
      if (life !== this.life || epoch !== subscription.epoch || !member.alive || this.#finishing) return
      const way = this.random.below(careful ? 65 : 100)
      if (way < 60) await this.#acknowledge(subscription, delivery, member.clientId)
      else if (way < 80) await this.#change(subscription, delivery, member.clientId)
      else if (way < 84) await this.#forward(subscription, delivery, member.clientId)
      else if (way < 92) this.#old.push({ subscription, delivery })
      else if (way < 94) return
    }
  }

  async #acknowledge(subscription: Subscription, delivery: Delivery, clientId: string): Promise<void> {
    const { life } = this
    const { epoch, group, topic } = subscription
    const request = { group, topic, handles: [delivery.handle], clientId }
    // Dead letters that could not be read are left to whoever still holds them.
    const at = this.#freeSince < this.clock.monotonic() ? this.shell.now() : 0
    const ended = this.#model.acknowledging(subscription, delivery, at)
    const [answer] = await this.shell.consuming.ack(request)
    if (life !== this.life || epoch !== subscription.epoch) return
    this.#model.answered(subscription, delivery, { outcome: answer!.outcome, ended, at: this.shell.now() })
    if (answer!.outcome !== 'done' || !this.oneIn(8)) return
    const [again] = await this.shell.consuming.ack(request)
    if (life === this.life && epoch === subscription.epoch && subscription.order === 'never')
      check(
        again!.outcome === 'done',
        `${delivery.messageId} was acknowledged, and asked again it was ${again!.outcome}`,
      )
  }

  async #change(subscription: Subscription, delivery: Delivery, clientId: string): Promise<void> {
    const { life, jumps } = this
    const { epoch, group, topic } = subscription
    const { handle } = delivery
    const invisibleMs = this.random.below(30 * SECOND)
    this.#model.changed(subscription, delivery, Number.POSITIVE_INFINITY)
    const { outcome } = await this.shell.consuming.changeInvisible({ group, topic, handle, invisibleMs, clientId })
    if (life !== this.life || jumps !== this.jumps || epoch !== subscription.epoch || outcome !== 'done') return
    this.#model.changed(subscription, delivery, this.shell.now() + invisibleMs)
  }

  async #forward(subscription: Subscription, delivery: Delivery, clientId: string): Promise<void> {
    const { life } = this
    const { epoch, group, topic } = subscription
    const { messageId } = delivery
    const ended = this.#model.acknowledging(subscription, delivery, 0)
    const handle = this.oneIn(4) ? '' : delivery.handle
    await this.shell.consuming.forwardToDeadLetter({ group, topic, handle, messageId, clientId })
    if (life === this.life && epoch === subscription.epoch)
      this.#model.answered(subscription, delivery, { outcome: 'forwarded', ended, at: 0 })
  }

  /** A consumer that took far too long: its handle must not acknowledge somebody else's delivery. */
  #acknowledgeOld(): void {
    const [old] = this.#old.splice(this.random.below(this.#old.length), 1)
    if (old) this.behind(() => this.#acknowledge(old.subscription, old.delivery, 'client-late'))
  }

  #member(): Member {
    const clientId = `client-${this.random.below(5)}`
    const known = this.#members.get(clientId)
    if (known) return known
    const member: Member = { clientId, alive: true, polls: new Set() }
    this.#members.set(clientId, member)
    return member
  }

  /** Its polls end, and what it was doing is not done; the broker hears of it, or not. */
  #leave(): void {
    const member = this.#member()
    member.alive = false
    for (const poll of member.polls) poll.abort()
    this.#members.delete(member.clientId)
    if (this.oneIn(2)) this.shell.consuming.clientGone(member.clientId)
  }

  #pull(): void {
    const { life } = this
    const topic = this.pick(this.#topics)
    const filter = this.pick([null, tagged, even])
    const queueId = this.random.below(limits.queuesPerTopic)
    const since = this.#model.incarnation(topic)
    this.behind(async () => {
      const begin = await this.shell.offsets.query({ topic, queueId, at: 'beginning' })
      const end = await this.shell.offsets.query({ topic, queueId, at: 'end' })
      check(begin <= end, `queue ${queueId} of ${topic} begins at ${begin} and ends at ${end}`)
      const offset = this.oneIn(2) ? end : begin + this.random.below(end - begin + 1)
      const max = 1 + this.random.below(20)
      const began = this.clock.monotonic()
      const request = { group: 'puller', topic, queueId, offset, filter, max, waitMs: this.random.below(20 * SECOND) }
      const { deliveries, nextOffset } = await this.shell.offsets.pull(request, new AbortController().signal)
      if (life !== this.life) return
      this.#pulled(topic, since, { filter, offset, nextOffset }, deliveries)
      const now = this.clock.monotonic()
      if (deliveries.length === 0 && now - began > this.#slackMs && this.#freeSince < began && !this.stopping)
        this.#model.judgeEmptyPull({ topic, queueId, offset, filter }, now - this.#slackMs)
    })
  }

  #pulled(
    topic: string,
    since: number,
    { filter, offset, nextOffset }: { filter: Filter; offset: number; nextOffset: number },
    deliveries: readonly Delivery[],
  ): Message[] {
    let next = offset
    const messages = deliveries.map((delivery) => {
      const message = this.#model.lies(topic, since, delivery, this.#wall())
      check(delivery.offset >= next, `a pull from ${offset} gave offset ${delivery.offset} after ${next - 1}`)
      check(passes(filter, message), `${message.id} was pulled and does not match the filter`)
      next = delivery.offset + 1
      return message
    })
    check(nextOffset >= next, `a pull from ${offset} goes on at ${nextOffset}, and gave ${next - 1}`)
    this.#model.pulled += messages.length
    return messages
  }

  // Operators ------------------------------------------------------------------------------------

  #reset(): void {
    const moved = this.#subscriptions.filter(({ group }) => group === this.#groups.at(-1)!.name)
    if (moved.length === 0) return
    const subscription = this.pick(moved)
    this.#counts.resets++
    if (this.oneIn(3)) this.#moveQueue(subscription)
    else this.#moveAll(subscription)
  }

  #moveAll(subscription: Subscription): void {
    const { life } = this
    const { group, topic } = subscription
    const at = this.shell.now()
    const toMs = this.oneIn(3) ? null : at - this.random.below(this.oneIn(2) ? MINUTE : HOUR)
    const messages = this.#model.resetting(subscription)
    const { epoch } = subscription
    const lay = new Set(
      messages.filter(({ place, transactional, dueMs }) => place !== null || (!transactional && dueMs === 0)),
    )
    const resetId = `reset-${this.#counts.resets}`
    this.behind(async () => {
      await this.shell.offsets.reset({ resetId, consumerGroupId: group, topicName: topic, toMs })
      if (this.oneIn(3)) await this.shell.offsets.reset({ resetId, consumerGroupId: group, topicName: topic, toMs })
      if (life !== this.life || epoch !== subscription.epoch) return
      this.#model.wasReset(subscription, messages, (message) => {
        // What came into its queue later is above the end, and younger than any time asked for.
        if (!lay.has(message)) return toMs === null ? null : message.promised && message.storedAt >= toMs ? true : null
        if (!message.promised || message.storedAt === 0) return null
        return toMs !== null && message.storedAt >= toMs
      })
    })
  }

  /** As a pulling client does that stores where it goes on. */
  #moveQueue(subscription: Subscription): void {
    const { life } = this
    const { group, topic } = subscription
    const queueId = this.random.below(limits.queuesPerTopic)
    const queue = this.shell.state.topics.get(topic)?.queues[queueId]
    if (!queue) return
    const offset = queue.begin + this.random.below(queue.end - queue.begin + 1)
    const messages = this.#model.resetting(
      subscription,
      (message) => message.place === null || message.queueId === queueId,
    )
    const { epoch } = subscription
    const lay = new Set(messages.filter(({ place }) => place !== null))
    this.behind(async () => {
      await this.shell.offsets.update({ group, topic, queueId, offset })
      if (life !== this.life || epoch !== subscription.epoch) return
      this.#model.wasReset(subscription, messages, (message) => (lay.has(message) ? message.offset >= offset : null))
    })
  }

  async #changeGroup(): Promise<void> {
    const group = this.oneIn(3) ? this.#groups[2]! : this.pick(this.#groups)
    this.#generation++
    const way = this.random.below(8)
    if (way === 0) group.intervalSeconds = this.oneIn(2) ? null : 1 + this.random.below(20)
    else if (way === 1) group.deadLettered = !group.deadLettered
    else if (way === 2) group.maxReceiveTps = group.maxReceiveTps === null ? 1 + this.random.below(20) : null
    else if (way < 6 && group.order === 'turning') {
      group.orderly = !group.orderly
      this.#counts.turns++
    } else group.maxRetryTimes = this.random.below(MOST_ATTEMPTS)
    for (const attempts of this.#attempts)
      if (attempts.group === group) attempts.most = Math.max(attempts.most, group.maxRetryTimes + 1)
    await this.during(this.#ensureGroups()).catch(refusal)
    group.freeSince = group.maxReceiveTps === null ? this.clock.monotonic() : Number.POSITIVE_INFINITY
  }

  /** The instance is given less for some seconds. */
  #squeeze(): void {
    const { life, settings } = this
    this.shell.administration.configure({
      ...settings,
      sendTps: 5 + this.random.below(30),
      receiveTps: 5 + this.random.below(30),
    })
    this.#ailing(this.random.below(15 * SECOND), () => {
      if (life === this.life) this.shell.administration.configure(this.settings)
    })
  }

  #changeRetention(): void {
    this.#keptSince()
    const retentionMs = this.settings.retentionMs < HOUR ? 1_000 * HOUR : 10 * MINUTE
    this.settings = { ...this.settings, retentionMs }
    this.shell.administration.configure(this.settings)
  }

  /** What was stored before may be gone. */
  #keptSince(): number {
    this.#keptSinceMs = Math.max(this.#keptSinceMs, this.shell.now() - this.settings.retentionMs)
    return this.#keptSinceMs
  }

  async #recreate(): Promise<void> {
    if (!this.#topics.includes('passing')) return
    this.#model.topicRemoved('passing', this.#subscriptions)
    await this.during(this.shell.administration.removeTopic('passing')).catch(refusal)
    await this.#ensure('passing').catch(refusal)
  }

  // Bad luck -------------------------------------------------------------------------------------

  /** The disk is slow for a while, or some reads fail. */
  #ail(): void {
    if (this.oneIn(2)) this.latency.maxMs = 50 + this.random.below(300)
    else {
      this.#readsFailed = true
      this.disk.inject({ operation: 'read', error: 'EIO', times: 1 + this.random.below(3) })
    }
    this.#ailing(this.random.below(10 * SECOND), () => this.#recover())
  }

  /** Nothing is asked of how soon anything comes until it is over, and what waited was served. */
  #ailing(ms: number, over: () => void): void {
    const until = this.clock.monotonic() + ms
    this.#freeSince = Math.max(this.#freeSince, until + limits.unreadableRetryMs)
    this.clock.after(ms, over)
  }

  #recover(): void {
    this.latency.maxMs = this.#usualMs
    this.disk.healFaults()
  }

  async #stopAndStart(): Promise<void> {
    this.#recover()
    await this.restart()
  }

  async #fill(): Promise<void> {
    this.#freeSince = Number.POSITIVE_INFINITY
    await this.fillDisk(() => this.#busy(), 2 * SECOND)
  }

  #busy(): void {
    this.#send()
    this.#send()
    this.#decide()
    this.#consume()
  }

  /** What was to last for a while may be over at once. */
  #jump(): void {
    this.#wall()
    this.jumpClock()
    this.#freeSince = Math.max(this.#freeSince, this.clock.monotonic())
  }

  #wall(): number {
    this.#latestWallMs = Math.max(this.#latestWallMs, this.clock.now())
    return this.#latestWallMs
  }

  override async pass(ms: number): Promise<void> {
    await super.pass(ms)
    this.#keptSince()
  }

  #pause(): number {
    const way = this.random.below(20)
    if (way < 12) return this.random.below(20)
    if (way < 19) return this.random.below(4 * SECOND)
    return this.random.below(90 * SECOND)
  }

  protected override started(): void {
    this.#model.started(this.#subscriptions)
    this.#disturbed.clear()
    this.#freeSince = this.clock.monotonic()
  }

  protected override crashed(): void {
    this.#model.crashed(this.#subscriptions)
    this.#recover()
  }

  // What the management plane wants --------------------------------------------------------------

  protected async prepare(): Promise<void> {
    await this.during(this.#ensureGroups())
    await this.#ensure(...this.#topics, ...this.#groups.map(({ name }) => graveyardOf(name)))
  }

  /** From here on the groups read them: one that comes when something was lost already would begin at the end. */
  async #ensure(...names: readonly string[]): Promise<void> {
    const specs = names.map((topicName) => ({
      topicName,
      generation: 1,
      messageType: topics[topicName] ?? 'NORMAL',
      maxSendTps: null,
    }))
    await this.during(this.shell.administration.ensureTopics(specs))
    const subscriptions = this.#subscriptions.filter(({ topic }) => names.includes(topic))
    await this.during(Promise.all(subscriptions.map((subscription) => this.#subscribe(subscription))))
  }

  async #subscribe({ group, topic, filter }: Subscription): Promise<void> {
    const request = { group, topic, filter, max: 1, waitMs: 0, invisibleMs: SECOND, autoRenew: false }
    const aborted = new AbortController()
    const first = this.shell.consuming.receive({ ...request, clientId: 'first' }, aborted.signal)
    aborted.abort()
    await first.catch(refusal)
  }

  #ensureGroups(): Promise<void> {
    return this.shell.administration.ensureGroups(
      this.#groups.map(({ name, orderly, maxRetryTimes, intervalSeconds, maxReceiveTps, deadLettered }) => ({
        consumerGroupId: name,
        generation: this.#generation,
        orderly,
        maxRetryTimes,
        retry: intervalSeconds === null ? { kind: 'default' as const } : { kind: 'fixed' as const, intervalSeconds },
        deadLetterTopic: deadLettered ? graveyardOf(name) : null,
        maxReceiveTps,
      })),
    )
  }

  #groupOf(subscription: Subscription): Group {
    return this.#groups.find(({ name }) => name === subscription.group)!
  }

  // The end --------------------------------------------------------------------------------------

  async #drain(): Promise<void> {
    for (let quiet = 0, rounds = 0; quiet < 2; rounds++) {
      check(rounds < 200, 'the broker still delivers after two hundred rounds of acknowledging everything')
      const before = this.#model.deliveries
      for (const subscription of this.#subscriptions) while (await this.#finishOff(subscription));
      const still = this.#model.deliveries === before && this.shell.inspection.usage().timed === 0
      quiet = still ? quiet + 1 : 0
      await this.pass(2 * MINUTE)
    }
  }

  async #finishOff(subscription: Subscription): Promise<boolean> {
    const clientId = 'finisher'
    const request = { max: 32, waitMs: 100, invisibleMs: 30 * SECOND, autoRenew: false, clientId }
    const deliveries = await this.during(this.#receive(subscription, request, new AbortController().signal))
    if (deliveries.length === 0) return false
    const at = this.shell.now()
    const ended = deliveries.map((delivery) => this.#model.acknowledging(subscription, delivery, at))
    const handles = deliveries.map(({ handle }) => handle)
    const { group, topic } = subscription
    const answers = await this.during(this.shell.consuming.ack({ group, topic, handles, clientId }))
    deliveries.forEach((delivery, i) => {
      const { outcome } = answers[i]!
      check(outcome === 'done', `${delivery.messageId} could not be acknowledged at once`)
      this.#model.answered(subscription, delivery, { outcome, ended: ended[i]!, at: this.shell.now() })
    })
    return true
  }

  /** Reads the whole topic, as nobody's group. */
  async #audit(topic: string): Promise<void> {
    const found = new Set<string>()
    const since = this.#model.incarnation(topic)
    for (let queueId = 0; queueId < limits.queuesPerTopic; queueId++)
      await this.#readQueue(topic, queueId, (deliveries, between) => {
        for (const { id } of this.#pulled(topic, since, { filter: null, ...between }, deliveries)) found.add(id)
      })
    this.#model.judgeTopic(topic, found)
  }

  async #readDeadLetters({ name }: Group): Promise<void> {
    for (const [topic, queues] of [
      [`%DLQ%${name}`, limits.queuesPerDeadLetterTopic],
      [graveyardOf(name), limits.queuesPerTopic],
    ] as const)
      for (let queueId = 0; queueId < queues && this.shell.metadata.topic(topic); queueId++)
        await this.#readQueue(topic, queueId, (deliveries) => {
          for (const delivery of deliveries) {
            const from = delivery.deadLetterOf?.topicName
            const subscription = this.#subscriptions.find((each) => each.group === name && each.topic === from)
            check(subscription !== undefined, `${delivery.messageId} is a dead letter of ${name} and came from ${from}`)
            this.#model.deadLettered(subscription, delivery, this.#readsFailed || this.crashes > 0)
          }
        })
  }

  async #readQueue(
    topic: string,
    queueId: number,
    read: (deliveries: readonly Delivery[], between: { offset: number; nextOffset: number }) => void,
  ): Promise<void> {
    const signal = new AbortController().signal
    const end = await this.during(this.shell.offsets.query({ topic, queueId, at: 'end' }))
    let offset = await this.during(this.shell.offsets.query({ topic, queueId, at: 'beginning' }))
    while (offset < end) {
      const request = { group: 'auditor', topic, queueId, offset, filter: null, max: 1_000, waitMs: 0 }
      const { deliveries, nextOffset } = await this.during(this.shell.offsets.pull(request, signal))
      read(deliveries, { offset, nextOffset })
      check(nextOffset > offset, `a pull of queue ${queueId} of ${topic} from ${offset} to ${end} does not get on`)
      offset = nextOffset
    }
  }

  async #judge(subscription: Subscription): Promise<void> {
    this.#model.judge(subscription)
    const { group, topic } = subscription
    for (let queueId = 0; queueId < limits.queuesPerTopic; queueId++) {
      const end = await this.shell.offsets.query({ topic, queueId, at: 'end' })
      const committed = this.shell.offsets.committed({ group, topic, queueId })
      check(
        committed === end,
        `${group} stands at ${committed} of ${end} in queue ${queueId} of ${topic}, with nothing left`,
      )
    }
  }
}

/** By queue: the queues of one answer are in no order. */
function named(deliveries: readonly Delivery[]): string {
  return deliveries
    .toSorted((one, other) => one.queueId - other.queueId)
    .map(({ messageId, attempt, handle }) => `${messageId}:${attempt}:${handle}`)
    .join(' ')
}

const graveyardOf = (group: string): string => `graveyard-of-${group}`

function refusal(error: unknown): void {
  if (!(error instanceof BrokerRefusal)) throw error
}
