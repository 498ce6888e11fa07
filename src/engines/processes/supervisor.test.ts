/** The supervisor over fake processes, on a clock that the test moves. */
import { describe, expect, it } from 'vitest'
import { SimulatedClock, settle } from '../../world/simulated.ts'
import { beatMs, patienceOf } from './heartbeat.ts'
import {
  attemptToldMs,
  deathsAllowed,
  deathsWindowMs,
  type Ending,
  firstPauseMs,
  goneLimitMs,
  heldMs,
  lastPauseMs,
  newRecord,
  type ProcessApi,
  type ProcessRecord,
  ProcessSupervisor,
  type RunningProcess,
  silentBeats,
} from './supervisor.ts'

interface Fake extends RunningProcess<ProcessApi> {
  die(how?: string, said?: string[]): void
  /** From now on it answers nothing, or answers again. */
  hang(hangs: boolean): void
  /** Its loop stands still for so long from now on, and its thread says so; 0: it turns again. */
  beBusy(busyMs: (monotonicMs: number) => number): void
  readonly shutDown: boolean
  readonly disconnected: boolean
}

interface BenchOptions {
  readonly found?: boolean
  /** Looking for it takes so long, as for one that hangs. */
  readonly findMs?: number
  readonly secret?: string
  readonly record?: ProcessRecord
  readonly hangSeconds?: number
  /** What is killed stays: it waits for a broken disk. */
  readonly immortal?: boolean
  /** It answers that it closed, and stays. */
  readonly lastsAfterShutdown?: boolean
}

function bench(options: BenchOptions = {}) {
  const clock = new SimulatedClock()
  const events: string[] = []
  const reports: string[] = []
  const processes: Fake[] = []
  let failStart: Error | null = null
  let record = newRecord
  let holdStart: Promise<void> | null = null

  function fake(): Fake {
    let end: (ending: Ending) => void = () => {}
    const ended = new Promise<Ending>((resolve) => {
      end = resolve
    })
    let heard: Array<() => void> | null = null
    let busy: (monotonicMs: number) => number = () => 0
    const process = {
      shutDown: false,
      disconnected: false,
      ended,
      greeting: { pid: processes.length + 1 } as RunningProcess<ProcessApi>['greeting'],
      pulse: () =>
        new Promise<number>((resolve) => {
          const answer = () => resolve(busy(clock.monotonic()))
          if (heard === null) answer()
          else heard.push(answer)
        }),
      host: {
        hello: () =>
          new Promise<void>((resolve) => {
            if (heard !== null) heard.push(resolve)
            else if (busy(clock.monotonic()) === 0) resolve()
          }),
        async shutdown() {
          process.shutDown = true
          if (heard !== null) return new Promise<null>((resolve) => heard?.push(() => resolve(null)))
          if (options.lastsAfterShutdown !== true) end({ how: 'with exit code 0', said: [] })
          return null
        },
      } as unknown as ProcessApi,
      disconnect() {
        process.disconnected = true
        end({ how: 'without saying how', said: [] })
      },
      async kill() {
        events.push(`kill at ${clock.monotonic()}`)
        if (options.immortal !== true) end({ how: 'by SIGKILL', said: [] })
      },
      hang(hangs: boolean) {
        for (const answer of heard ?? []) answer()
        heard = hangs ? [] : null
      },
      beBusy(busyMs: (monotonicMs: number) => number) {
        busy = busyMs
      },
      die: (how = 'with exit code 7', said: string[] = []) => end({ how, said }),
    }
    processes.push(process)
    return process
  }

  const supervisor = new ProcessSupervisor({
    name: '2',
    clock,
    launcher: {
      names: async () => [],
      async find() {
        if (options.findMs !== undefined) await new Promise<void>((resolve) => clock.after(options.findMs!, resolve))
        return options.found === true && processes.length === 0 ? fake() : null
      },
      async start() {
        events.push(`start at ${clock.monotonic()}`)
        await holdStart
        if (failStart !== null) throw failStart
        return fake()
      },
      forget: async () => {},
    },
    record: options.record ?? newRecord,
    patience: patienceOf(options.hangSeconds ?? 120),
    clean: (text) => (options.secret === undefined ? text : text.replaceAll(options.secret, '[secret]')),
    onEnd: () => events.push('end'),
    onReturn: () => events.push('return'),
    onFailing: () => events.push('failing'),
    onAnswer: () => events.push('answers'),
    onGreeting() {},
    onRecord(next) {
      record = next
    },
    report: (error) => reports.push((error as Error).message),
  })
  return {
    clock,
    supervisor,
    events,
    reports,
    processes,
    record: () => record,
    failStarts(error: Error | null) {
      failStart = error
    },
    holdStarts(until: Promise<void> | null) {
      holdStart = until
    },
    /** Ends the process that runs now, and lets that be noticed. */
    async die(how?: string, said?: string[]) {
      processes.at(-1)!.die(how, said)
      await settle()
    },
    starts: () => events.filter((event) => event.startsWith('start')).length,
  }
}

