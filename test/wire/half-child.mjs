// A producer that sends half messages and dies before it decides any: tells the parent their ids, and is gone with SIGKILL.
// Arguments: endpoint, topic, count.
import { createRequire } from 'node:module'

const rocketmq = createRequire(import.meta.url)('rocketmq-client-nodejs')
const [endpoints, topic, count] = process.argv.slice(2)
const logger = { info() {}, warn() {}, error() {}, debug() {} }
// Never asked: it is gone before the first check. 0 is "unknown".
const checker = { check: async () => 0 }
const producer = new rocketmq.Producer({ endpoints, namespace: '', logger, topics: [topic], checker })
await producer.startup()
const ids = []
for (let i = 0; i < Number(count); i++) {
  const body = Buffer.from(i % 2 === 0 ? 'commit me' : 'roll me back')
  const { messageId } = await producer.send({ topic, tag: 'tag', body }, producer.beginTransaction())
  ids.push(messageId)
}
process.send(ids, () => process.kill(process.pid, 'SIGKILL'))
