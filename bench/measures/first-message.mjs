/** The main job: from sending CreateInstance to the first message received by the official client. */
import { createRequire } from 'node:module'
import { endpointOf, withGantry } from '../support/gantry.mjs'
import { figure, median } from '../support/numbers.mjs'

const require = createRequire(import.meta.url)
const quiet = { info() {}, warn() {}, error() {}, debug() {} }

export default {
  name: 'first-message',
  title: 'CreateInstance to the first message',
  method:
    "Signed calls create an instance, a topic and a group, each waited for by asking every 3 ms until it is RUNNING; then Apache's " +
    '`rocketmq-client-nodejs`, unmodified, starts a producer and a simple consumer on the new endpoint, sends one message and ' +
    'receives it. The client is loaded beforehand, the first round warms it up and does not count; median of the others.',
  run: ({ source, quick, say }) =>
    withGantry(source, async ({ api }) => {
      const { Producer, SimpleConsumer } = require('rocketmq-client-nodejs')
      const rounds = []
      for (let round = 0; round < (quick ? 4 : 10); round++) rounds.push(await once(api, { Producer, SimpleConsumer }))
      const warm = rounds.slice(1)
      const part = (name) => `${figure(median(warm.map((each) => each[name])))} ms`
      const detail = `the first of all ${figure(rounds[0].total)} ms; instance RUNNING after ${part('running')}, topic and group after ${part('children')}, client started after ${part('started')}`
      say(`${figure(median(warm.map(({ total }) => total)))} ms (${detail})`)
      return [
        {
          what: 'CreateInstance sent → first message received by the official client',
          value: median(warm.map(({ total }) => total)),
          budget: 300,
          unit: 'ms',
          detail,
        },
      ]
    }),
}

async function once(api, { Producer, SimpleConsumer }) {
  const from = performance.now()
  const since = () => performance.now() - from
  const id = await api.createInstance()
  const instance = await api.untilRunning(() => api.getInstance(id))
  const running = since()
  await Promise.all([api.createTopic(id, 'topic'), api.createGroup(id, 'group')])
  await Promise.all([
    api.untilRunning(() => api.getTopic(id, 'topic')),
    api.untilRunning(() => api.getGroup(id, 'group')),
  ])
  const children = since()
  const common = { endpoints: endpointOf(instance), namespace: '', logger: quiet }
  const producer = new Producer({ ...common, topics: ['topic'] })
  const consumer = new SimpleConsumer({
    ...common,
    consumerGroup: 'group',
    subscriptions: new Map([['topic', '*']]),
    awaitDuration: 5000,
  })
  await Promise.all([producer.startup(), consumer.startup()])
  const started = since()
  const { messageId } = await producer.send({ topic: 'topic', body: Buffer.from('first') })
  const [message] = await consumer.receive(1, 15_000)
  const total = since()
  if (message?.messageId !== messageId) throw new Error('Another message arrived than was sent.')
  await consumer.ack(message)
  await Promise.all([producer.shutdown(), consumer.shutdown()])
  return { total, running, children, started }
}
