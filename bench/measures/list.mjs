/** ListInstances: a page of a hundred among ten thousand. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { createApiClient, instanceRequest, temporaryHome } from '../support/gantry.mjs'
import { figure, median, percentile } from '../support/numbers.mjs'

export default {
  name: 'list',
  title: 'ListInstances',
  method:
    'A server of its own process with the real API, handlers and SQLite ledger but no engine: 10,000 instances, ' +
    'each with a tag, a topic and a group, are written straight into the ledger, so that no brokers are started for them. ' +
    'Signed calls over a kept connection, one after the other, first and middle pages in turn.',
  async run({ source, quick, say }) {
    const place = temporaryHome()
    mkdirSync(place.home, { recursive: true, mode: 0o700 })
    const count = 10_000
    const child = fork(source.filledApiFile, [place.home, String(count), JSON.stringify(instanceRequest)])
    try {
      const [target] = await Promise.race([
        once(child, 'message'),
        once(child, 'exit').then(([code]) => Promise.reject(new Error(`The filled server ended with code ${code}.`))),
      ])
      const api = createApiClient(source, target)
      for (let i = 0; i < 40; i++) await api.listInstances(1 + (i % 2) * 50, 100)
      const latencies = []
      for (let i = 0; i < (quick ? 100 : 300); i++) {
        const from = performance.now()
        const page = await api.listInstances(1 + (i % 2) * 50, 100)
        latencies.push(performance.now() - from)
        if (page.list.length !== 100 || page.totalCount !== count) throw new Error('The page is not what it should be.')
      }
      api.close()
      say(`median ${figure(median(latencies))} ms`)
      return [
        {
          what: 'ListInstances, page of 100 among 10,000, median',
          value: median(latencies),
          budget: 10,
          unit: 'ms',
          detail: `p99 ${figure(percentile(latencies, 0.99))} ms`,
        },
      ]
    } finally {
      if (child.connected) child.disconnect()
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
      place.remove()
    }
  },
}
