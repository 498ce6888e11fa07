/** A producer and a consumer of the official client under which processes are killed, and what they were promised. */

import { pause } from '../../src/world/real.ts'
import { clientOptions, rocketmq } from '../support/client.ts'

export interface Load {
  /** Bodies by message id, as acknowledged to the producer. */
  readonly sent: ReadonlyMap<string, string>
  /** Ids whose acknowledgement by the consumer was answered. */
  readonly consumed: ReadonlySet<string>
  /** Ids that were delivered after their acknowledgement was answered: must stay empty. */
  readonly returned: readonly string[]
  failures(): number
  /** Ends sending and receiving after what is under way. */
  stop(): Promise<void>
}

/**
 * Sends and consumes until it is stopped. Calls that fail are counted and made again: while nobody serves, clients
 * fail, and only what was answered is a promise.
 */
export async function startLoad(endpoint: string, topic: string, group: string): Promise<Load> {
  const [producer, consumer] = await startedClients(endpoint, topic, group)
  const sent = new Map<string, string>()
  const consumed = new Set<string>()
  const returned: string[] = []
  let running = true
  let failed = 0
  let next = 0

  const tryTo = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work()
    } catch {
      failed++
      await pause(20)
    }
  }
  const sending = Array.from({ length: 4 }, async () => {
    while (running)
      await tryTo(async () => {
        const body = `message ${next++}`
        const receipt = await producer.send({ topic, tag: 'load', body: Buffer.from(body) })
        sent.set(receipt.messageId, body)
      })
  })
  let consuming = true
  const receiving = (async () => {
    while (consuming)
      await tryTo(async () => {
        for (const message of await consumer.receive(16, 60_000)) {
          if (consumed.has(message.messageId)) returned.push(message.messageId)
          await tryTo(async () => {
            await consumer.ack(message)
            consumed.add(message.messageId)
          })
        }
      })
  })()
  return {
    sent,
    consumed,
    returned,
    failures: () => failed,
    async stop() {
      // The consumer first: with nothing more to come its last call would wait for as long as it may.
      consuming = false
      await receiving
      running = false
      await Promise.all(sending)
      await Promise.all([producer.shutdown(), consumer.shutdown()].map((leaving) => leaving.catch(() => {})))
    },
  }
}

/** Receives until all that was sent has come, or nothing new comes; the ids found. Asks a group that has read nothing yet. */
export async function everythingKept(
  endpoint: string,
  topic: string,
  freshGroup: string,
  sent: ReadonlyMap<string, unknown>,
): Promise<Set<string>> {
  const consumer = new rocketmq.SimpleConsumer(
    clientOptions(endpoint, {
      consumerGroup: freshGroup,
      subscriptions: new Map([[topic, '*']]),
      awaitDuration: 5000,
    }),
  )
  await consumer.startup()
  try {
    const found = new Set<string>()
    const missing = new Set(sent.keys())
    for (let empty = 0; missing.size > 0 && empty < 2; ) {
      const messages = await consumer.receive(32, 60_000)
      for (const message of messages) {
        found.add(message.messageId)
        missing.delete(message.messageId)
      }
      await Promise.all(messages.map((message: any) => consumer.ack(message)))
      empty = messages.length === 0 ? empty + 1 : 0
    }
    return found
  } finally {
    await consumer.shutdown()
  }
}

/** On a busy machine a client may find its patience at an end before its first connection stands: then another one tries. */
async function startedClients(endpoint: string, topic: string, group: string): Promise<[producer: any, consumer: any]> {
  for (let tries = 1; ; tries++) {
    const producer = new rocketmq.Producer(clientOptions(endpoint, { topics: [topic], requestTimeout: 2000 }))
    const consumer = new rocketmq.SimpleConsumer(
      clientOptions(endpoint, {
        consumerGroup: group,
        subscriptions: new Map([[topic, '*']]),
        awaitDuration: 5000,
        requestTimeout: 2000,
      }),
    )
    try {
      await Promise.all([producer.startup(), consumer.startup()])
      return [producer, consumer]
    } catch (error) {
      await Promise.all([producer.shutdown(), consumer.shutdown()].map((leaving) => leaving.catch(() => {})))
      if (tries === 5) throw error
    }
  }
}
