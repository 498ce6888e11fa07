// Sends and receives with the official client: a producer, a push and a simple consumer; tells the parent what came.
// In a process of its own, because a push consumer leaves timers behind and trust is read when the client is loaded.
// Arguments: endpoint, topic, group, count, tls or plain.
import { createRequire } from 'node:module'

const rocketmq = createRequire(import.meta.url)('rocketmq-client-nodejs')
const [endpoint, topic, group, countText, line] = process.argv.slice(2)
const count = Number(countText)
const quiet = { info() {}, warn() {}, error() {}, debug() {} }
const common = { endpoints: endpoint, namespace: '', logger: quiet, sslEnabled: line === 'tls' }

const producer = new rocketmq.Producer({ ...common, topics: [topic] })
const pushed = new Map()
let repeats = 0
const push = new rocketmq.PushConsumer({
  ...common,
  consumerGroup: `${group}-push`,
  subscriptions: new Map([[topic, '*']]),
  messageListener: {
    async consume(message) {
      if (pushed.has(message.messageId)) repeats++
      pushed.set(message.messageId, message.body.toString())
      return rocketmq.ConsumeResult.SUCCESS
    },
  },
})
const simple = new rocketmq.SimpleConsumer({
  ...common,
  consumerGroup: group,
  subscriptions: new Map([[topic, '*']]),
  awaitDuration: 5000,
})
await Promise.all([producer.startup(), push.startup(), simple.startup()])

const sent = new Map()
let next = 0
await Promise.all(
  Array.from({ length: 32 }, async () => {
    while (next < count) {
      const body = `secret ${next++}`
      sent.set((await producer.send({ topic, body: Buffer.from(body) })).messageId, body)
    }
  }),
)
const received = new Map()
for (let empty = 0; received.size < count && empty < 3; ) {
  const messages = await simple.receive(32, 30_000)
  if (messages.length === 0) empty++
  for (const message of messages) {
    if (received.has(message.messageId)) repeats++
    received.set(message.messageId, message.body.toString())
    await simple.ack(message)
  }
}
for (let tries = 0; pushed.size < count && tries < 500; tries++) await new Promise((resolve) => setTimeout(resolve, 20))
const matches = (got) => [...sent].every(([id, body]) => got.get(id) === body)
process.send({
  sent: sent.size,
  simple: received.size,
  push: pushed.size,
  repeats,
  same: matches(received) && matches(pushed),
})
await Promise.all([producer.shutdown(), simple.shutdown()])
process.exit(0)