type Bench = ReturnType<typeof bench>

/** Has it die again and again as soon as it serves, `times` in all. */
async function keepDying(b: Bench, times: number, said: string[] = []): Promise<void> {
  for (let death = 0; death < times; death++) {
    await b.die('with exit code 7', said)
    if (death < times - 1) await b.clock.advance(lastPauseMs / 2)
  }
}

describe('a process that is needed', () => {
  it('starts when it is first used, and once for all who use it', async () => {
    const b = bench()
    expect(b.starts()).toBe(0)
    const [one, other] = await Promise.all([b.supervisor.use(), b.supervisor.use()])
    expect(one).toBe(other)
    expect(await b.supervisor.use()).toBe(one)
    expect(b.starts()).toBe(1)
  })

  it('is taken over when it runs already', async () => {
    const b = bench({ found: true })
    const found = await b.supervisor.adopt()
    expect(await b.supervisor.use()).toBe(found)
    expect(b.starts()).toBe(0)
  })

  it('is started again after it ended, with a pause that doubles and says so', async () => {
    const b = bench()
    await b.supervisor.use()
    await b.die()
    expect(b.events).toEqual(['start at 0', 'end'])
    await b.clock.advance(firstPauseMs)
    expect(b.events).toEqual(['start at 0', 'end', `start at ${firstPauseMs}`, 'return'])
    await b.die()
    await b.clock.advance(2 * firstPauseMs - 1)
    expect(b.starts()).toBe(2)
    await b.clock.advance(1)
    expect(b.starts()).toBe(3)
    expect(b.record()).toMatchObject({ restarts: 2, lastEnd: { how: 'with exit code 7' }, failure: null })
  })

  it('starts from the first pause again once it held for a while', async () => {
    const b = bench()
    await b.supervisor.use()
    for (let death = 0; death < 3; death++) {
      await b.die()
      await b.clock.advance(firstPauseMs * 2 ** death)
    }
    await b.clock.advance(heldMs)
    await b.die()
    await b.clock.advance(firstPauseMs)
    expect(b.starts()).toBe(5)
  })

  it('is waited for while it pauses', async () => {
    const b = bench()
    await b.supervisor.use()
    await b.die()
    const use = b.supervisor.use()
    await b.clock.advance(firstPauseMs)
    expect(await use).toBe(b.processes.at(-1))
  })

  it('that cannot be started rejects those who wait, and is tried again', async () => {
    const b = bench()
    b.failStarts(new Error('It ended with exit code 1 while starting.'))
    await expect(b.supervisor.use()).rejects.toThrow(/did not start. It ended with exit code 1 while starting/)
    expect(b.reports).toEqual([
      'Broker process 2 ended because it could not be started: It ended with exit code 1 while starting; it is started again in 50 ms.',
    ])
    b.failStarts(null)
    await b.clock.advance(firstPauseMs)
    expect(b.events.slice(-1)).toEqual(['return'])
    expect(b.supervisor.running).not.toBeNull()
  })
})

