/**
 * The process that is killed: writes numbered batches into a log and prints each number once it is durable.
 *
 * `node writer.mjs <folder> <first number>`. Batch n has 1 + n mod 3 records, `n:i:padding`. Small
 * segments, so that a death also meets roll-overs; checkpoints and trims on the way.
 */
import { writeSync } from 'node:fs'
import { openLog } from '../../src/broker/log/log.ts'
import { realClock, realRandom } from '../../src/world/real.ts'
import { createRealDisk } from '../../src/world/real-disk.ts'

const [directory = '', first = '0'] = process.argv.slice(2)
const { log } = await openLog({
  disk: createRealDisk(),
  clock: realClock,
  random: realRandom,
  directory,
  segmentBytes: 64 * 1024,
})
let next = Number(first)

async function produce(): Promise<void> {
  for (;;) {
    const number = next++
    const records = Array.from({ length: 1 + (number % 3) }, (_, i) =>
      Buffer.from(`${number}:${i}:${'x'.repeat((number * 7919) % 1500)}`),
    )
    const { durable } = log.write(records)
    if (number % 100 === 0) log.checkpoint(Buffer.from(String(number)), log.end).catch(() => {})
    if (number % 300 === 0) log.trim(log.durableEnd).catch(() => {})
    await durable
    writeSync(1, `${number}\n`)
  }
}

await Promise.all(Array.from({ length: 8 }, produce)).catch((error: unknown) => {
  // A disk that was cut off: the parent knows.
  process.stderr.write(`${(error as Error).message}\n`)
  process.exit(1)
})
