/** Defaults of the product that several layers apply. */

/** Retries of a consumer group that nobody chose; deliveries are one more (api-semantics §8). */
export const defaultMaxRetryTimes = 16