describe('a process that keeps ending', () => {
  it('is failing after so many ends within the window, and says why to everybody at once', async () => {
    const b = bench()
    await b.supervisor.use()
    await keepDying(b, deathsAllowed - 1)
    expect(b.supervisor.failure).toBeNull()
    await b.clock.advance(lastPauseMs / 2)
    const waiting = b.supervisor.use()
    await b.die('by SIGABRT', ['FATAL ERROR: heap out of memory'])
    await waiting
    expect(b.events.slice(-2)).toEqual(['end', 'failing'])
    expect(b.supervisor.failure).toBe(
      'Broker process 2 keeps ending, 5 times within 60 s, last by SIGABRT; it is tried again every 10 s. Its last words: FATAL ERROR: heap out of memory',
    )
    await expect(b.supervisor.use()).rejects.toMatchObject({ code: 'unavailable', message: b.supervisor.failure })
    expect(b.record().failure).toBe(b.supervisor.failure)
  })

  it('is tried on at the longest pause, and works again when it does', async () => {
    const b = bench()
    await b.supervisor.use()
    await keepDying(b, deathsAllowed)
    b.failStarts(new Error('It ended with exit code 1 while starting.'))
    const before = b.starts()
    await b.clock.advance(lastPauseMs * 3)
    expect(b.starts()).toBe(before + 3)
    expect(b.events.filter((event) => event === 'failing')).toHaveLength(1)
    b.failStarts(null)
    await b.clock.advance(lastPauseMs)
    expect(b.events.slice(-1)).toEqual(['return'])
    expect(b.supervisor.failure).toBeNull()
    expect(b.record().failure).toBeNull()
  })

  it('does not fail for ends that lie further apart than the window', async () => {
    const b = bench()
    await b.supervisor.use()
    for (let death = 0; death < deathsAllowed * 2; death++) {
      await b.die()
      await b.clock.advance(deathsWindowMs / (deathsAllowed - 2))
    }
    expect(b.events).not.toContain('failing')
  })

  it('rejects those who wait for its pause when it starts to fail, and keeps no secret in what it says', async () => {
    const b = bench({ secret: 'hush-hush' })
    await b.supervisor.use()
    await keepDying(b, deathsAllowed - 1)
    const waiting = b.supervisor.use()
    b.failStarts(new Error('hush-hush was said'))
    const rejected = expect(waiting).rejects.toThrow(/\[secret\]/)
    await b.clock.advance(lastPauseMs)
    await rejected
    expect(b.supervisor.failure).not.toContain('hush-hush')
    expect(JSON.stringify(b.record())).not.toContain('hush-hush')
  })
})

describe('a process that is busy', () => {
  const standingStillFrom = (sinceMs: number) => (nowMs: number) => Math.max(0, nowMs - sinceMs)

  it('is called so with how long its loop has not turned, refused at once, and left alone; then it serves on', async () => {
    const b = bench()
    const process = (await b.supervisor.use()) as Fake
    process.beBusy(standingStillFrom(b.clock.monotonic()))
    await b.clock.advance(60 * beatMs)
    const reason =
      'Broker process 2 (process 1) is busy: its event loop has not turned for 5 s; if it goes on so for 120 s, it is killed and started again.'
    expect(b.supervisor.failure).toBe(reason)
    await expect(b.supervisor.use()).rejects.toThrow(reason)
    expect(b.reports).toEqual([reason])
    expect(b.events).toEqual(['start at 0', 'failing'])
    process.beBusy(() => 0)
    await b.clock.advance(2 * beatMs)
    expect(b.supervisor.failure).toBeNull()
    expect(await b.supervisor.use()).toBe(process)
    expect(b.events).toEqual(['start at 0', 'failing', 'answers'])
  })

  it('is killed when its loop stands still for as long as is allowed', async () => {
    const b = bench({ hangSeconds: 30 })
    const process = (await b.supervisor.use()) as Fake
    process.beBusy(standingStillFrom(b.clock.monotonic()))
    await b.clock.advance(29 * beatMs)
    expect(b.events.filter((event) => event.startsWith('kill'))).toEqual([])
    await b.clock.advance(2 * beatMs)
    expect(b.events).toContain('kill at 30000')
    expect(b.record().lastEnd?.how).toBe('because its event loop had not turned for 30 s and was killed')
  })

  it('and then answers nothing at all is called silent', async () => {
    const b = bench({ hangSeconds: 0 })
    const process = (await b.supervisor.use()) as Fake
    process.beBusy(standingStillFrom(b.clock.monotonic()))
    await b.clock.advance(10 * beatMs)
    process.hang(true)
    await b.clock.advance(10 * beatMs)
    expect(b.reports).toEqual([
      'Broker process 2 (process 1) is busy: its event loop has not turned for 5 s.',
      'Broker process 2 (process 1) has not answered for 5 s.',
    ])
  })
})

