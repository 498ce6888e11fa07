/** The answers of an instance that is open in this process, to each of `Questions`. */

import { connections, reconnect, stackTrace, verifyMessage } from '../../broker/clients/commands.ts'
import { findMessages, traceMessage } from '../../broker/messages/inspect.ts'
import { BrokerRefusal, EngineError } from '../../model/refusals.ts'
import type { Answers } from '../questions.ts'
import type { HostedInstance } from './hosted-instance.ts'

export const answers: Answers<HostedInstance> = {
  usage: (instance) => instance.usage(),
  lag: ({ broker }, { consumerGroupId }) => broker.offsets.lag(consumerGroupId),
  findMessages: ({ broker }, query) => looking(() => findMessages(broker, query)),
  traceMessage: ({ broker }, query) => looking(() => traceMessage(broker, query)),
  connections: ({ clients }, { group }) => connections(clients, group),
  verifyMessage: ({ clients }, { clientId, message }) => asking(() => verifyMessage(clients, clientId, message)),
  stackTrace: ({ clients }, { clientId }) => asking(() => stackTrace(clients, clientId)),
  reconnectClient: ({ clients }, { clientId }) =>
    asking(async () => {
      await reconnect(clients, clientId)
      return null
    }),
  clientMetrics: ({ clients }) => clients.metrics(),
}

/** A client that cannot be asked, or cannot answer, is the engine's refusal. */
async function asking<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof BrokerRefusal) throw new EngineError('unsupported', error.message, { cause: error })
    throw error
  }
}

/** While the messages of an older home are being indexed, a look-up may have to wait. */
async function looking<T>(look: () => Promise<T>): Promise<T> {
  try {
    return await look()
  } catch (error) {
    if (error instanceof BrokerRefusal) throw new EngineError('unavailable', error.message, { cause: error })
    throw error
  }
}
