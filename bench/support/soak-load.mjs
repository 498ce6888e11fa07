/**
 * The load of the soak: a steady rate of every kind of message that several groups receive and acknowledge, with some
 * deliveries that are not acknowledged in time, and clients that come and go. Nothing is kept here but what is in flight.
 */
import { sleep } from './gantry.mjs'
import { asOftenAsAllowed, openMessaging } from './messaging.mjs'

const bodyBytes = 1024

/** What each message of a hundred is. */
const shares = [
  ['normal', 70],
  ['fifo', 15],
  ['delay', 10],
  ['transaction', 5],
]

export const topicsOfSoak = { normal: 'NORMAL', fifo: 'FIFO', delay: 'DELAY', transaction: 'TRANSACTION' }

/** Several groups read the topic of normal messages, as several services would. */
const readers = [
  { group: 'first', topic: 'normal' },
  { group: 'second', topic: 'normal' },
  { group: 'third', topic: 'normal', forgets: 0.01 },
  { group: 'orderly', topic: 'fifo' },
  { group: 'later', topic: 'delay' },
  { group: 'committed', topic: 'transaction' },
]

export const groupsOfSoak = [...new Set(readers.map(({ group }) => group))]

/** Runs until `signal` is aborted; answers what it did. `counts` may be read meanwhile. */
export function startLoad({ source, endpoint, perSecond, signal }) {
  const counts = { sent: 0, received: 0, acknowledged: 0, failed: 0, lastFailure: '' }
  const failed = (error) => {
    if (signal.aborted) return
    counts.failed++
    counts.lastFailure = String(error.message ?? error)
  }
  const done = Promise.all([
    produce({ source, endpoint, perSecond, signal, counts, failed }),
    ...readers.flatMap((reader) => [0, 1].map(() => consume({ source, endpoint, reader, signal, counts, failed }))),
  ])
  return { counts, done }
}

async function produce({ source, endpoint, perSecond, signal, counts, failed }) {
  const producer = await openMessaging(source, endpoint, 2)
  const from = performance.now()
  for (let sent = 0; !signal.aborted; await sleep(5)) {
    const due = Math.floor(((performance.now() - from) / 1000) * perSecond)
    for (; sent < due; sent++) void sendOne(producer, sent).then(() => counts.sent++, failed)
  }
  producer.close()
}

function sendOne(producer, number) {
  let place = (number * 37) % 100
  const [kind] = shares.find(([, share]) => {
    place -= share
    return place < 0
  })
  if (kind === 'transaction') return producer.sendAndCommit('transaction', bodyBytes)
  if (kind === 'fifo')
    return producer.send('fifo', bodyBytes, 1, { messageType: 2, messageGroup: `group-${number % 8}` })
  if (kind === 'delay')
    return asOftenAsAllowed(() => producer.send('delay', bodyBytes, 1, { deliverAtMs: Date.now() + 5_000 }))
  return producer.send('normal', bodyBytes)
}

/** A new connection every two minutes, as clients of a deployment come and go. */
async function consume({ source, endpoint, reader, signal, counts, failed }) {
  while (!signal.aborted) {
    const consumer = await openMessaging(source, endpoint)
    const until = performance.now() + 120_000
    while (!signal.aborted && performance.now() < until) {
      try {
        await receiveSome(consumer, reader, counts)
      } catch (error) {
        failed(error)
        await sleep(1000)
        break
      }
    }
    consumer.close()
  }
}

async function receiveSome(consumer, { group, topic, forgets = 0 }, counts) {
  const received = await consumer.receive(group, topic, { max: 16, invisibleMs: 10_000 })
  counts.received += received.length
  const kept = received.filter(() => Math.random() >= forgets)
  if (kept.length > 0) await consumer.ack(group, topic, kept)
  counts.acknowledged += kept.length
}