describe('a process that is looked for or started', () => {
  it('is not waited for beyond a limit, by nobody, and serves when it is there', async () => {
    const b = bench({ findMs: 40_000 })
    const first = b.supervisor.use().catch((error: Error) => error.message)
    await b.clock.advance(attemptToldMs - 1)
    expect(b.supervisor.failure).toBeNull()
    await b.clock.advance(1)
    const sentence =
      'Broker process 2, which an earlier server started, has not answered for 10 s; try again later. When it goes on so for 120 s, it is killed and started again.'
    expect(await first).toBe(sentence)
    expect(b.supervisor.failure).toBe(sentence)
    await expect(b.supervisor.use()).rejects.toThrow(sentence)
    expect(b.events).toEqual(['failing'])
    await b.clock.advance(30_000)
    expect(b.events).toEqual(['failing', 'start at 40000', 'return'])
    expect(b.supervisor.failure).toBeNull()
    expect((await b.supervisor.use()).greeting.pid).toBe(1)
  })
})

describe('a process that hangs', () => {
  it('is called silent, refuses at once with the reason, is killed, and started again like one that died', async () => {
    const b = bench()
    const first = (await b.supervisor.use()) as Fake
    first.hang(true)
    await b.clock.advance((1 + silentBeats) * beatMs)
    expect(b.events).toEqual(['start at 0', 'failing'])
    expect(b.supervisor.failure).toBe(
      'Broker process 2 (process 1) has not answered for 5 s; if it goes on so for 10 s, it is killed and started again.',
    )
    await expect(b.supervisor.use()).rejects.toMatchObject({ code: 'unavailable', message: b.supervisor.failure })
    await b.clock.advance(5 * beatMs + firstPauseMs)
    expect(b.events).toEqual([
      'start at 0',
      'failing',
      'kill at 11000',
      'end',
      `start at ${11_000 + firstPauseMs}`,
      'return',
    ])
    expect(b.supervisor.failure).toBeNull()
    expect(await b.supervisor.use()).toBe(b.processes[1])
    expect(b.record()).toMatchObject({
      restarts: 1,
      lastEnd: { how: 'because it had not answered for 10 s and was killed' },
    })
  })

  it('for a while only is left alone, and said to answer again when it was said not to', async () => {
    const b = bench()
    const process = (await b.supervisor.use()) as Fake
    for (const [pauseMs, said] of [
      [2 * beatMs, []],
      [(silentBeats - 1) * beatMs, []],
      [9 * beatMs, ['failing', 'answers']],
    ] as const) {
      const before = b.events.length
      process.hang(true)
      await b.clock.advance(pauseMs)
      process.hang(false)
      await b.clock.advance(beatMs * 3)
      expect(b.events.slice(before), `after ${pauseMs} ms`).toEqual(said)
      expect(await b.supervisor.use()).toBe(process)
    }
    await b.clock.advance(heldMs)
    expect(b.starts()).toBe(1)
  })

  it('each time it starts is failing, with the reason', async () => {
    const b = bench()
    await b.supervisor.use()
    for (let hangs = 0; hangs < deathsAllowed; hangs++) {
      b.processes.at(-1)!.hang(true)
      await b.clock.advance(11 * beatMs + firstPauseMs * 2 ** hangs)
    }
    expect(b.supervisor.failure).toBe(
      'Broker process 2 keeps ending, 5 times within 60 s, last because it had not answered for 10 s and was killed; it is tried again every 10 s.',
    )
  })

  it('is not killed when that is switched off, and still said to be silent', async () => {
    const b = bench({ hangSeconds: 0 })
    const process = (await b.supervisor.use()) as Fake
    process.hang(true)
    await b.clock.advance(heldMs)
    expect(b.events).toEqual(['start at 0', 'failing'])
    expect(b.supervisor.failure).toBe('Broker process 2 (process 1) has not answered for 5 s.')
  })

  it('while it is asked to close is killed, so that a stop has an end', async () => {
    const b = bench()
    const process = (await b.supervisor.use()) as Fake
    process.hang(true)
    let ended = false
    const end = b.supervisor.end().then(() => {
      ended = true
    })
    await b.clock.advance(10 * beatMs)
    expect(ended).toBe(false)
    await b.clock.advance(beatMs)
    // The link ends with the process, and so does the call on it.
    process.hang(false)
    await settle()
    await end
    expect(b.events).toEqual(['start at 0', 'kill at 11000'])
    expect(b.clock.pending).toBe(0)
  })

  it('when it has said that it closed is killed, also where hanging is allowed', async () => {
    const b = bench({ hangSeconds: 0, lastsAfterShutdown: true })
    await b.supervisor.use()
    const end = b.supervisor.end()
    await b.clock.advance(goneLimitMs)
    await end
    expect(b.events).toEqual(['start at 0', 'kill at 5000'])
  })

  it('and cannot be killed is given up after a while', async () => {
    const b = bench({ immortal: true })
    const process = (await b.supervisor.use()) as Fake
    process.hang(true)
    await b.clock.advance(11 * beatMs + goneLimitMs)
    expect(process.disconnected).toBe(true)
    expect(b.events.slice(-2)).toEqual(['kill at 11000', 'end'])
  })
})

