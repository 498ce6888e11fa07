/**
 * The state of a broker: topics with their queues, groups with their progress, deliveries in flight.
 *
 * Nothing here grows with the messages retained: a queue is two offsets, and a group's progress in it
 * is one offset plus the messages delivered and not yet acknowledged. Every offset below `next` that
 * is not among those is done with; that set *is* the gaps between the acknowledged ranges, and its
 * first member the low-water mark.
 *
 * Two kinds of fields: those that events set (the same after a replay; `snapshot.ts` writes exactly
 * them), and those marked volatile, which live only as long as the process: waiting receives, what is
 * due when, who was heard, token buckets.
 */

import type { ClientId, ConsumerGroupId, LiteTopicName, TopicName } from '../../model/ids.ts'
import { type HandleKey, noHandleKey } from './consuming/handle.ts'
import type { GroupSettings, TopicSettings } from './events.ts'
import type { Filter, SqlFilter } from './filters/filter.ts'
import { noTransactions, type Transactions } from './open-transactions.ts'
import { DeadlineHeap, type Due } from './structures/deadline-heap.ts'
import { FifoList, type Linked } from './structures/fifo-list.ts'
import { TimerTable } from './structures/timer-table.ts'
import { type Bucket, makeBucket } from './throttle.ts'

export interface BrokerState {
  readonly topics: Map<string, Topic>
  readonly queues: Map<number, Queue>
  readonly groups: Map<ConsumerGroupId, Group>
  /** How many of them have `madeByUse`. */
  groupsMadeByUse: number
  /** Those that the management API has not named yet (generation 0), in the order in which they were made. */
  readonly unlistedGroups: Set<ConsumerGroupId>
  /** Groups that were removed and not made again: when, by name, the first removed first. Bounded. */
  readonly deletedGroups: Map<string, number>
  readonly subscriptions: Map<number, Subscription>
  nextQueueKey: number
  nextSubscriptionId: number
  /** The latest time an event carried: the clock never shows less after a restart. */
  lastAt: number
  /** Deliveries not acknowledged, over all subscriptions. */
  unacknowledged: number
  /** Timed messages that wait. */
  readonly timers: TimerTable
  nextTimerId: number
  /** The latest due time of a timed message that was put into a queue. */
  firedDueMs: number
  readonly transactions: Transactions
  /** Lite topics, of all LITE topics together. */
  liteTopicCount: number
  /** Of `subscriptions`, those of lite topics. */
  liteSubscriptionCount: number

  // Volatile from here on.
  /** Of receipt handles; set when the broker opens. */
  handleKey: HandleKey
  /** Deliveries by the time at which they become visible again. */
  readonly deliveries: DeadlineHeap<Lease>
  /** Waiting receives by the time at which they end with nothing. */
  readonly waiting: DeadlineHeap<Waiter>
  /** Auto-renewed deliveries by their owner. */
  readonly owned: Map<string, Set<Lease>>
  /** Dropped deliveries that are still in `deliveries` and `owned` (deliveries.ts, `sweepDropped`). */
  readonly dropped: Array<Iterator<Lease>>
  /** When each client was last heard. */
  readonly heard: Map<string, number>
}

export interface Topic {
  settings: TopicSettings
  readonly firstQueueKey: number
  readonly queues: readonly Queue[]
  /** By consumer group. */
  readonly subscriptions: Map<string, Subscription>
  /** Volatile: the queue that takes the next message. */
  roundRobin: number
  /** Volatile: the topic's own send limit. */
  readonly sendBucket: Bucket
  /** Of a LITE topic, the lite topics in it; null for other types. */
  liteTopics: LiteTopics | null
  /** What it is a lite topic of; null for a topic of its own. */
  readonly parent: Topic | null
  /** Its name among the parent's; empty for a topic of its own. */
  readonly liteTopic: LiteTopicName
}

export interface LiteTopics {
  readonly byName: Map<string, LiteTopic>
  /** The one whose last message is oldest first. */
  readonly byAge: FifoList<LiteTopic>
}

export interface Queue {
  readonly key: number
  readonly id: number
  readonly topic: Topic
  /** Offset of the first message retained. */
  begin: number
  /** Offset of the next message written. */
  end: number
  /** Volatile: messages below are durable, hence may be shown. They may be taken earlier, and are handed over then. */
  visible: number
}

export interface Group {
  settings: GroupSettings
  /** By topic. */
  readonly subscriptions: Map<string, Subscription>
  /** Volatile: the group's own receive limit. */
  readonly receiveBucket: Bucket
}

/** A group's subscription to one incarnation of a topic. */
export interface Subscription {
  readonly id: number
  readonly group: Group
  readonly topic: Topic
  readonly cursors: readonly Cursor[]
  /** Resets of the management API that were carried out, the latest last; bounded. */
  resetIds: readonly string[]
  /** Delivered and not acknowledged. */
  unacknowledged: number

  // Volatile from here on.
  removed: boolean
  /** Which queue is asked first next time. */
  roundRobin: number
  /** Visible again, in the order in which they became so. */
  readonly ready: FifoList<Lease>
  /** Out of retries, on their way to the dead letters. */
  readonly exhausted: FifoList<Lease>
  readonly waiters: FifoList<Waiter>
}

export interface Cursor {
  readonly queue: Queue
  /** Fresh messages begin here. */
  next: number
  /** By offset, and in the order of their offsets. */
  leases: Map<number, Lease>
  /** For orderly groups: the batch delivered last. */
  lock: QueueLock | null
  /** Volatile: leases with a client now. An orderly group gets nothing from the queue while there are any. */
  invisible: number
}

