/** How long an instance is away when its broker process is killed, by the data it holds. */
import { inLanes, sleep, withGantry } from '../support/gantry.mjs'
import { openMessaging } from '../support/messaging.mjs'
import { figure, median } from '../support/numbers.mjs'

const bodyBytes = 4_000
const limitMs = 30_000

export default {
  name: 'recovery',
  title: 'Recovery after kill -9',
  method:
    'The broker process of an instance that holds the data, written in messages of 4,000 bytes, is killed with SIGKILL right after a durable ' +
    'send; from then until a send on a new connection is durable again. The management server notices, pauses, starts a process, ' +
    'and that opens the log. Three kills at each size, each size with a server of its own; the pauses are 50, 100 and 200 ms and are ' +
    'part of the times. The plot shows the median.',
  async run({ source, quick, say }) {
    const points = []
    const told = []
    for (const mb of quick ? [2, 20] : [10, 100, 1_000]) {
      const away = await withGantry(source, async ({ api, pids }) => {
        const { endpoint } = await api.runningInstance()
        await fill(source, endpoint, mb)
        const all = []
        for (let kill = 0; kill < 3; kill++) all.push(await oneKill({ source, endpoint, pids }))
        return all
      })
      points.push({ x: mb, y: median(away) })
      told.push(`${away.map(figure).join(', ')} ms with ${figure(mb)} MB`)
      say(told.at(-1))
    }
    return [
      {
        what: `Away after kill -9 of the broker process, with ${figure(points.at(-1).x)} MB of messages`,
        value: points.at(-1).y,
        unit: 'ms',
        detail: told.join('; '),
        plot: { name: 'recovery', title: 'MB of messages', unit: 'ms from kill -9 to the next durable send', points },
      },
    ]
  },
}

async function fill(source, endpoint, mb) {
  const messaging = await openMessaging(source, endpoint, 4)
  const sends = Array.from({ length: Math.ceil((mb * 1e6) / bodyBytes / 64) })
  await inLanes(8, sends, () => messaging.send('topic', bodyBytes, 64))
  messaging.close()
}

async function oneKill({ source, endpoint, pids }) {
  const before = await openMessaging(source, endpoint)
  await before.send('topic', bodyBytes)
  const from = performance.now()
  process.kill(pids.broker, 'SIGKILL')
  for (;;) {
    try {
      const after = await openMessaging(source, endpoint)
      await after.send('topic', bodyBytes)
      after.close()
      before.close()
      return performance.now() - from
    } catch (error) {
      if (performance.now() - from > limitMs) throw error
      await sleep(2)
    }
  }
}
