/** CreateInstance: how long its durable reply takes, and how many a second. */
import { forSeconds, withGantry } from '../support/gantry.mjs'
import { figure, median, percentile } from '../support/numbers.mjs'

export default {
  name: 'create',
  title: 'CreateInstance',
  method:
    'Signed calls over kept HTTP connections to a real server; each reply comes after the ledger is durable, and the ' +
    'loop starts a broker for each instance meanwhile. One after the other for the latency, then sixteen in flight. ' +
    'The first calls warm the program up and do not count.',
  run: ({ source, quick, say }) =>
    withGantry(source, async ({ api }) => {
      for (let i = 0; i < 30; i++) await api.createInstance()
      const latencies = []
      for (let i = 0; i < (quick ? 60 : 200); i++) {
        const from = performance.now()
        await api.createInstance()
        latencies.push(performance.now() - from)
      }
      say(`one at a time: median ${figure(median(latencies))} ms`)
      const ids = []
      const from = performance.now()
      const { done, ms } = await forSeconds(quick ? 1 : 2, 16, async () => ids.push(await api.createInstance()))
      for (const id of ids) await api.untilRunning(() => api.getInstance(id))
      const allRunning = performance.now() - from
      say(`16 in flight: ${figure((done / ms) * 1000)}/s`)
      return [
        { what: 'CreateInstance reply, durable, median', value: median(latencies), budget: 5, unit: 'ms' },
        { what: 'CreateInstance reply, durable, p99', value: percentile(latencies, 0.99), budget: 25, unit: 'ms' },
        {
          what: 'CreateInstance, 16 in flight',
          value: (done / ms) * 1000,
          budget: 300,
          more: true,
          unit: '/s',
          detail: `${ids.length} instances all RUNNING ${figure(allRunning)} ms after the first call, ${figure((ids.length / allRunning) * 1000)}/s`,
        },
      ]
    }),
}
