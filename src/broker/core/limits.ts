/**
 * Every bound of the broker core in one table, with its source.
 *
 * Nothing here is tunable by a client. A number without a vendor's source says why it was chosen.
 */
export const limits = {
  /** Queues of a topic made by the management API; Apache's default for a new topic. */
  queuesPerTopic: 8,
  /** Dead-letter topics have one queue, as Apache's `%DLQ%` topics do. */
  queuesPerDeadLetterTopic: 1,
  /** Retries of a group that a client made by using it (Apache `retryMaxTimes`). */
  defaultRetryTimes: 16,
  /**
   * Delivered and not yet acknowledged messages of one group on one topic; at this number only
   * redeliveries are handed out. The vendor's pages speak of 2,500 deliveries in flight a group, but
   * theirs leave the count while they wait for a retry and ours do not, so the bound is wider: it is
   * there for memory (about 250 bytes each).
   */
  unacknowledgedPerSubscription: 100_000,
  /** Waiting receives of one group on one topic, and of the whole broker (Apache: "polling full"). */
  waitersPerSubscription: 1_024,
  waiters: 100_000,
  /** Messages one receive may take (the vendor's receive batch is 32). */
  messagesPerReceive: 1_024,
  /** Payload bytes after which a receive takes no more, so that large messages do not fill memory by the batch. */
  bytesPerReceive: 16 * 2 ** 20,
  /** Messages read before their size is known; the rest of a receive is read by the size of these. */
  messagesReadFirst: 4,
  /** Messages of one send, and handles of one acknowledgement. */
  messagesPerSend: 1_024,
  handlesPerAck: 1_024,
  /** Index entries one take looks at before it lets others run. */
  scanBudget: 65_536,
  /** Index entries looked up at a time where a filter passes over many. */
  scanStep: 1_024,
  /** A new group begins at the first message of a topic that never lost one to retention and holds at most this many, else at the end (Apache: "still in memory"). */
  youngTopicMessages: 100_000,
  /** Groups made by clients that merely used them. */
  groupsMadeByUse: 10_000,
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
} as const
