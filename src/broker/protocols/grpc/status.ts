/** The status of a reply. The gRPC status stays OK; these carry the outcome (business errors are replies). */
import type * as gen from '../../../grpc/gen/rocketmq.js'
import { Code, codeName } from '../../../model/codes.ts'
import { BrokerRefusal } from '../../../model/refusals.ts'

const okStatus: gen.StatusInit = Object.freeze({ code: Code.OK, message: 'OK' })

export function statusOf(code: number, message: string = codeName(code)): gen.StatusInit {
  return code === Code.OK ? okStatus : { code, message }
}

/** Any failure as a status. The text of an unexpected one is not sent; it goes to `report`. */
export function statusOfError(error: unknown, report: (error: unknown) => void): gen.StatusInit {
  if (error instanceof BrokerRefusal) return { code: error.code, message: error.message }
  report(error)
  return { code: Code.INTERNAL_SERVER_ERROR, message: 'The broker failed to carry out the request; its log says why.' }
}