/** What a receive of an orderly group holds of a queue: asked for again by the same attempt, it is the same again. */
export interface QueueLock {
  /** Empty when the client named none; then nothing asks for it again. */
  readonly attemptId: string
  /** Offset of the batch's last message; its first is the queue's first unacknowledged one. */
  readonly last: number
  /** How often it was delivered again. */
  readonly repeats: number
}

/**
 * `leased`: with a client; `ready`: visible again; `exhausted`: out of retries; `acked`: acknowledged, in an
 * orderly group, before an earlier one was; `gone`: acknowledged or dropped.
 */
export type Phase = 'leased' | 'ready' | 'exhausted' | 'acked' | 'gone'

/** A message delivered and not yet acknowledged. */
export interface Lease extends Due, Linked<Lease> {
  readonly subscription: Subscription
  readonly queueId: number
  readonly offset: number
  readonly position: number
  readonly tagHash: number
  /** Rises with every delivery: a handle names it. */
  attempt: number
  /** Earlier deliveries that count against the group's retries (core/consuming/orderly.ts says which do not). */
  failures: number
  /** The last delivery reached no client (it was returned), so it does not count. */
  returned: boolean
  /** Phase `acked` as the event said it. */
  acked: boolean
  session: number
  /** When this delivery was made. */
  at: number
  /** As the last event said; `due` is where renewing has moved it. */
  deadline: number
  renewable: boolean
  owner: string
  /** Volatile. */
  phase: Phase
  /** Volatile: the expressions last evaluated for the message, by result. */
  matchedBy: SqlFilter | null
  refusedBy: SqlFilter | null
}

/** A receive that waits. */
export interface Waiter extends Due, Linked<Waiter> {
  readonly filter: Filter
  readonly hashes: ReadonlySet<number> | null
  readonly max: number
  readonly invisibleMs: number
  readonly autoRenew: boolean
  readonly clientId: ClientId
  readonly userName: string | null
  /** The client's name for this poll and its retries; empty when it has none. */
  readonly attemptId: string
}

export function emptyState(): BrokerState {
  return {
    topics: new Map(),
    queues: new Map(),
    groups: new Map(),
    groupsMadeByUse: 0,
    unlistedGroups: new Set(),
    deletedGroups: new Map(),
    subscriptions: new Map(),
    nextQueueKey: 1,
    nextSubscriptionId: 1,
    lastAt: 0,
    unacknowledged: 0,
    timers: new TimerTable(),
    nextTimerId: 1,
    firedDueMs: 0,
    transactions: noTransactions(),
    liteTopicCount: 0,
    liteSubscriptionCount: 0,
    handleKey: noHandleKey,
    deliveries: new DeadlineHeap(),
    waiting: new DeadlineHeap(),
    owned: new Map(),
    dropped: [],
    heard: new Map(),
  }
}

export function makeTopic(settings: TopicSettings, firstQueueKey: number, queues: number): Topic {
  const made: Queue[] = []
  const topic: Topic = {
    settings,
    firstQueueKey,
    queues: made,
    subscriptions: new Map(),
    roundRobin: 0,
    sendBucket: makeBucket(settings.maxSendTps, 0),
    liteTopics: settings.messageType === 'LITE' ? noLiteTopics() : null,
    parent: null,
    liteTopic: '',
  }
  for (let id = 0; id < queues; id++) made.push({ key: firstQueueKey + id, id, topic, begin: 0, end: 0, visible: 0 })
  return topic
}

export const noLiteTopics = (): LiteTopics => ({ byName: new Map(), byAge: new FifoList() })

/** A lite topic is a topic with one queue whose settings are those of its LITE topic: to everything that reads it is like any other. */
export class LiteTopic implements Topic, Linked<LiteTopic> {
  readonly parent: Topic
  readonly liteTopic: LiteTopicName
  readonly queues: readonly [Queue]
  readonly subscriptions = new Map<string, Subscription>()
  readonly liteTopics = null
  /** When its last message was stored; when it was made, before the first. */
  lastMs: number
  roundRobin = 0
  previous: LiteTopic | null = null
  next: LiteTopic | null = null
  linked = false

  constructor(parent: Topic, liteTopic: LiteTopicName, queueKey: number, at: number) {
    this.parent = parent
    this.liteTopic = liteTopic
    this.lastMs = at
    this.queues = [{ key: queueKey, id: 0, topic: this, begin: 0, end: 0, visible: 0 }]
  }

  get settings(): TopicSettings {
    return this.parent.settings
  }

  get firstQueueKey(): number {
    return this.queues[0].key
  }

  get sendBucket(): Bucket {
    return this.parent.sendBucket
  }
}

/** What look-ups by id and by key are scoped by: the first queue key of a topic, for a lite topic that of its LITE topic. */
export const scopesIn = ({ queues, topics }: BrokerState) => ({
  scopeOf(queueKey: number): number | null {
    const topic = queues.get(queueKey)?.topic
    return topic ? (topic.parent ?? topic).firstQueueKey : null
  },
  scopeOfTopic: (topicName: TopicName): number | null => topics.get(topicName)?.firstQueueKey ?? null,
})

export function makeGroup(settings: GroupSettings): Group {
  return { settings, subscriptions: new Map(), receiveBucket: makeBucket(settings.maxReceiveTps, 0) }
}

export function makeSubscription(id: number, group: Group, topic: Topic, starts: readonly number[]): Subscription {
  return {
    id,
    group,
    topic,
    cursors: topic.queues.map((queue) => ({
      queue,
      next: starts[queue.id] ?? queue.begin,
      leases: new Map(),
      lock: null,
      invisible: 0,
    })),
    resetIds: [],
    unacknowledged: 0,
    removed: false,
    roundRobin: 0,
    ready: new FifoList(),
    exhausted: new FifoList(),
    waiters: new FifoList(),
  }
}
