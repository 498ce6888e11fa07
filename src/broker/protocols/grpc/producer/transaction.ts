/**
 * Transactions on the wire: EndTransaction, and the question that asks a producer to decide.
 *
 * Which producer is asked: any live one that declared the topic in its settings, in turn; nothing ties a
 * transaction to the producer that began it (data-plane §5.3).
 */
import type * as gen from '../../../../grpc/gen/rocketmq.js'
import { Code } from '../../../../model/codes.ts'
import { BrokerRefusal } from '../../../../model/refusals.ts'
import type { Orphan, TransactionChecker, TransactionOutcome, TransactionsRole } from '../../../broker.ts'
import { keptMessage } from '../../../messages/stored-message.ts'
import { secondsAndNanos } from '../../../messages/time.ts'
import { checkTopicName } from '../../../messages/validation.ts'
import type { WireCall } from '../call.ts'
import type { ClientRegistry } from '../client/clients.ts'

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

/** Lets the broker reach producers: over their telemetry streams. */
export function connectProducers(transactions: TransactionsRole, clients: ClientRegistry): void {
  transactions.addTransactionChecker(transactionChecker(clients))
  clients.onProducer((topics) => transactions.producerConnected(topics))
}

function transactionChecker(clients: ClientRegistry): TransactionChecker {
  return {
    canAsk: (topicName) => clients.hasProducer(topicName),
    async ask(orphan) {
      const producer = clients.nextProducerOf(orphan.topicName)
      if (producer === null) return
      await clients.tell(producer.clientId, {
        recoverOrphanedTransactionCommand: questionOf(orphan, producer.namespace),
      })
    },
  }
}

function questionOf(orphan: Orphan, namespace: string | undefined): gen.RecoverOrphanedTransactionCommandInit {
  const { systemProperties, ...rest } = keptMessage(orphan.payload)
  return {
    message: {
      ...rest,
      topic: { resourceNamespace: namespace ?? '', name: orphan.topicName },
      systemProperties: {
        ...systemProperties,
        storeTimestamp: secondsAndNanos(orphan.storeTimeMs),
        queueId: 0,
        deliveryAttempt: 1,
      },
    },
    transactionId: orphan.transactionId,
  }
}
