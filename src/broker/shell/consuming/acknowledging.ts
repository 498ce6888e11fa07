/**
 * Acknowledgements, changes of the invisible time, moves to the dead-letter topic that a consumer asks for, and deliveries
 * that a protocol returns because no client was sent them. Each is durable before it is answered, and idempotent.
 */
import type { ClientId } from '../../../model/ids.ts'
import type { AckRequest, ChangeInvisibleRequest, ForwardRequest, HandleOutcome, ReturnRequest } from '../../broker.ts'
import {
  decideAck,
  decideDeadline,
  decideReturned,
  findDelivery,
  isGone,
  isNamed,
  renewNoMore,
} from '../../core/consuming/deliveries.ts'
import { type DeliveryName, parseHandle } from '../../core/consuming/handle.ts'
import { wasRepeated } from '../../core/consuming/orderly.ts'
import type { BrokerEvent } from '../../core/events.ts'
import { limits } from '../../core/limits.ts'
import { codes } from '../../core/refusal.ts'
import type { BrokerState, Lease, Subscription } from '../../core/state.ts'
import type { SegmentLog } from '../../log/contract.ts'
import { messageOf } from '../records.ts'
import { asRefusal, refuse } from '../refusals.ts'
import type { DeadLetters } from './dead-letters.ts'
import { ScarceRenewals } from './scarce-renewals.ts'
import type { Subscriptions } from './subscriptions.ts'

export interface AcknowledgingContext {
  readonly state: BrokerState
  readonly subscriptions: Pick<Subscriptions, 'find'>
  readonly deadLetters: Pick<DeadLetters, 'moveToDeadLetter'>
  readonly log: Pick<SegmentLog, 'readMany'>
  /** Why no messages are taken for now; null when they are. */
  sendPause(): string | null
  now(): number
  commit(events: readonly BrokerEvent[]): void
  /** As `commit`; false when the log takes nothing now. */
  tryCommit(events: readonly BrokerEvent[]): boolean
  durable(): Promise<void>
  /** The subscription may have something new to deliver, or to move to the dead letters. */
  attend(subscription: Subscription): void
  /** Starts a new session: later deliveries have other handles. */
  nextSession(): void
  arm(): void
  stopped(): boolean
}

export class Acknowledging {
  readonly #context: AcknowledgingContext
  readonly #scarce = new ScarceRenewals()

  constructor(context: AcknowledgingContext) {
    this.#context = context
  }

  async ack(request: AckRequest): Promise<HandleOutcome[]> {
    if (request.handles.length > limits.handlesPerAck)
      throw refuse({
        code: codes.badRequest,
        message: `an acknowledgement names at most ${limits.handlesPerAck} deliveries; this one names ${request.handles.length}`,
      })
    const { state, subscriptions } = this.#context
    const at = this.#context.now()
    const live = new Map<Subscription, Lease[]>()
    const found = request.handles.map((handle, i) => {
      const name = parseHandle(handle, state.handleKey)
      const each = findDelivery(subscriptions.find(request, name, request.liteTopics?.[i]), name, request.clientId, at)
      if (each.kind !== 'live') return each
      const { subscription } = each.lease
      const leases = live.get(subscription)
      if (leases) leases.push(each.lease)
      else live.set(subscription, [each.lease])
      return each
    })
    if (live.size > 0) {
      const heldBack = [...live.keys()].filter(mayBeHeldBack)
      this.#context.commit(Array.from(live, ([subscription, leases]) => decideAck(subscription, leases)))
      for (const subscription of heldBack) this.#context.attend(subscription)
      await this.#context.durable()
    } else if (found.some((each) => each.kind === 'done')) await this.#context.durable()
    return found.map((each) => ({ outcome: each.kind === 'expired' ? 'expired' : 'done' }))
  }

