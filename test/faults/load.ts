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
  const producer = new rocketmq.Producer(clientOptions(endpoint, { topics: [topic], requestTimeout: 2000 }))
  const consumer = new rocketmq.SimpleConsumer(
    clientOptions(endpoint, {
      consumerGroup: group,
      subscriptions: new Map([[topic, '*']]),
      awaitDuration: 5000,
      requestTimeout: 2000,
    }),
  )
  await Promise.all([producer.startup(), consumer.startup()])
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
  const receiving = (async () => {
    while (running)
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
      running = false
      await Promise.all([...sending, receiving])
      await Promise.all([producer.shutdown(), consumer.shutdown()].map((leaving) => leaving.catch(() => {})))
    },
  }
}

/** Receives without acknowledging until nothing new comes; the ids found. Asks a group that has read nothing yet. */
export async function everythingKept(
  endpoint: string,
  topic: string,
  freshGroup: string,
  atLeast: number,
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
    for (let empty = 0; empty < 2; ) {
      const messages = await consumer.receive(32, 60_000)
      for (const message of messages) found.add(message.messageId)
      await Promise.all(messages.map((message: any) => consumer.ack(message)))
      empty = messages.length === 0 ? empty + 1 : 0
      if (found.size >= atLeast && messages.length === 0) break
    }
    return found
  } finally {
    await consumer.shutdown()
  }
}