describe('the end', () => {
  it('is asked for, waited for, and not mended', async () => {
    const b = bench()
    const process = (await b.supervisor.use()) as Fake
    await b.supervisor.end()
    expect(process.shutDown).toBe(true)
    await b.clock.advance(lastPauseMs * 10)
    expect(b.starts()).toBe(1)
    expect(b.events).not.toContain('end')
  })

  it('during a pause starts nothing more, and tells who waits', async () => {
    const b = bench()
    await b.supervisor.use()
    await b.die()
    const rejected = expect(b.supervisor.use()).rejects.toThrow(/is being stopped/)
    await b.supervisor.end()
    await rejected
    await b.clock.advance(lastPauseMs * 10)
    expect(b.starts()).toBe(1)
    expect(b.clock.pending).toBe(0)
  })

  it.each([
    ['end', true],
    ['detach', true],
  ] as const)('by %s also of a process that was just being started', async (how, shutDown) => {
    const b = bench()
    let go = (): void => {}
    b.holdStarts(
      new Promise((resolve) => {
        go = resolve
      }),
    )
    const use = b.supervisor.use()
    await settle()
    const ended = b.supervisor[how]()
    go()
    await Promise.all([use, ended])
    expect(b.processes.map((process) => process.shutDown)).toEqual([shutDown])
    expect(b.supervisor.running).toBeNull()
  })

  it('by detach lets a process that was found serve on', async () => {
    const b = bench({ found: true })
    const process = (await b.supervisor.adopt()) as Fake
    await b.supervisor.detach()
    expect([process.shutDown, process.disconnected]).toEqual([false, true])
  })

  it('of one that is used again while it ends is waited for', async () => {
    const b = bench()
    const first = await b.supervisor.use()
    const [, second] = await Promise.all([b.supervisor.end(), b.supervisor.use()])
    expect(second).not.toBe(first)
    expect(b.supervisor.running).toBe(second)
  })
})