  async changeInvisible(request: ChangeInvisibleRequest): Promise<HandleOutcome & { handle: string }> {
    const at = this.#context.now()
    const name = parseHandle(request.handle, this.#context.state.handleKey)
    const subscription = this.#context.subscriptions.find(request, name, request.liteTopic)
    const suspends = request.suspend === true && subscription !== undefined && subscription.topic.parent !== null
    if (suspends && isSuspended(subscription, name, request.clientId)) {
      await this.#context.durable()
      return { outcome: 'done', handle: request.handle }
    }
    const found = findDelivery(subscription, name, request.clientId, at)
    if (found.kind === 'live') {
      if (this.#context.sendPause() === null) this.#scarce.clear()
      else this.#scarce.spend(found.lease, at)
      const deadline = at + Math.max(0, request.invisibleMs)
      if (suspends) {
        this.#context.commit([decideReturned(subscription, [found.lease], deadline)])
        // The next delivery has the same attempt number and needs another handle.
        this.#context.nextSession()
      } else this.#context.commit(decideDeadline([found.lease], deadline))
      this.#context.arm()
      await this.#context.durable()
    } else if (found.kind === 'done') await this.#context.durable()
    return { outcome: found.kind === 'expired' ? 'expired' : 'done', handle: request.handle }
  }

  async returnDeliveries({ group, topic, handles, delayMs }: ReturnRequest): Promise<boolean> {
    const { state, subscriptions } = this.#context
    if (this.#context.stopped()) return false
    const unsent = new Map<Subscription, Set<Lease>>()
    const repeated = new Set<Lease>()
    for (const handle of handles) {
      const name = parseHandle(handle, state.handleKey)
      const lease = leaseOf(subscriptions.find({ group, topic }, name), name)
      if (lease === null) continue
      if (wasRepeated(lease)) {
        if (lease.phase === 'leased') repeated.add(lease)
        continue
      }
      const leases = unsent.get(lease.subscription) ?? new Set()
      unsent.set(lease.subscription, leases.add(lease))
    }
    const deadline = this.#context.now() + Math.max(0, delayMs)
    const events = Array.from(unsent, ([subscription, leases]) => decideReturned(subscription, [...leases], deadline))
    if (!this.#context.tryCommit([...events, ...decideDeadline([...repeated], deadline)])) {
      for (const leases of [...unsent.values(), repeated]) renewNoMore(state, [...leases])
      return false
    }
    this.#context.arm()
    await this.#context.durable()
    return true
  }

  async forwardToDeadLetter(request: ForwardRequest): Promise<void> {
    const { state, subscriptions } = this.#context
    try {
      const name = parseHandle(request.handle, state.handleKey)
      const lease =
        request.handle === ''
          ? await this.#ownedByMessageId(request)
          : leaseOf(subscriptions.find(request, name, request.liteTopic), name)
      if (lease?.owner === request.clientId) {
        const heldBack = mayBeHeldBack(lease.subscription)
        await this.#context.deadLetters.moveToDeadLetter(lease)
        if (heldBack) this.#context.attend(lease.subscription)
      }
    } catch (error) {
      throw refuse(asRefusal(error))
    }
    await this.#context.durable()
  }

  /** Only the C++ client names a message by its id alone; what is searched is what that client holds now. */
  async #ownedByMessageId(request: ForwardRequest): Promise<Lease | null> {
    const { messageId } = request
    const held = [...(this.#context.state.owned.get(request.clientId) ?? [])].filter((lease) => {
      const { group, topic } = lease.subscription
      if (group.settings.consumerGroupId !== request.group || topic.settings.topicName !== request.topic) return false
      return !isGone(lease)
    })
    for (let from = 0; from < held.length; from += limits.messagesPerReceive) {
      const some = held.slice(from, from + limits.messagesPerReceive)
      const records = await this.#context.log.readMany(some.map((lease) => lease.position))
      const index = records.findIndex((record) => messageOf(record).messageId === messageId)
      if (index >= 0) return some[index]!
    }
    return null
  }
}

/** The delivery a handle names, also after its deadline as long as it was not delivered again. */
function leaseOf(subscription: Subscription | undefined, name: DeliveryName | null): Lease | null {
  if (!name || name.subscriptionId !== subscription?.id) return null
  const lease = subscription.cursors[name.queueId]?.leases.get(name.offset)
  return lease && !lease.acked && isNamed(lease, name) ? lease : null
}

/**
 * A message that is done with may let others be delivered: in an orderly group its queue may be free again, or the next
 * message of the queue out of retries; at the limit of unacknowledged messages there is a place for a fresh one.
 */
const mayBeHeldBack = ({ group, unacknowledged }: Subscription): boolean =>
  group.settings.orderly || unacknowledged >= limits.unacknowledgedPerSubscription

/** The delivery was suspended, by a call whose answer did not arrive. */
function isSuspended(subscription: Subscription, name: DeliveryName | null, clientId: ClientId): boolean {
  const lease = name ? subscription.cursors[name.queueId]?.leases.get(name.offset) : undefined
  if (lease?.returned !== true || lease.owner !== clientId) return false
  return lease.attempt + 1 === name!.attempt && lease.session === name!.session
}
