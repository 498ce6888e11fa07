/**
 * An hour at a steady rate: whether memory and descriptors level off, and where. Too long for every run: it is measured when it is
 * named (`npm run bench -- soak [--minutes=60] [--write]`), and the page shows the last one that was written (support/soak-page.mjs).
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { sleep, withGantry } from '../support/gantry.mjs'
import { collectGarbage } from '../support/inspector.mjs'
import { holds, tellMemory } from '../support/memory.mjs'
import { median } from '../support/numbers.mjs'
import { groupsOfSoak, startLoad, topicsOfSoak } from '../support/soak-load.mjs'
import { writeSoak } from '../support/soak-page.mjs'

const perSecond = 200
const sampleMs = 10_000
const defaultMinutes = 60
/** Beyond the minutes asked for. */
const startAndStopMs = 120_000

export default {
  name: 'soak',
  title: 'An hour at a steady rate',
  onlyByName: true,
  limitMs: ({ minutes = defaultMinutes }) => minutes * 60_000 + startAndStopMs,
  async run({ source, quick, say, write, machine, minutes = quick ? 1 : defaultMinutes }) {
    const { samples, collected } = await withGantry(source, (gantry) => soak({ source, gantry, minutes, say }))
    const found = judged(samples)
    if (write) writeSoak({ machine, minutes, perSecond, samples, found, collected })
    return [
      { what: 'Resident memory of the broker process, last quarter', value: found.broker.level, unit: 'MB' },
      { what: 'Growth of it over the second half', value: found.broker.slopePerHour, unit: 'MB an hour' },
      { what: 'Resident memory of the management server, last quarter', value: found.management.level, unit: 'MB' },
      { what: 'Growth of it over the second half', value: found.management.slopePerHour, unit: 'MB an hour' },
      { what: 'Descriptors of the broker process, most', value: found.broker.descriptors, unit: '' },
      {
        what: 'Calls that failed',
        value: samples.at(-1).failed,
        unit: `of ${samples.at(-1).sent} sends and their receives`,
      },
    ]
  },
}

async function soak({ source, gantry, minutes, say }) {
  const { api, pids } = gantry
  const folder = mkdtempSync(path.join(tmpdir(), 'gantry-soak-'))
  const fileOf = (process) => path.join(folder, process)
  const ends = new AbortController()
  try {
    const { id, endpoint } = await instanceOf(api)
    for (const process of ['broker', 'management']) await tellMemory(pids[process], fileOf(process), sampleMs / 2)
    const { counts, done } = startLoad({ source, endpoint, perSecond, signal: ends.signal })
    const samples = []
    const from = performance.now()
    const until = from + minutes * 60_000
    const sampling = (async () => {
      for (let said = 0; performance.now() < until; await sleep(sampleMs)) {
        const minute = (performance.now() - from) / 60_000
        const { lastFailure, ...counted } = counts
        samples.push({
          minute,
          ...counted,
          broker: holds(pids.broker, fileOf('broker')),
          management: holds(pids.management, fileOf('management')),
        })
        if (minute < said) continue
        said += 5
        const { broker, management } = samples.at(-1)
        say(
          `minute ${Math.round(minute)}: broker ${Math.round(broker.resident)} MB, server ${Math.round(management.resident)} MB, ${counts.sent} sent, ${counts.failed} failed ${lastFailure}`,
        )
      }
    })()
    await Promise.race([sampling, done])
    await api.getInstance(id)
    const { broker: before } = samples.at(-1)
    await collectGarbage(pids.broker)
    await sleep(sampleMs)
    const { resident, heapUsed, arrayBuffers } = holds(pids.broker, fileOf('broker'))
    say(`before a collection ${Math.round(before.resident)} MB, after it ${Math.round(resident)} MB`)
    return { samples, collected: { minute: minutes, resident, heapUsed, arrayBuffers } }
  } finally {
    ends.abort()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function instanceOf(api) {
  const concurrent = groupsOfSoak.filter((group) => group !== 'orderly')
  const { id, endpoint } = await api.runningInstance({ topics: [], groups: concurrent })
  await api.createGroup(id, 'orderly', 'Orderly')
  for (const [topic, messageType] of Object.entries(topicsOfSoak)) await api.createTopic(id, topic, messageType)
  for (const topic of Object.keys(topicsOfSoak)) await api.untilRunning(() => api.getTopic(id, topic))
  await api.untilRunning(() => api.getGroup(id, 'orderly'))
  return { id, endpoint }
}

/** Where each process levels off, when it came within a twentieth of that, and how fast it still grew. */
function judged(samples) {
  const of = (process) => {
    const resident = samples.map((sample) => sample[process].resident)
    const level = median(resident.slice(Math.floor(resident.length * 0.75)))
    const half = samples.slice(Math.floor(samples.length / 2))
    return {
      level,
      most: Math.max(...resident),
      reachedMinute: samples[resident.findIndex((mb) => mb >= level * 0.95)].minute,
      slopePerHour: slope(
        half.map(({ minute }) => minute / 60),
        half.map((sample) => sample[process].resident),
      ),
      descriptors: Math.max(...samples.map((sample) => sample[process].descriptors)),
      last: samples.at(-1)[process],
    }
  }
  return { broker: of('broker'), management: of('management') }
}

/** Of the straight line closest to the points. */
function slope(xs, ys) {
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length
  const [meanX, meanY] = [mean(xs), mean(ys)]
  const over = xs.reduce((sum, x, index) => sum + (x - meanX) * (ys[index] - meanY), 0)
  const under = xs.reduce((sum, x) => sum + (x - meanX) ** 2, 0)
  return under === 0 ? 0 : over / under
}
