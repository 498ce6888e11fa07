/**
 * Passes the broker's calls to clients: checks of transactions to producers, lost lite topics to consumers.
 *
 * Which producer is asked: any live one that declared the topic, in turn; nothing ties a transaction to the producer that
 * began it (data-plane §5.3). Of the consumers those of Node.js and Python do not act on what they are told.
 */
import type { Broker, TransactionChecker } from '../broker.ts'
import type { ClientRegistry } from './client-registry.ts'

export function connectClients(
  { transactions, lite }: Pick<Broker, 'transactions' | 'lite'>,
  clients: ClientRegistry,
): void {
  transactions.addTransactionChecker(transactionChecker(clients))
  clients.onProducer((topics) => transactions.producerConnected(topics))
  lite.onTopicLost((clientId, liteTopic) => {
    void clients.tell(clientId, { kind: 'notify-unsubscribe-lite', liteTopic })
  })
}

function transactionChecker(clients: ClientRegistry): TransactionChecker {
  return {
    canAsk: (topicName) => clients.hasProducer(topicName),
    async ask(orphan) {
      const producer = clients.nextProducerOf(orphan.topicName)
      if (producer === null) return
      const { clientId, namespace = '' } = producer
      await clients.tell(clientId, { kind: 'recover-orphaned-transaction', orphan, namespace })
    },
  }
}
