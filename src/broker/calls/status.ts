/** The status of a reply: RocketMQ's code, and a sentence. The reason of an unexpected error is not sent to a client. */
import { Code, codeName } from '../../model/codes.ts'
import { BrokerRefusal } from '../../model/refusals.ts'

/** As RocketMQ 5's protobuf message has it. */
export interface Status {
  readonly code: number
  readonly message: string
}

const okStatus: Status = Object.freeze({ code: Code.OK, message: 'OK' })

export function statusOf(code: number, message: string = codeName(code)): Status {
  return code === Code.OK ? okStatus : { code, message }
}

/** Any failure as a status. The text of an unexpected one is not sent; it goes to `report`. */
export function statusOfError(error: unknown, report: (error: unknown) => void): Status {
  if (error instanceof BrokerRefusal) return { code: error.code, message: error.message }
  report(error)
  return { code: Code.INTERNAL_SERVER_ERROR, message: 'The broker failed to carry out the request; its log says why.' }
}
