/**
 * How a process is known to be busy and not dead: a thread of its own answers on a socket of its own (pulse-thread.ts), whatever the
 * main thread does, and says for how long the main event loop has not turned. This file is what both sides share: the reckoning of
 * the thread, and the way to ask it.
 *
 * One line asks, one line with a whole number of milliseconds answers.
 */
import { connect, type Socket } from 'node:net'
import type { Clock } from '../../world/world.ts'
import { ownPauseMs } from '../processes/heartbeat.ts'

/** The thread's knowledge of the main loop: a counter in shared memory, and a way to ask for it to rise. */
export interface WatchedLoop {
  /** Has the main loop add one to the counter in its next turn. */
  nudge(): void
  turns(): number
}

/**
 * For how long a loop has not turned, counted from one question to the next. A pause between two questions counts for
 * `ownPauseMs` at most: whoever was frozen or asleep with the whole process blames nobody for that time.
 */
export class LoopWatch {
  readonly #loop: WatchedLoop
  readonly #clock: Pick<Clock, 'monotonic'>
  #isNudged = false
  #turns = 0
  #askedMs = 0
  #busyMs = 0

  constructor(loop: WatchedLoop, clock: Pick<Clock, 'monotonic'>) {
    this.#loop = loop
    this.#clock = clock
  }

  /** 0 when it has turned since it was asked to. */
  busyMs(): number {
    const nowMs = this.#clock.monotonic()
    const turns = this.#loop.turns()
    if (this.#isNudged && turns === this.#turns) this.#busyMs += Math.min(nowMs - this.#askedMs, ownPauseMs)
    else {
      this.#isNudged = true
      this.#turns = turns
      this.#busyMs = 0
      this.#loop.nudge()
    }
    this.#askedMs = nowMs
    return Math.round(this.#busyMs)
  }
}

export interface PulseLink {
  /** For how long the event loop of the process has not turned, in ms. Rejects when the thread cannot be reached. */
  ask(): Promise<number>
  close(): void
}

/** Never rejects: a process whose thread is not there is heard through its other socket, if at all. */
export function linkToPulse(socketPath: string): PulseLink {
  let socket: Socket | null = null
  let waiting: Array<{ resolve(busyMs: number): void; reject(error: Error): void }> = []
  let closed = false

  function dial(): Socket {
    const dialled = connect(socketPath)
    dialled.unref()
    dialled.setEncoding('latin1')
    let line = ''
    dialled.on('data', (text: string) => {
      const lines = `${line}${text}`.split('\n')
      line = lines.pop()!.slice(0, longestLine)
      for (const each of lines) waiting.shift()?.resolve(Number(each))
    })
    // The close that follows says all there is to say.
    dialled.on('error', () => {})
    dialled.once('close', () => {
      socket = null
      for (const { reject } of waiting.splice(0)) reject(new Error('The thread that answers for the process is gone.'))
    })
    return dialled
  }

  return {
    ask() {
      if (closed) return Promise.reject(new Error('The link is closed.'))
      socket ??= dial()
      socket.write('\n')
      return new Promise((resolve, reject) => waiting.push({ resolve, reject }))
    },
    close() {
      closed = true
      socket?.destroy()
      waiting = []
    },
  }
}

const longestLine = 20
