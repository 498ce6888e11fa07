// The segment log and its index, measured on this machine's disk: `node bench/log.mjs [--json] [folder]`.
//
// Every put counts when it is durable. The folder should lie on the disk that will hold the data; the
// default is the system's temporary folder. Bare figures of the same disk (one write and one
// fdatasync, nothing else) stand beside ours, because a disk's day differs by a factor of two.
import {
  closeSync,
  fdatasyncSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const json = process.argv.includes('--json')
const base = process.argv.slice(2).find((argument) => !argument.startsWith('--')) ?? tmpdir()
const folder = mkdtempSync(join(base, 'gantry-bench-log-'))
const gc = globalThis.gc ?? (() => {})

const entry = join(folder, 'entry.ts')
const source = fileURLToPath(new URL('../src/', import.meta.url))
writeFileSync(
  entry,
  `export { openLog } from '${source}broker/log/log.ts'
export { openQueueIndex } from '${source}broker/log/queue-index.ts'
export { createRecordCipher } from '${source}broker/log/cipher.ts'
export { createRealDisk } from '${source}world/real-disk.ts'
export { realClock, realRandom } from '${source}world/real.ts'`,
)
await build({ entryPoints: [entry], bundle: true, platform: 'node', format: 'esm', outfile: join(folder, 'log.mjs') })
const parts = await import(pathToFileURL(join(folder, 'log.mjs')).href)
const { openLog, openQueueIndex, createRecordCipher, createRealDisk, realClock: clock, realRandom: random } = parts
const disk = createRealDisk()
const payload = Buffer.alloc(1024, 'x')
const seconds = () => performance.now() / 1000
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1]
const percentile = (values, share) => values.toSorted((a, b) => a - b)[Math.floor(values.length * share)]
const round = (value) => (value >= 100 ? Math.round(value) : Number(value.toPrecision(3)))
const results = {}

try {
  results['bare write + fdatasync of 1 KiB, ms p50'] = bareSync()
  for (const inFlight of [1, 16, 64, 256, 1024]) await appends(inFlight)
  await appends(256, { cipher: createRecordCipher(new Uint8Array(32).fill(1), random), label: 'encrypted, ' })
  await reads()
  await opens()
  await index()
  if (json) console.log(JSON.stringify(results, null, 2))
  else for (const [name, value] of Object.entries(results)) console.log(`${name.padEnd(76)} ${value}`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}

function bareSync() {
  const file = openSync(join(folder, 'bare'), 'w')
  const times = []
  for (let i = 0; i < 300; i++) {
    const start = performance.now()
    writeSync(file, payload, 0, 1024, i * 1024)
    fdatasyncSync(file)
    times.push(performance.now() - start)
  }
  closeSync(file)
  return round(median(times))
}

/** Closed loop: each producer writes again when its last record is durable. Three rounds, the median. */
async function appends(inFlight, { cipher = null, label = '' } = {}) {
  const rates = []
  const cpu = []
  let amplification = 0
  let latencies = []
  for (let round_ = 0; round_ < 3; round_++) {
    const directory = join(folder, `append-${inFlight}-${round_}`)
    const { log } = await openLog({ disk, clock, random, directory, cipher })
    const total = inFlight === 1 ? 800 : Math.min(120_000, inFlight * 500)
    let left = total
    const written = process.resourceUsage().fsWrite
    const cpuStart = process.cpuUsage()
    const start = seconds()
    const producer = async () => {
      while (left-- > 0) {
        const begun = performance.now()
        await log.write([payload]).durable
        if (latencies.length < 200_000) latencies.push(performance.now() - begun)
      }
    }
    await Promise.all(Array.from({ length: inFlight }, producer))
    const took = seconds() - start
    const used = process.cpuUsage(cpuStart)
    rates.push(total / took)
    cpu.push((used.user + used.system) / total)
    amplification = ((process.resourceUsage().fsWrite - written) * 512) / (total * 1024)
    await log.close()
    rmSync(directory, { recursive: true })
  }
  const name = `${label}durable 1 KiB puts/s, ${inFlight} in flight`
  results[name] = round(median(rates))
  results[`${name}: CPU µs a put (process)`] = round(median(cpu))
  results[`${name}: ms p50 / p99`] = `${round(percentile(latencies, 0.5))} / ${round(percentile(latencies, 0.99))}`
  results[`${name}: bytes written / payload`] = round(amplification)
  latencies = []
}

async function reads() {
  const directory = join(folder, 'reads')
  const { log } = await openLog({ disk, clock, random, directory })
  const positions = []
  for (let i = 0; i < 200; i++) positions.push(...(await log.append(Array.from({ length: 1000 }, () => payload))))
  const recent = positions.slice(-32)
  let start = seconds()
  for (let i = 0; i < 20_000; i++) await log.readMany(recent)
  results['records/s read from memory, 32 at a time'] = round((20_000 * 32) / (seconds() - start))
  await log.close()

  start = seconds()
  const opened = await openLog({ disk, clock, random, directory })
  results['recovery without checkpoint: ms'] = round((seconds() - start) * 1000)
  results['recovery without checkpoint: MB it read'] = round(opened.recovery.scannedBytes / 2 ** 20)
  const again = opened.log
  start = seconds()
  let count = 0
  for await (const chunk of again.scanChunks(again.first)) count += chunk.length
  results['records/s scanned, in chunks'] = round(count / (seconds() - start))
  start = seconds()
  count = 0
  for await (const _ of again.scan(again.first)) count++
  results['records/s scanned, one by one'] = round(count / (seconds() - start))
  start = seconds()
  let next = 0
  const reader = async () => {
    while (next < 30_000) await again.read(positions[(next++ * 7919) % positions.length])
  }
  await Promise.all(Array.from({ length: 16 }, reader))
  results['records/s read by position from the page cache, 16 at once'] = round(30_000 / (seconds() - start))
  start = seconds()
  for (let i = 0; i < 3000; i++) await again.readMany(positions.slice((i * 53) % 190_000, ((i * 53) % 190_000) + 32))
  results['records/s read 32 neighbours at a time from the page cache'] = round((3000 * 32) / (seconds() - start))
  await again.checkpoint(Buffer.alloc(1000), again.end)
  await again.close()
  start = seconds()
  await (await openLog({ disk, clock, random, directory })).log.close()
  results['recovery after a clean close: ms'] = round((seconds() - start) * 1000)
  rmSync(directory, { recursive: true })
}

async function opens() {
  const count = 300
  for (let i = 0; i < count; i++) {
    const { log } = await openLog({ disk, clock, random, directory: join(folder, `idle-${i}`) })
    await log.append([payload])
    await log.checkpoint(Buffer.alloc(500), log.end)
    await log.close()
  }
  gc()
  const heap = process.memoryUsage()
  const start = seconds()
  const open = await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const directory = join(folder, `idle-${i}`)
      const { log } = await openLog({ disk, clock, random, directory })
      const { index } = await openQueueIndex({ disk, directory, log, decode: () => [] })
      return { log, index }
    }),
  )
  results['ms to open one idle log and its index, 300 at once'] = round(((seconds() - start) * 1000) / count)
  gc()
  const now = process.memoryUsage()
  results['KB of memory an idle open log and index (--expose-gc)'] = round(
    (now.heapUsed + now.arrayBuffers - heap.heapUsed - heap.arrayBuffers) / 1024 / count,
  )
  for (const { log } of open) await log.close()
}

