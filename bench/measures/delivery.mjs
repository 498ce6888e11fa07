/** How long a message takes to a consumer that waits for it. */
import { sleep, withGantry } from '../support/gantry.mjs'
import { openMessaging } from '../support/messaging.mjs'
import { figure, median, percentile } from '../support/numbers.mjs'

export default {
  name: 'delivery',
  title: 'Delivery',
  method:
    'One consumer waits in a long poll, a producer on another connection sends 1 KiB about every 10 ms; from the send to the ' +
    'arrival of the complete answer at the consumer, which acknowledges it. The message is durable before it is delivered. Then ' +
    'steady streams of 1 KiB to sixteen consumers that receive up to 32 at a time and acknowledge.',
  run: ({ source, quick, say }) =>
    withGantry(source, async ({ api }) => {
      const { endpoint } = await api.runningInstance()
      const producer = await openMessaging(source, endpoint)
      const consumer = await openMessaging(source, endpoint)
      const one = async () => {
        const waiting = consumer.receive('group', 'topic')
        await sleep(5)
        const from = performance.now()
        const sent = producer.send('topic', 1024)
        const received = await waiting
        const took = performance.now() - from
        if (received.length !== 1) throw new Error('The message did not arrive.')
        await sent
        await consumer.ack('group', 'topic', received)
        await sleep(3)
        return took
      }
      for (let i = 0; i < 200; i++) await one()
      const latencies = []
      for (let i = 0; i < (quick ? 200 : 1000); i++) latencies.push(await one())
      producer.close()
      consumer.close()
      say(`median ${figure(median(latencies))} ms, p99 ${figure(percentile(latencies, 0.99))} ms`)
      const steady = []
      for (const perSecond of [100, 1_000, 4_000]) {
        steady.push({ perSecond, ...(await atRate({ source, endpoint, perSecond, seconds: quick ? 1 : 4 })) })
        const { median, p99 } = steady.at(-1)
        say(`at ${perSecond}/s: median ${figure(median)} ms, p99 ${figure(p99)} ms`)
      }
      return [
        {
          what: 'Send → delivery to a waiting consumer, light load, median',
          value: median(latencies),
          budget: 3,
          unit: 'ms',
        },
        {
          what: 'Send → delivery to a waiting consumer, light load, p99',
          value: percentile(latencies, 0.99),
          budget: 15,
          unit: 'ms',
        },
        {
          what: 'Send → delivery at 4,000 messages/s, median',
          value: steady.at(-1).median,
          unit: 'ms',
          detail: steady
            .map(
              ({ perSecond, median, p99 }) =>
                `at ${figure(perSecond)}/s median ${figure(median)} ms, p99 ${figure(p99)} ms`,
            )
            .join('; '),
          plot: {
            name: 'delivery-rate',
            title: 'messages a second',
            unit: 'ms from send to delivery, median',
            points: steady.map(({ perSecond, median }) => ({ x: perSecond, y: median })),
          },
        },
      ]
    }),
}

/** A steady stream to sixteen waiting consumers; milliseconds from each send to the arrival of that message. */
async function atRate({ source, endpoint, perSecond, seconds }) {
  const producer = await openMessaging(source, endpoint, 4)
  const consumer = await openMessaging(source, endpoint, 4)
  const sentAt = new Map()
  const took = []
  let over = false
  const consume = async () => {
    while (!over) {
      const received = await consumer.receive('group', 'topic', { max: 32 })
      const now = performance.now()
      for (const { messageId } of received) {
        if (sentAt.has(messageId)) took.push(now - sentAt.get(messageId))
        sentAt.delete(messageId)
      }
      if (received.length > 0) await consumer.ack('group', 'topic', received)
    }
  }
  const consumers = Promise.all(Array.from({ length: 16 }, consume)).catch((error) => {
    if (!over) throw error
  })
  const sends = []
  const send = (at) => {
    const { messageId, done } = producer.sendKnown('topic', 1024)
    sentAt.set(messageId, at)
    sends.push(done)
  }
  const produce = async () => {
    const from = performance.now()
    for (let sent = 0; ; await sleep(2)) {
      const now = performance.now()
      if (now - from > seconds * 1000) break
      for (const due = ((now - from) / 1000) * perSecond; sent < due; sent++) send(now)
    }
    await Promise.all(sends)
    while (sentAt.size > 0) await sleep(5)
  }
  await Promise.race([consumers, produce()])
  over = true
  producer.close()
  consumer.close()
  return { median: median(took), p99: percentile(took, 0.99) }
}
