// One lite push consumer: subscribes to what its parent says ({subscribe} or {unsubscribe} a lite topic), and tells of each
// message when its listener begins. A body that says "later" is suspended for a second the first time. The word
// "leave" shuts it down. Arguments: endpoint, topic, group.
import { createRequire } from 'node:module'

const rocketmq = createRequire(import.meta.url)('rocketmq-client-nodejs')
const [endpoints, bindTopic, consumerGroup] = process.argv.slice(2)
const suspended = new Set()
const consumer = new rocketmq.LitePushConsumerImpl({
  endpoints,
  namespace: '',
  logger: { info() {}, warn() {}, error() {}, debug() {} },
  bindTopic,
  consumerGroup,
  messageListener: {
    async consume({ liteTopic, body, deliveryAttempt, messageId }) {
      const text = body.toString()
      process.send({ liteTopic, body: text, attempt: deliveryAttempt })
      if (!text.includes('later') || suspended.has(messageId)) return rocketmq.ConsumeResult.SUCCESS
      suspended.add(messageId)
      return rocketmq.ConsumeResultSuspend.of(1_000)
    },
  },
})
process.on('message', async (order) => {
  if (order === 'leave') {
    await consumer.shutdown()
    process.exit(0)
  }
  try {
    if (order.unsubscribe) await consumer.unsubscribeLite(order.unsubscribe)
    else await consumer.subscribeLite(order.subscribe, order.fromFirst ? rocketmq.OffsetOption.MIN_OFFSET : undefined)
    process.send({ answer: 'done' })
  } catch (error) {
    process.send({ answer: String(error.code ?? error.message) })
  }
})
process.on('disconnect', () => process.exit(0))
await consumer.startup()
process.send({ answer: 'started' })