async function index() {
  const directory = join(folder, 'index')
  const { log } = await openLog({ disk, clock, random, directory, segmentBytes: 16 * 2 ** 20 })
  const { index: queueIndex } = await openQueueIndex({ disk, directory, log, decode: () => [] })
  const seals = []
  log.onSealed((segment) => seals.push(queueIndex.seal(segment)))
  const queues = 64
  const total = 1_000_000
  const small = Buffer.alloc(200)
  let adding = 0
  for (let i = 0; i < total; i += 1000) {
    const { positions, durable } = log.write(Array.from({ length: 1000 }, () => small))
    const start = performance.now()
    for (let j = 0; j < 1000; j++)
      queueIndex.add((i + j) % queues, Math.floor((i + j) / queues), positions[j], j, 1e12 + i)
    adding += performance.now() - start
    await durable
  }
  await Promise.all(seals)
  results['index: entries/s added'] = round(total / (adding / 1000))
  const sealed = log.segments().length
  results['index: bytes of memory an entry, 1M entries of 64 queues'] = round(queueIndex.memoryBytes() / total)
  const bytes = readdirSync(directory).filter((name) => name.endsWith('.index'))
  results['index: bytes of disk an entry'] = round(
    bytes.reduce((sum, name) => sum + statSync(join(directory, name)).size, 0) / ((total / (sealed + 1)) * sealed),
  )
  let start = seconds()
  for (let i = 0; i < 20_000; i++) await queueIndex.lookup(i % queues, (i * 7919) % 12_000, 32)
  results['index: lookups/s of 32 entries in sealed segments, cold pages mostly'] = round(20_000 / (seconds() - start))
  start = seconds()
  for (let i = 0; i < 50_000; i++) await queueIndex.lookup(i % 4, 3000 + (i % 500), 32)
  results['index: lookups/s of 32 entries in sealed segments, warm pages'] = round(50_000 / (seconds() - start))
  await queueIndex.flush()
  await queueIndex.close()
  await log.close()
  start = seconds()
  const again = (await openLog({ disk, clock, random, directory, segmentBytes: 16 * 2 ** 20 })).log
  const reopened = await openQueueIndex({ disk, directory, log: again, decode: () => [] })
  results[`index: ms to open log and index with ${sealed} sealed segments`] = round((seconds() - start) * 1000)
  results['index: bytes of memory an entry, reopened'] = round(reopened.index.memoryBytes() / total)
  await again.close()
}
