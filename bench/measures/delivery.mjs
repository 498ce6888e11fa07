/** How long a message takes to a consumer that waits for it. */
import { sleep, withGantry } from '../support/gantry.mjs'
import { openMessaging } from '../support/messaging.mjs'
import { figure, median, percentile } from '../support/numbers.mjs'

export default {
  name: 'delivery',
  title: 'Delivery',
  method:
    'One consumer waits in a long poll, a producer on another connection sends 1 KiB about every 10 ms; from the send to the ' +
    'arrival of the complete answer at the consumer, which acknowledges it. The message is durable before it is delivered.',
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
      ]
    }),
}
