/** What a message of each kind costs from its send to its acknowledgement, and receives and acknowledgements by themselves. */
import { clientShare, inLanes, sleep, watched, withGantry } from '../support/gantry.mjs'
import { asOftenAsAllowed, openMessaging } from '../support/messaging.mjs'
import { figure, median, percentile } from '../support/numbers.mjs'

const groups = Array.from({ length: 64 }, (_, index) => `group-${index}`)

/** Whole seconds, for that is how exactly the product delivers. */
const dueAt = () => Math.ceil((Date.now() + 1_000) / 1_000) * 1_000

/** `produce` sends one message. */
const kinds = {
  NORMAL: { produce: (messaging) => messaging.send('topic', 1024) },
  FIFO: {
    deliveryOrderType: 'Orderly',
    produce: (messaging, lane) => messaging.send('topic', 1024, 1, { messageGroup: groups[lane] }),
  },
  DELAY: {
    produce: (messaging, _, due) => {
      const deliverAtMs = dueAt()
      return messaging.send('topic', 1024, 1, { deliverAtMs }).then((id) => due.set(id, deliverAtMs))
    },
  },
  TRANSACTION: { produce: (messaging) => messaging.sendAndCommit('topic', 1024) },
}

export default {
  name: 'kinds',
  title: 'Kinds of messages',
  method:
    'For each kind an instance of its own: 64 producers, each waiting for its answer before the next send of 1 KiB, while 16 consumers ' +
    'receive up to 32 at a time and acknowledge what they got in one call; until everything has been acknowledged. FIFO: each ' +
    'producer sends to its own message group, and the consumer group is orderly. Delayed: due one to two seconds after the send, at a whole second, and how late ' +
    'after that they arrive. Transactional: a half message and its commit, two calls. Then, of NORMAL messages, receives of what ' +
    'waits (32 at a time, 8 consumers) and acknowledgements one by one, 64 in flight. CPU is what the kernel charged the broker process.',
  async run({ source, quick, say }) {
    const results = []
    const bars = []
    for (const [kind, how] of Object.entries(kinds)) {
      const found = await withGantry(source, (gantry) => flow({ source, gantry, kind, how, seconds: quick ? 1 : 3 }))
      say(`${kind}: ${figure(found.perSecond)}/s, ${figure(found.cpuMicros)} µs`)
      bars.push({ label: kind, value: found.cpuMicros })
      results.push({
        what: `${kind} message, sent to acknowledged`,
        value: found.cpuMicros,
        unit: 'µs of CPU',
        // A delayed message waits most of its time.
        detail: `${found.late === '' ? `${figure(found.perSecond)}/s, ` : ''}${clientShare(found)}${found.late}`,
      })
    }
    const { receives, acks } = await withGantry(source, (gantry) => apart({ source, gantry, quick }))
    for (const [what, label, found] of [
      ['Receives of waiting messages, 32 at a time', 'receive by 32', receives],
      ['Acknowledgements one by one, 64 in flight', 'acknowledge', acks],
    ]) {
      say(`${what}: ${figure(found.perSecond)}/s, ${figure(found.cpuMicros)} µs`)
      bars.push({ label, value: found.cpuMicros })
      const detail = `${figure(found.perSecond)}/s, ${clientShare(found)}`
      results.push({ what, value: found.cpuMicros, unit: 'µs of CPU each', detail })
    }
    results[0].bars = { name: 'kinds', unit: 'µs of CPU of the broker process, each', bars }
    return results
  },
}

async function flow({ source, gantry, kind, how, seconds }) {
  const { endpoint } = await gantry.api.runningInstance({ messageType: kind, deliveryOrderType: how.deliveryOrderType })
  const producer = await openMessaging(source, endpoint, 4)
  const consumer = await openMessaging(source, endpoint, 4)
  const due = new Map()
  const lateMs = []
  let sent = 0
  let acknowledged = 0
  let over = false
  const consume = async () => {
    while (!over) {
      const received = await consumer.receive('group', 'topic', { max: 32 })
      const now = Date.now()
      for (const { messageId } of received) if (due.has(messageId)) lateMs.push(now - due.get(messageId))
      if (received.length > 0) await consumer.ack('group', 'topic', received)
      acknowledged += received.length
    }
  }
  const produce = async (forMs) => {
    const before = sent
    const until = performance.now() + forMs
    await inLanes(groups.length, groups, async (_, lane) => {
      for (; performance.now() < until; sent++) await how.produce(producer, lane, due)
    })
    while (acknowledged < sent) await sleep(2)
    return sent - before
  }
  // At the end they are left waiting in their polls, whose connections are closed under them.
  const consumers = Promise.all(Array.from({ length: 16 }, consume)).catch((error) => {
    if (!over) throw error
  })
  const found = await Promise.race([
    consumers,
    (async () => {
      await produce(1_000)
      lateMs.length = 0
      return watched(gantry, () => produce(seconds * 1000))
    })(),
  ])
  over = true
  producer.close()
  consumer.close()
  const late = () =>
    `; arrived after they were due: median ${figure(median(lateMs))} ms, p99 ${figure(percentile(lateMs, 0.99))} ms`
  return { ...found, late: lateMs.length > 0 ? late() : '' }
}

async function apart({ source, gantry, quick }) {
  const { endpoint } = await gantry.api.runningInstance({ groups: ['group', 'warm'] })
  const messaging = await openMessaging(source, endpoint, 4)
  const count = quick ? 20_000 : 90_000
  const waiting = Array.from({ length: Math.floor(count / 64) })
  await inLanes(16, waiting, () => asOftenAsAllowed(() => messaging.send('topic', 1024, 64)))
  const receiveAll = async (group, most, keep) => {
    let received = 0
    await inLanes(8, Array.from({ length: 8 }), async () => {
      while (received < most) {
        const got = await messaging.receive(group, 'topic', { max: 32 })
        received += got.length
        keep.push(...got)
      }
    })
    return received
  }
  await receiveAll('warm', count / 4, [])
  const held = []
  const receives = await watched(gantry, () => receiveAll('group', (waiting.length - 8) * 64, held))
  const acknowledge = async () => messaging.ack('group', 'topic', [held.pop()])
  for (let i = 0; i < 2_000; i++) await acknowledge()
  const acks = await watched(gantry, async () => {
    const all = held.length
    await inLanes(64, held.slice(), acknowledge)
    return all
  })
  messaging.close()
  return { receives, acks }
}
