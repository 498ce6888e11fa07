/** EndTransaction. How a producer is asked to decide is in `client/commands.ts`, and which one in `clients/connect.ts`. */
import type * as gen from '../../../../grpc/gen/rocketmq.js'
import { Code } from '../../../../model/codes.ts'
import { BrokerRefusal } from '../../../../model/refusals.ts'
import type { TransactionOutcome } from '../../../broker.ts'
import type { WireCall } from '../../../calls/wire-call.ts'
import { checkTopicName } from '../../../messages/validation.ts'

/** In the order of apache.rocketmq.v2.TransactionResolution. */
const resolutions = ['unknown', 'commit', 'rollback'] as const

export async function endTransaction(
  call: WireCall<'transactions'>,
  request: gen.EndTransactionRequest,
): Promise<gen.EndTransactionResponseInit> {
  const { broker, clients } = call.endpoint
  const topic = request.topic?.name ?? ''
  checkTopicName(topic)
  clients.alive(call.clientId)
  if (request.transactionId.trim() === '')
    throw new BrokerRefusal(Code.INVALID_TRANSACTION_ID, 'The transaction id is blank.')
  const outcome = await broker.transactions.end({
    topic,
    transactionId: request.transactionId,
    // Apache takes every other number for "unknown" too: the next check asks again.
    resolution: resolutions[request.resolution] ?? 'unknown',
  })
  return { status: { code: Code.OK, message: sentence(outcome) } }
}

/** OK, and for a decision that came too late what had been decided before. */
function sentence({ outcome, as }: TransactionOutcome): string {
  if (outcome !== 'ended') return 'OK'
  switch (as) {
    case 'commit':
      return 'The transaction was committed before; this decision changes nothing.'
    case 'rollback':
      return 'The transaction was rolled back before; this decision changes nothing.'
    case 'expired':
      return 'The transaction reached its end of life and was rolled back before; this decision changes nothing.'
    default:
      return 'The transaction has ended before; this decision changes nothing.'
  }
}
