/** Starts the writer, lets it acknowledge, kills it, and checks that everything acknowledged is in the log. */
import { spawn } from 'node:child_process'
import { build } from 'esbuild'
import { openLog } from '../../src/broker/log/log.ts'
import { realClock, realRandom } from '../../src/world/real.ts'
import { createRealDisk } from '../../src/world/real-disk.ts'

export async function buildWriter(folder: string): Promise<string> {
  const outfile = `${folder}/writer.mjs`
  await build({
    entryPoints: [new URL('./writer.ts', import.meta.url).pathname],
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile,
    logLevel: 'error',
  })
  return outfile
}

/**
 * Runs the writer until it has acknowledged `count` batches, then `strike`s. Answers every number it acknowledged,
 * and those among them that came before the strike.
 */
export async function writeUntil(
  options: { writer: string; directory: string; first: number; count: number },
  strike: (pid: number) => void,
): Promise<{ all: number[]; before: number[] }> {
  const child = spawn(process.execPath, [options.writer, options.directory, String(options.first)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let printed = ''
  let complaint = ''
  let struck = false
  let before = ''
  child.stderr.on('data', (chunk: Buffer) => {
    complaint += chunk.toString()
  })
  child.stdout.on('data', (chunk: Buffer) => {
    printed += chunk.toString()
    if (struck || printed.split('\n').length <= options.count) return
    struck = true
    before = printed
    strike(child.pid!)
  })
  await new Promise((resolve) => child.on('close', resolve))
  if (!struck) throw new Error(`The writer ended by itself: ${complaint}`)
  return { all: numbersIn(printed), before: numbersIn(before) }
}

const numbersIn = (text: string): number[] => text.split('\n').slice(0, -1).map(Number)

/**
 * Opens the log and answers the batch numbers in it. Throws when a batch is not whole, or the numbers
 * are not one after another.
 */
export async function batchesIn(directory: string): Promise<number[]> {
  const { log } = await openLog({
    disk: createRealDisk(),
    clock: realClock,
    random: realRandom,
    directory,
    segmentBytes: 64 * 1024,
  })
  const numbers: number[] = []
  let missing = 0
  for await (const { payload } of log.scan(log.first)) {
    const [number = -1, i = -1] = Buffer.from(payload).toString().split(':').slice(0, 2).map(Number)
    if (i === 0) {
      if (missing > 0) throw new Error(`Batch ${numbers.at(-1)} lacks ${missing} records`)
      if (numbers.length > 0 && number !== numbers.at(-1)! + 1) throw new Error(`${number} follows ${numbers.at(-1)}`)
      numbers.push(number)
      missing = number % 3
    } else {
      if (number !== numbers.at(-1) || i !== 1 + (number % 3) - missing)
        throw new Error(`Record ${number}:${i} is out of place`)
      missing--
    }
  }
  if (missing > 0) throw new Error(`Batch ${numbers.at(-1)} lacks ${missing} records`)
  await log.close()
  return numbers
}
