/** A decision against a command: a code of apache.rocketmq.v2.Code (data-plane §8) and a sentence for the user. */
export interface Refusal {
  readonly code: number
  readonly message: string
}

export const codes = {
  badRequest: 40000,
  invalidTransactionId: 40008,
  illegalFilter: 40010,
  illegalOffset: 40019,
  notFound: 40400,
  topicNotFound: 40402,
  consumerGroupNotFound: 40403,
  payloadTooLarge: 41300,
  tooManyRequests: 42900,
  internal: 50001,
} as const

/** For a consumer that asks for more than it takes. */
export const tooMuchUnread: Refusal = {
  code: codes.tooManyRequests,
  message:
    'this connection has not taken the messages of its earlier receives; read their streams before receiving more',
}
