/**
 * The demo's other kinds of messages: ordered, delayed and transactional ones, each sent and received by Apache's
 * official client, and each checked for the property of its kind (order, delivery time, commit).
 */
import { createRequire } from 'node:module'
import { realClock } from '../world/real.ts'
import { type Connection, started, stopped } from './connect.ts'
import { CommandError, LateError } from './errors.ts'
import { shownMs, step } from './output.ts'
import { shown } from './safe-text.ts'

/** One topic and one group a kind, so that no consumer waits on a topic that has nothing for it. */
export const kinds = {
  ordered: { topicName: 'demo-orders', messageType: 'FIFO', consumerGroupId: 'demo-order-readers', orderly: true },
  delayed: { topicName: 'demo-later', messageType: 'DELAY', consumerGroupId: 'demo-later-readers', orderly: false },
  transactional: {
    topicName: 'demo-payments',
    messageType: 'TRANSACTION',
    consumerGroupId: 'demo-payment-readers',
    orderly: false,
  },
} as const

const orderedBodies = ['created', 'paid', 'packed', 'shipped', 'delivered'] as const
/** Delivery times are whole seconds; with less the message might be due already. */
const delayMs = 1500
const invisibleMs = 15_000
const limitMs = 30_000
const commitCode = 1

export async function showKinds(connection: Connection): Promise<void> {
  const { Producer, SimpleConsumer } = createRequire(import.meta.url)('rocketmq-client-nodejs')
  const { ordered, delayed, transactional } = kinds
  const common = connection.options
  const producer = new Producer({
    ...common,
    topics: [ordered.topicName, delayed.topicName, transactional.topicName],
    checker: { check: async () => commitCode },
  })
  const consumerOf = ({ topicName, consumerGroupId }: (typeof kinds)[keyof typeof kinds]) =>
    new SimpleConsumer({
      ...common,
      consumerGroup: consumerGroupId,
      subscriptions: new Map([[topicName, '*']]),
      awaitDuration: 5000,
    })
  const consumers = {
    ordered: consumerOf(ordered),
    delayed: consumerOf(delayed),
    transactional: consumerOf(transactional),
  }
  await step('connect for ordered, delayed and transactional messages', () =>
    Promise.all([producer, ...Object.values(consumers)].map((client) => started(client, connection))),
  )
  try {
    const dueMs = await sendDelayed(producer)
    await step(
      `${ordered.topicName}: one message group, in order`,
      () => exchangeOrdered(producer, consumers.ordered),
      (bodies) => bodies.join(' → '),
    )
    await step(
      `${transactional.topicName}: one commit, one rollback`,
      () => exchangeTransactional(producer, consumers.transactional),
      (bodies) => `received: ${bodies.join(', ')}`,
    )
    await step(
      `${delayed.topicName}: not before its time`,
      () => receiveDelayed(consumers.delayed, dueMs),
      (lateMs) => `${shownMs(lateMs)} after it was due`,
    )
  } finally {
    await stopped(producer, ...Object.values(consumers))
  }
}

async function exchangeOrdered(producer: any, consumer: any): Promise<string[]> {
  const { topicName } = kinds.ordered
  for (const body of orderedBodies) {
    await producer.send({ topic: topicName, messageGroup: 'order-1', body: Buffer.from(body) })
  }
  const received = await receive(consumer, orderedBodies.length)
  if (received.join() !== orderedBodies.join())
    throw new CommandError(`The order was broken: ${shown(received.join(', '))}.`)
  return received
}

async function exchangeTransactional(producer: any, consumer: any): Promise<string[]> {
  const { topicName } = kinds.transactional
  for (const end of ['rollback', 'commit'] as const) {
    const transaction = producer.beginTransaction()
    await producer.send({ topic: topicName, body: Buffer.from(`the one with ${end}`) }, transaction)
    await transaction[end]()
  }
  const received = await receive(consumer, 1)
  if (received.join() !== 'the one with commit') {
    throw new CommandError(`What was rolled back was delivered: ${shown(received.join(', '))}.`)
  }
  return received
}

/** Its delivery time as the client rounds it: to the second below. */
async function sendDelayed(producer: any): Promise<number> {
  const dueMs = Math.floor((realClock.now() + delayMs) / 1000) * 1000
  await producer.send({
    topic: kinds.delayed.topicName,
    deliveryTimestamp: new Date(dueMs),
    body: Buffer.from('a reminder'),
  })
  return dueMs
}

async function receiveDelayed(consumer: any, dueMs: number): Promise<number> {
  await receive(consumer, 1)
  const lateMs = realClock.now() - dueMs
  if (lateMs < 0) throw new CommandError(`The delayed message arrived ${-lateMs} ms before its time.`)
  return lateMs
}

/** Bodies in the order in which they came, each acknowledged. */
async function receive(consumer: any, count: number): Promise<string[]> {
  const end = realClock.monotonic() + limitMs
  const bodies: string[] = []
  while (bodies.length < count) {
    if (realClock.monotonic() > end) {
      throw new LateError(`Only ${bodies.length} of ${count} messages arrived within ${limitMs / 1000} s.`)
    }
    for (const message of await consumer.receive(32, invisibleMs)) {
      bodies.push(message.body.toString())
      await consumer.ack(message)
    }
  }
  return bodies
}
