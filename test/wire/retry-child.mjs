// A push listener that fails on the first delivery: tells the parent the attempts it saw. Arguments: endpoint, topic, group.
import { createRequire } from 'node:module'

const rocketmq = createRequire(import.meta.url)('rocketmq-client-nodejs')
const [endpoints, topic, consumerGroup] = process.argv.slice(2)
const logger = { info() {}, warn() {}, error() {}, debug() {} }
const producer = new rocketmq.Producer({ endpoints, namespace: '', logger, topics: [topic] })
const attempts = []
const consumer = new rocketmq.PushConsumer({
  endpoints,
  namespace: '',
  logger,
  consumerGroup,
  subscriptions: new Map([[topic, '*']]),
  messageListener: {
    async consume({ deliveryAttempt }) {
      attempts.push(deliveryAttempt)
      if (deliveryAttempt === 1) return rocketmq.ConsumeResult.FAILURE
      process.send(attempts, () => process.exit(0))
      return rocketmq.ConsumeResult.SUCCESS
    },
  },
})
await Promise.all([producer.startup(), consumer.startup()])
await producer.send({ topic, body: Buffer.from('again') })
