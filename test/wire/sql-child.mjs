// A push consumer with an SQL92 expression: tells the parent the bodies it got, once the last one came. Arguments: endpoint, topic, group, expression, how many.
import { createRequire } from 'node:module'

const rocketmq = createRequire(import.meta.url)('rocketmq-client-nodejs')
const [endpoints, topic, consumerGroup, expression, count] = process.argv.slice(2)
const logger = { info() {}, warn() {}, error() {}, debug() {} }
const sql = 2
const bodies = []
const consumer = new rocketmq.PushConsumer({
  endpoints,
  namespace: '',
  logger,
  consumerGroup,
  subscriptions: new Map([[topic, new rocketmq.FilterExpression(expression, sql)]]),
  messageListener: {
    async consume({ body }) {
      bodies.push(body.toString())
      // A moment longer, for what should not come.
      if (bodies.length === Number(count)) setTimeout(() => process.send(bodies.sort(), () => process.exit(0)), 1000)
      return rocketmq.ConsumeResult.SUCCESS
    },
  },
})
await consumer.startup()
