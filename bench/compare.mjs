/**
 * Two built checkouts against each other, for a machine that is not quiet: `node bench/compare.mjs <other checkout>`.
 *
 * Both servers run at the same time over homes of their own and only one is under load, in short turns that alternate, so
 * that whatever else the machine does meets both alike. One pair of processes may differ by a tenth from the next of the
 * same two programs, for reasons of its own (control runs: 0.92 to 1.04), so several pairs are started. Says each figure of
 * both and the median of the pairs' ratios, this checkout to the other, with their spread; above 1 this one costs more. CPU
 * is what the kernel charged the broker process.
 */
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { cleanUp, cpuMs, forSeconds, residentMb, sleep, startGantry, temporaryHome } from './support/gantry.mjs'
import { openMessaging } from './support/messaging.mjs'
import { figure, median, percentile } from './support/numbers.mjs'
import { loadSource, removeSource, root } from './support/source.mjs'

const [other, rounds = '3', seconds = '1', only = '', pairs = '5'] = process.argv.slice(2)
if (other === undefined) {
  console.error(
    'Usage: node bench/compare.mjs <other built checkout> [rounds a pair] [seconds a turn] [send|cycle|delivery] [pairs of servers]',
  )
  process.exit(2)
}
const source = await loadSource()
/** By figure, the ratio of each pair of servers and the values of both sides. */
const figures = new Map()
try {
  const starts = { here: [], there: [] }
  for (let i = 0; i < 5; i++) for (const side of ['here', 'there']) starts[side].push(await oneStart(side))
  note('start over an empty home, ms', starts)
  for (let pair = 0; pair < Number(pairs); pair++) await comparePair(pair)
  for (const [what, found] of figures) tell(what, found)
} finally {
  await cleanUp()
  removeSource()
}
process.exit(0)

/** Whichever began first may have the better memory or the warmer disk, so the sides take turns in that, too. */
async function comparePair(pair) {
  const sides = {}
  for (const side of pair % 2 === 0 ? ['here', 'there'] : ['there', 'here']) sides[side] = await open(side)
  await sleep(4_000)
  note(
    'resident memory with one idle instance, MB',
    each(sides, (side) => [memory(side)]),
  )
  for (const [what, turn] of Object.entries({ send, cycle, delivery })) {
    if (only !== '' && only !== what) continue
    const seen = { here: [], there: [] }
    for (const side of ['here', 'there']) for (let i = 0; i < 2; i++) await turn(sides[side])
    for (let round = 0; round < Number(rounds); round++) {
      const order = round % 2 === 0 ? ['here', 'there'] : ['there', 'here']
      for (const side of order) seen[side].push(await turn(sides[side]))
    }
    for (const name of Object.keys(seen.here[0]))
      note(
        `${what}, ${name}`,
        each(seen, (all) => all.map((one) => one[name])),
      )
  }
  note(
    'resident memory after the load, MB',
    each(sides, (side) => [memory(side)]),
  )
  for (const { messaging, consumer, gantry, place } of Object.values(sides)) {
    messaging.close()
    consumer.close()
    await gantry.stop()
    place.remove()
  }
}

function each(sides, work) {
  return { here: work(sides.here), there: work(sides.there) }
}

function note(what, { here, there }) {
  const found = figures.get(what) ?? { here: [], there: [], ratios: [] }
  figures.set(what, found)
  found.here.push(...here)
  found.there.push(...there)
  found.ratios.push(median(here.map((value, index) => value / there[index])))
}

function tell(what, { here, there, ratios }) {
  const spread =
    ratios.length > 1 ? ` (${Math.min(...ratios).toFixed(3)} to ${Math.max(...ratios).toFixed(3)} over the pairs)` : ''
  console.log(
    `${what}: ${figure(median(here))} here, ${figure(median(there))} there, ratio ${median(ratios).toFixed(3)}${spread}`,
  )
}

async function start(side) {
  const place = temporaryHome()
  const checkout = side === 'here' ? root : path.resolve(other)
  const port = side === 'here' ? 23_801 : 24_801
  const gantry = await startGantry(source, place.home, { GANTRY_FIRST_INSTANCE_PORT: String(port) }, checkout)
  return { place, gantry }
}

async function oneStart(side) {
  const { place, gantry } = await start(side)
  await gantry.stop()
  place.remove()
  return gantry.wallMs
}

async function open(side) {
  const { place, gantry } = await start(side)
  const { endpoint } = await gantry.api.runningInstance({
    topics: ['topic', 'cycle', 'quiet'],
    groups: ['group', 'quiet'],
  })
  const messaging = await openMessaging(source, endpoint, 4)
  const consumer = await openMessaging(source, endpoint)
  const pid = brokerOver(place.home)
  return { pids: { management: gantry.pids.management, broker: pid }, messaging, consumer, gantry, place }
}

/** The other checkout may write down elsewhere who its broker process is. */
function brokerOver(home) {
  const found = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
        return command.includes('broker-host') && command.includes(home)
      } catch {
        return false
      }
    })
  if (found.length !== 1) throw new Error(`${found.length} broker processes run over ${home}.`)
  return Number(found[0])
}

function memory({ pids }) {
  const management = residentMb(pids.management)
  const broker = residentMb(pids.broker)
  return management.all + broker.all - Math.min(management.files, broker.files)
}

async function loaded({ pids }, work) {
  const before = cpuMs(pids.broker)
  const { done, ms } = await forSeconds(Number(seconds), 64, work)
  return { 'µs of CPU': ((cpuMs(pids.broker) - before) * 1000) / done, 'ms between two': ms / done }
}

function send(side) {
  return loaded(side, () => side.messaging.send('topic', 1024))
}

async function cycle(side) {
  const { messaging } = side
  return loaded(side, async () => {
    const [received] = await Promise.all([messaging.receive('group', 'cycle'), messaging.send('cycle', 1024)])
    if (received.length > 0) await messaging.ack('group', 'cycle', received)
  })
}

async function delivery({ messaging, consumer }) {
  const took = []
  for (let i = 0; i < 100; i++) {
    const waiting = consumer.receive('quiet', 'quiet')
    await sleep(4)
    const from = performance.now()
    const sent = messaging.send('quiet', 1024)
    const received = await waiting
    took.push(performance.now() - from)
    await sent
    if (received.length > 0) await consumer.ack('quiet', 'quiet', received)
  }
  return { 'median ms': median(took), 'p90 ms': percentile(took, 0.9) }
}
