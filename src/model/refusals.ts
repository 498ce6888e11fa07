/** Refusals that cross a layer, each with a code and a sentence for whoever asked. */

/** An engine's refusal or failure; the message is a sentence for the operator. */
export class EngineError extends Error {
  override readonly name = 'EngineError'
  readonly code: 'absent' | 'unsupported' | 'unavailable' | 'failed'
  constructor(code: EngineError['code'], message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

/** A refusal with the code of apache.rocketmq.v2.Code (data-plane.md §8) and a sentence for the user. */
export class BrokerRefusal extends Error {
  override readonly name = 'BrokerRefusal'
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}
