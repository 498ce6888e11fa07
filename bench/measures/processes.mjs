/** Two busy instances in one broker process and in two, and what a busy instance does to a quiet one beside it. */
import { forSeconds, withGantry } from '../support/gantry.mjs'
import { openMessaging } from '../support/messaging.mjs'
import { figure, median, percentile } from '../support/numbers.mjs'

export default {
  name: 'processes',
  title: 'Broker processes',
  method:
    'Two instances, 128 durable sends of 1 KiB in flight on each (with few in flight all wait for the one disk), first with both in one broker process and then in two; the ' +
    'load client shares the cores, so the ratio is a lower bound. Then one send at a time on the second instance while the ' +
    'first one is busy, against the same while nothing else happens.',
  async run({ source, quick, say }) {
    const rounds = quick ? 1 : 3
    const seen = { 1: [], 2: [] }
    for (let round = 0; round < rounds; round++)
      for (const processes of [1, 2]) seen[processes].push(await oneRound(source, processes, quick ? 1 : 2))
    const of = (processes, name) => median(seen[processes].map((each) => each[name]))
    const ratio = of(2, 'perSecond') / of(1, 'perSecond')
    say(`two processes carry ${figure(ratio)} times what one carries`)
    const beside = (processes) =>
      `alone ${figure(of(processes, 'alone'))} ms, beside a busy one ${figure(of(processes, 'beside'))} ms, p99 ${figure(of(processes, 'besideP99'))} ms`
    return [
      {
        what: 'Sends of two instances, two broker processes against one',
        value: ratio,
        budget: 1.2,
        more: true,
        unit: '×',
        detail: `${figure(of(1, 'perSecond'))}/s in one, ${figure(of(2, 'perSecond'))}/s in two; the load client used ${figure(of(1, 'client') * 100)} and ${figure(of(2, 'client') * 100)} % of a core`,
      },
      {
        what: 'One send on a quiet instance beside a busy one in the same process',
        value: of(1, 'beside'),
        budget: 15,
        unit: 'ms',
        detail: `${beside(1)}; in another process ${beside(2)}`,
      },
    ]
  },
}

const oneRound = (source, processes, seconds) =>
  withGantry(
    source,
    async ({ api }) => {
      const instances = [await api.runningInstance(), await api.runningInstance()]
      const [busy, quiet] = await Promise.all(instances.map(({ endpoint }) => openMessaging(source, endpoint, 2)))
      const load = (messaging, time) => forSeconds(time, 128, () => messaging.send('topic', 1024))
      await Promise.all([load(busy, seconds / 2), load(quiet, seconds / 2)])
      const own = process.cpuUsage()
      const both = await Promise.all([load(busy, seconds), load(quiet, seconds)])
      const { user, system } = process.cpuUsage(own)
      const single = async () => {
        const took = []
        await forSeconds(seconds, 1, async () => {
          const from = performance.now()
          await quiet.send('topic', 1024)
          took.push(performance.now() - from)
        })
        return took
      }
      const alone = await single()
      const [beside] = await Promise.all([single(), load(busy, seconds)])
      busy.close()
      quiet.close()
      return {
        perSecond: both.reduce((sum, { done, ms }) => sum + (done / ms) * 1000, 0),
        client: (user + system) / 1000 / both[0].ms,
        alone: median(alone),
        beside: median(beside),
        besideP99: percentile(beside, 0.99),
      }
    },
    { GANTRY_BROKER_PROCESSES: String(processes) },
  )
