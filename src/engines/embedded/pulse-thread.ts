/**
 * The thread of a broker process that says whether the process lives: `workerData` is the path of its socket and the counter of the
 * main loop's turns. It has a loop of its own, so it answers while the main one is busy, and it does nothing else: whatever
 * it did for clients would be missing when they need it.
 */
import { chmodSync } from 'node:fs'
import { createServer } from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'
import { realClock } from '../../world/real.ts'
import { LoopWatch } from './pulse.ts'

export interface PulseThreadData {
  readonly socket: string
  /** One Int32, raised by the main loop whenever it is nudged. */
  readonly turns: SharedArrayBuffer
}

/** A question is one byte; who sends more than this at once is none of ours. */
const longestQuestion = 64

const { socket, turns: shared } = workerData as PulseThreadData
const turns = new Int32Array(shared)
const watch = new LoopWatch(
  { nudge: () => parentPort!.postMessage(null), turns: () => Atomics.load(turns, 0) },
  realClock,
)
const server = createServer((asker) => {
  asker.on('error', () => {})
  asker.on('data', (bytes) => {
    if (bytes.length > longestQuestion) asker.destroy()
    else for (const byte of bytes) if (byte === 10) asker.write(`${watch.busyMs()}\n`)
  })
})
server.listen(socket, () => {
  chmodSync(socket, 0o600)
  parentPort!.postMessage('listening')
})
