// A producer without credentials: prints how its start ended. In a process of its own, because the client keeps
// redialling its telemetry stream for ever after a start that failed. Arguments: endpoint, topic.
import { createRequire } from 'node:module'

const rocketmq = createRequire(import.meta.url)('rocketmq-client-nodejs')
const [endpoints, topic] = process.argv.slice(2)
const logger = { info() {}, warn() {}, error() {}, debug() {} }
const producer = new rocketmq.Producer({ endpoints, namespace: '', logger, topics: [topic] })
const outcome = await producer.startup().then(
  () => 'started',
  (error) => `${error.cause?.cause?.message ?? error.message}`,
)
process.stdout.write(outcome, () => process.exit(0))
