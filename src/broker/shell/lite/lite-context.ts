/** What lite consumers may use of the shell around them. */
import type { BrokerEvent } from '../../core/events.ts'
import type { BrokerState, Subscription } from '../../core/state.ts'
import type { PersistentQueueIndex } from '../../log/queue-index.ts'
import type { Delivering } from '../consuming/delivering.ts'
import type { HandOver } from '../consuming/hand-over.ts'
import type { Receiving } from '../consuming/receiving.ts'
import type { Subscriptions } from '../consuming/subscriptions.ts'
import type { Throughput } from '../throughput.ts'
import type { TurnBudget } from '../turn-budget.ts'

export interface LiteContext {
  readonly state: BrokerState
  readonly turns: TurnBudget
  readonly index: Pick<PersistentQueueIndex, 'offsetAtTime'>
  /** The broker's own time, which never goes back. */
  now(): number
  /** Written and applied; throws a `BrokerRefusal` and then has changed nothing. */
  commit(events: readonly BrokerEvent[]): void
  tryCommit(events: readonly BrokerEvent[]): boolean
  durable(): Promise<void>
  /** The promise of what was committed last; rejects when the log fails. */
  promised(): Promise<void>
  readonly subscriptions: Pick<Subscriptions, 'settled'>
  readonly throughput: Pick<Throughput, 'refuseReceive' | 'receivesAt' | 'spendReceive' | 'send'>
  readonly delivering: Pick<Delivering, 'read' | 'giveBack' | 'setAside'>
  readonly handOver: HandOver
  readonly receiving: Pick<Receiving, 'takeLite' | 'isLoading' | 'load' | 'endPolls'>
  moved(subscription: Subscription): void
  arm(): void
  closed(): boolean
  /** Closed, or the log has failed. */
  stopped(): boolean
  report(error: unknown): void
}
