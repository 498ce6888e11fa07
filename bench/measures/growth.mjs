/** What a message costs beside 1×, 10× and 100× of everything that could make it dearer. */
import { cpuMs, forSeconds, inLanes, sleep, withGantry } from '../support/gantry.mjs'
import { asOftenAsAllowed, openMessaging } from '../support/messaging.mjs'
import { figure } from '../support/numbers.mjs'

export default {
  name: 'growth',
  title: 'Growth',
  method:
    'CPU of the broker process for one message of 1 KiB sent, received by long poll and acknowledged, three gRPC calls, 64 in flight, ' +
    'beside 1×, 10× and 100× of what the plot names. Topics: the load goes round over all of them. Instances: the load goes to one, the ' +
    'others lie idle. Delayed: messages of the same instance that wait for a time far off.',
  async run({ source, quick, say }) {
    const series = []
    for (const one of [retained, unacknowledged, delayed, topics, instances]) {
      const found = await withGantry(source, (gantry) => one({ source, gantry, seconds: quick ? 1 : 2.5, quick }))
      say(`${found.title}: ${found.points.map(({ x, y }) => `${figure(x)} → ${figure(y)} µs`).join(', ')}`)
      series.push(found)
    }
    return series.map((each) => ({
      what: `Cost of a message beside ${figure(each.points.at(-1).x / each.points[0].x)}× ${each.title}`,
      value: each.points.at(-1).y / each.points[0].y,
      budget: 1.25,
      unit: '× the cost beside 1×',
      detail: each.points.map(({ x, y }) => `${figure(y)} µs at ${figure(x)}`).join(', '),
      plot: { ...each, name: `growth-${each.name}`, unit: 'µs of CPU a message' },
    }))
  },
}

async function retained({ source, gantry, seconds, quick }) {
  const { endpoint } = await gantry.api.runningInstance({ topics: ['topic'] })
  const messaging = await openMessaging(source, endpoint, 4)
  const points = []
  let sent = 0
  const warm = lives(messaging, gantry, () => 'topic', { count: (messages) => (sent += messages) })
  await warm(quick ? 0.5 : 1)
  for (const target of quick ? [3_000, 30_000, 300_000] : [10_000, 100_000, 1_000_000]) {
    await fill(messaging, 'topic', target - sent)
    sent = Math.max(sent, target)
    // A group of its own for each level: on a topic with more than 100,000 messages it begins at the end.
    const group = `group-${target}`
    await drain(messaging, group, 'topic', sent <= 100_000 ? sent : 0)
    const life = lives(messaging, gantry, () => 'topic', { group, count: (messages) => (sent += messages) })
    await life(0.5)
    points.push({ x: target, y: await life(seconds) })
  }
  messaging.close()
  return { name: 'retained', title: 'messages retained', points }
}

async function unacknowledged({ source, gantry, seconds }) {
  const { endpoint } = await gantry.api.runningInstance({ topics: ['topic'] })
  const messaging = await openMessaging(source, endpoint, 4)
  const life = lives(messaging, gantry, () => 'topic')
  await life(seconds)
  const points = []
  let held = 0
  for (const target of [900, 9_000, 90_000]) {
    await fill(messaging, 'topic', target - held)
    while (held < target) {
      held += (await messaging.receive('group', 'topic', { max: 32, invisibleMs: 3_600_000 })).length
    }
    await life(0.5)
    points.push({ x: target, y: await life(seconds) })
  }
  messaging.close()
  return { name: 'unacknowledged', title: 'messages unacknowledged', points }
}

async function delayed({ source, gantry, seconds, quick }) {
  const { api } = gantry
  const { id, endpoint } = await api.runningInstance({ topics: ['topic'] })
  await api.createTopic(id, 'later', 'DELAY')
  await api.untilRunning(() => api.getTopic(id, 'later'))
  const messaging = await openMessaging(source, endpoint, 4)
  const life = lives(messaging, gantry, () => 'topic')
  await life(seconds)
  const points = []
  let waiting = 0
  const deliverAtMs = Date.now() + 24 * 3_600_000
  for (const target of quick ? [640, 6_400, 64_000] : [3_200, 32_000, 320_000]) {
    const sends = Array.from({ length: (target - waiting) / 64 })
    await inLanes(4, sends, () => asOftenAsAllowed(() => messaging.send('later', 100, 64, { deliverAtMs })))
    waiting = target
    await sleep(500)
    await life(0.5)
    points.push({ x: target, y: await life(seconds) })
  }
  messaging.close()
  return { name: 'delayed', title: 'messages that wait for their time', points }
}

async function topics({ source, gantry, seconds }) {
  const { api } = gantry
  const { id, endpoint } = await api.runningInstance({ topics: [] })
  const messaging = await openMessaging(source, endpoint, 4)
  const names = []
  const points = []
  for (const target of [1, 10, 100, 1_000]) {
    const added = Array.from({ length: target - names.length }, (_, index) => `topic-${names.length + index}`)
    await inLanes(16, added, (topic) => api.createTopic(id, topic))
    for (const topic of added) await api.untilRunning(() => api.getTopic(id, topic))
    names.push(...added)
    let turn = 0
    const life = lives(messaging, gantry, () => names[turn++ % names.length])
    await life(seconds)
    points.push({ x: target, y: await life(seconds) })
  }
  messaging.close()
  return { name: 'topics', title: 'topics', points }
}

async function instances({ source, gantry, seconds, quick }) {
  const { endpoint } = await gantry.api.runningInstance({ topics: ['topic'] })
  const messaging = await openMessaging(source, endpoint, 4)
  const life = lives(messaging, gantry, () => 'topic')
  await life(seconds)
  const points = []
  let held = 1
  for (const target of quick ? [1, 10, 100] : [1, 10, 100, 1_000]) {
    await gantry.api.manyInstances(target - held)
    held = target
    await life(0.5)
    points.push({ x: target, y: await life(seconds) })
  }
  messaging.close()
  return { name: 'instances', title: 'instances', points }
}

/** Messages in lanes, each sent, received and acknowledged; answers microseconds of the broker's CPU for one. */
function lives(messaging, { pids }, topicOf, { group = 'group', count = () => {} } = {}) {
  return async (seconds) => {
    const before = cpuMs(pids.broker)
    const { done } = await forSeconds(seconds, 64, async () => {
      const topic = topicOf()
      const [received] = await Promise.all([messaging.receive(group, topic), messaging.send(topic, 1024)])
      if (received.length > 0) await messaging.ack(group, topic, received)
    })
    count(done)
    return ((cpuMs(pids.broker) - before) * 1000) / done
  }
}

async function fill(messaging, topic, count) {
  const whole = Math.floor(Math.max(0, count) / 64)
  await inLanes(16, Array.from({ length: whole }), () => asOftenAsAllowed(() => messaging.send(topic, 100, 64)))
  for (let i = whole * 64; i < count; i++) await messaging.send(topic, 100)
}

/** The group passes over everything there is, so that the load receives what it sends; 0 only makes it known. */
async function drain(messaging, group, topic, count) {
  let left = count
  if (left === 0) await messaging.receive(group, topic)
  while (left > 0) {
    const received = await messaging.receive(group, topic, { max: 32 })
    if (received.length === 0) throw new Error(`${left} messages did not arrive.`)
    await messaging.ack(group, topic, received)
    left -= received.length
  }
}
