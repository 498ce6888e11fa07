/** From exec to the ready line, over an empty home and over one with a hundred instances. */
import { createApiClient, startGantry, temporaryHome } from '../support/gantry.mjs'
import { figure, median } from '../support/numbers.mjs'

export default {
  name: 'start',
  title: 'Start',
  method:
    'Wall time from spawning `bin/gantry.js up --json` to its ready line; the median of several starts. A server with ' +
    'instances is ready when all of them serve. Between two starts both processes are stopped with SIGTERM.',
  async run({ source, quick, say }) {
    const runs = quick ? 3 : 7
    const empty = []
    for (let run = 0; run < runs; run++) {
      const place = temporaryHome()
      empty.push(await oneStart(source, place.home))
      place.remove()
    }
    say(`empty home: ${empty.map(({ wallMs }) => Math.round(wallMs)).join(', ')} ms`)
    const full = await withHundred(source, runs)
    say(`100 instances: ${full.map(({ wallMs }) => Math.round(wallMs)).join(', ')} ms`)
    return [result('Start to ready, empty home', 500, empty), result('Start to ready, 100 instances', 1000, full)]
  },
}

async function withHundred(source, runs) {
  const place = temporaryHome()
  try {
    const first = await startGantry(source, place.home)
    try {
      const api = createApiClient(source, first.ready)
      await api.manyInstances(100)
      api.close()
    } finally {
      await first.stop()
    }
    const starts = []
    for (let run = 0; run < runs; run++) starts.push(await oneStart(source, place.home))
    return starts
  } finally {
    place.remove()
  }
}

async function oneStart(source, home) {
  const gantry = await startGantry(source, home)
  await gantry.stop()
  return { wallMs: gantry.wallMs, startupMs: gantry.ready.startupMs }
}

function result(what, budget, starts) {
  const wall = starts.map(({ wallMs }) => wallMs)
  const own = median(starts.map(({ startupMs }) => startupMs))
  return {
    what,
    value: median(wall),
    budget,
    unit: 'ms',
    detail: `fastest ${figure(Math.min(...wall))} ms; \`startupMs\` ${figure(own)} (without loading the program)`,
  }
}
