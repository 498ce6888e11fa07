/**
 * Every bound of the broker core in one table, with its source.
 *
 * Nothing here is tunable by a client. A number without a vendor's source says why it was chosen.
 */
import { defaultMaxRetryTimes } from '../../model/defaults.ts'
export const limits = {
  /** Queues of a topic made by the management API; Apache's default for a new topic. */
  queuesPerTopic: 8,
  /** What the route of a LITE topic shows; its lite topics have queues of their own. */
  queuesPerLiteTopic: 1,
  /** Dead-letter topics have one queue, as Apache's `%DLQ%` topics do. */
  queuesPerDeadLetterTopic: 1,
  /** Retries of a group that a client made by using it (Apache `retryMaxTimes`). */
  defaultRetryTimes: defaultMaxRetryTimes,
  /**
   * Delivered and not yet acknowledged messages of one group on one topic; at this number only
   * redeliveries are made. The vendor's pages speak of 2,500 deliveries in flight a group, but
   * theirs leave the count while they wait for a retry and ours do not, so the bound is wider: it is
   * there for memory (about 250 bytes each).
   */
  unacknowledgedPerSubscription: 100_000,
  /** Resets of one group on one topic that are known when they are told again, so that they are carried out once. */
  resetsRemembered: 64,
  /** Waiting receives of one group on one topic, and of the whole broker (Apache: "polling full"). */
  waitersPerSubscription: 1_024,
  waiters: 100_000,
  /** Messages one receive may take (the vendor's receive batch is 32). */
  messagesPerReceive: 1_024,
  /** Payload bytes after which a receive takes no more, so that large messages do not fill memory by the batch. */
  bytesPerReceive: 16 * 2 ** 20,
  /** How often one attempt id gets the batch it lost again; a client that never moves on starts counting after that. */
  repeatsPerBatch: 16,
  /** Messages read before their size is known; the rest of a receive is read by the size of these. */
  messagesReadFirst: 4,
  /** Timed messages that wait, for memory: about 40 MB a million. */
  timedMessages: 10_000_000,
  /** Messages of one send, and handles of one acknowledgement. */
  messagesPerSend: 1_024,
  handlesPerAck: 1_024,
  /** Renewals of one group a second, and of one delivery, while the disk is nearly full: each is a record that frees nothing. */
  scarceRenewalsPerSecond: 100,
  scarceRenewalMs: 1_000,
  /** How soon something that the log had no room for is tried again. */
  busyRetryMs: 5,
  /** Index entries one take looks at before it lets others run. */
  scanBudget: 65_536,
  /** Index entries looked up at a time where a filter passes over many. */
  scanStep: 1_024,
  /** A new group begins at the first message of a topic that never lost one to retention and holds at most this many, else at the end (Apache: "still in memory"). */
  youngTopicMessages: 100_000,
  /**
   * Subscriptions of groups to topics, of one instance, for memory: about 3 KB each. No vendor's page names such a limit. Groups
   * that clients made by using them have half of them between them, so that the owner's groups find room.
   */
  subscriptions: 50_000,
  /** Groups made by clients that merely used them, where the specification names no smaller number; for memory. */
  groupsMadeByUse: 10_000,
  /** How long the name of a deleted group is refused to clients: old clients are redeployed within it. */
  deletedGroupMs: 7 * 24 * 3_600_000,
  /** Names of deleted groups that are remembered; the one deleted first is forgotten first. About 1 MB at this number. */
  deletedGroups: 10_000,
  /** Clients whose life is remembered. */
  clients: 100_000,
  /** Auto-renewed deliveries are extended in steps of this length. */
  renewStepMs: 60_000,
  /** An owner not heard for this long no longer renews (the slowest official client, Rust, is heard every 30 s). */
  ownerSilenceMs: 90_000,
  /** The broker renews a delivery for at most this long (Apache: three hours), then nacks it with the group's retry pause. */
  renewCapMs: 3 * 3_600_000,
  /** Deliveries of a client that went away become visible after this. */
  goneVisibleMs: 1_000,
  /** Pause before a message that could not be read from the disk is tried again. */
  unreadableRetryMs: 60_000,
  /** One unit of the TPS count (product: ⌈body / 4 KiB⌉, at least 1). */
  throttleUnitBytes: 4_096,
  /** Half messages not yet decided, of one instance. About 300 bytes of memory each: 30 MB at this number. */
  openTransactions: 100_000,
  /**
   * A half message is left alone this long before its producer is asked, unless it says otherwise. Apache asks after 6 s
   * plus up to 30 s until its next scan, the product after its check interval of 60 s; Apache's own test suite waits 60 s for it.
   */
  firstCheckMs: 20_000,
  /** Between two checks of one transaction (product: 60 s; Apache: 30 s). */
  checkIntervalMs: 60_000,
  /** Checks of one transaction (Apache `transactionCheckMax`). */
  checksPerTransaction: 15,
  /** A transaction not decided by then is rolled back (product: 4 h, not configurable). */
  transactionLifeMs: 4 * 3_600_000,
  /** Lite topics of an instance; for memory, about 1 KB each, and as much again for each group that reads one. */
  liteTopics: 100_000,
  /** Subscriptions of groups to lite topics, of one instance, for memory: about 1 KB each. Two groups may read all lite topics. */
  subscriptionsOfLiteTopics: 200_000,
  /** Lite topics one client subscribes to (Apache `lite.sub.client.quota`), and those of all clients together (data-plane §5.7). */
  liteSubscriptionsPerClient: 2_000,
  liteSubscriptions: 100_000,
  liteTopicNameBytes: 64,
  /** Clients repeat their subscriptions every 30 s; one that does not for this long has none any more (data-plane §5.7). */
  liteSilenceMs: 180_000,
  /** Lite topics that go away in one step. */
  liteTopicsPerStep: 256,
  /** Transactions checked or ended in one step; a step is one record of the log. */
  transactionsPerStep: 16,
} as const
