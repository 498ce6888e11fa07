// One member of an orderly group: tells the parent of each message when its listener begins, with the machine's
// monotonic time, so that members of several processes can be put in order. A body that says "bad" always fails, one that
// says "once" fails on its first attempt. Arguments: endpoint, topic, group, pause before each message in ms. Any word of the parent ends it.
import { createRequire } from 'node:module'

const rocketmq = createRequire(import.meta.url)('rocketmq-client-nodejs')
const [endpoints, topic, consumerGroup, pauseMs] = process.argv.slice(2)
const consumer = new rocketmq.PushConsumer({
  endpoints,
  namespace: '',
  logger: { info() {}, warn() {}, error() {}, debug() {} },
  consumerGroup,
  subscriptions: new Map([[topic, '*']]),
  messageListener: {
    async consume({ messageGroup, body, deliveryAttempt }) {
      const text = body.toString()
      process.send({ messageGroup, body: text, attempt: deliveryAttempt, at: String(process.hrtime.bigint()) })
      await new Promise((resolve) => setTimeout(resolve, Number(pauseMs)))
      const fails = text.includes('bad') || (text.includes('once') && deliveryAttempt === 1)
      return fails ? rocketmq.ConsumeResult.FAILURE : rocketmq.ConsumeResult.SUCCESS
    },
  },
})
process.on('message', async () => {
  await consumer.shutdown()
  process.exit(0)
})
process.on('disconnect', () => process.exit(0))
await consumer.startup()
process.send('started')
