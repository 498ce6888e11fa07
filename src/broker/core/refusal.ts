/** A decision against a command: a code of apache.rocketmq.v2.Code (data-plane §8) and a sentence for the user. */
export interface Refusal {
  readonly code: number
  readonly message: string
}

export const codes = {
  badRequest: 40000,
  topicNotFound: 40402,
  payloadTooLarge: 41300,
  tooManyRequests: 42900,
  internal: 50001,
} as const
