/**
 * Keeps one broker process alive. A process that ends without being asked is started again after a
 * pause that rises to a limit and falls back once it held for a while. One that ended several times
 * within a window is called failing: whoever needs it hears why at once instead of waiting, and it is
 * tried on at the longest pause. One that is busy for long or silent (heartbeat.ts) is called so first, with
 * the same effect; one that hangs is killed, which is an end like any other.
 *
 * It knows names, endings and time; what a process is and how one starts is the launcher's. It never
 * starts a second process under a name while the first may live: the launcher looks before it starts.
 */

import { EngineError } from '../../model/refusals.ts'
import type { Cancel, Clock } from '../../world/world.ts'
import { beatMs, isHung, listenToHeart, type Patience, type Pulse } from './heartbeat.ts'
import { withoutStop } from './sentences.ts'

/** What a process answers to its supervisor; each engine has more to ask of its own. */
export interface ProcessApi<Greeting extends { readonly pid: number } = { readonly pid: number }> {
  hello(): Promise<Greeting>
  /** Closes what is open in it and ends. */
  shutdown(): Promise<unknown>
}

export type GreetingOf<Api extends ProcessApi> = Awaited<ReturnType<Api['hello']>>

/** What the supervisor needs of the machine. */
export interface Launcher<Api extends ProcessApi> {
  /** Names whose sockets lie in the home, living or left over. */
  names(): Promise<string[]>
  /**
   * The running process of that name; null when there is none. One that hangs is killed; with no patience, and where it
   * cannot be killed, the answer is a rejection that says so.
   */
  find(name: string, patience: Patience): Promise<RunningProcess<Api> | null>
  /** Starts one; an error may carry `said`, the last lines it wrote. */
  start(name: string): Promise<RunningProcess<Api>>
  /** Removes what a process that is gone for good left in the home. */
  forget(name: string): Promise<void>
}

export interface RunningProcess<Api extends ProcessApi> {
  readonly host: Api
  readonly greeting: GreetingOf<Api>
  /** For how long its event loop has not turned, in ms, as its thread says ; rejects when the thread is not there. */
  pulse(): Promise<number>
  /** Settles when the link to it is gone. */
  readonly ended: Promise<Ending>
  /** Ends the process as the kernel does, by its number; rejects with a sentence where that is not possible from here. */
  kill(): Promise<void>
  /** Ends the link alone. */
  disconnect(): void
}

export interface Ending {
  /** For the middle of a sentence: `with exit code 7`, `by SIGKILL`. */
  readonly how: string
  /** What it wrote last; bounded. */
  readonly said: readonly string[]
}

/** What is remembered of a process, also across restarts of the server. */
export interface ProcessRecord {
  /** Times it was started again because it had ended. */
  readonly restarts: number
  readonly lastEnd: { readonly atMs: number; readonly how: string } | null
  /** Why it is failing, as a sentence; null while it is not. */
  readonly failure: string | null
}

export const newRecord: ProcessRecord = { restarts: 0, lastEnd: null, failure: null }

export interface SupervisorOptions<Api extends ProcessApi> {
  readonly name: string
  readonly clock: Clock
  readonly launcher: Launcher<Api>
  readonly record: ProcessRecord
  readonly patience: Patience
  /** Takes what must not be shown out of a text. */
  readonly clean: (text: string) => string
  /** The process ended without being asked: what was open in it is open no more. */
  onEnd(): void
  /** It serves again after that. */
  onReturn(): void
  /** It is failing, busy or silent from now on. */
  onFailing(): void
  /** It answers again, without having ended. */
  onAnswer(): void
  /** What it said of itself when it was asked whether it lives. */
  onGreeting(greeting: GreetingOf<Api>): void
  onRecord(record: ProcessRecord): void
  report(error: unknown): void
}

export const firstPauseMs = 50
export const lastPauseMs = 10_000
/** A process that served this long starts from the first pause again. */
export const heldMs = 60_000
export const deathsWindowMs = 60_000
export const deathsAllowed = 5
/** Beats without an answer after which it is said that the process is silent. */
export const silentBeats = 5
/** How long its event loop stands still before it is said that the process is busy. */
export const busyToldMs = 5_000
/** At a server's start: a process that does not answer soon is looked at again later. */
const noPatience: Patience = { beats: 0, busyMs: 0 }
/** How long a process that closed or was killed may take to be gone: one that waits for a broken disk does not go at all. */
export const goneLimitMs = 5_000
/** How long a call waits for a process that is being looked for or started; the attempt goes on behind it. */
export const attemptToldMs = 10_000

export class ProcessSupervisor<Api extends ProcessApi> {
  readonly #options: SupervisorOptions<Api>
  #record: ProcessRecord
  #process: RunningProcess<Api> | null = null
  #servesSinceMs = 0
  /** Why the process that runs is not asked now, as a sentence; null while it answers. */
  #silence: { readonly kind: 'silent' | 'busy'; readonly sentence: string } | null = null
  #attempt: Promise<RunningProcess<Api>> | null = null
  /** What the attempt is at, and why nobody waits for it any more, as a sentence, or null. */
  #attempting: 'finding' | 'starting' = 'finding'
  #late: string | null = null
  /** Those who wait for the attempt. */
  readonly #impatient = new Set<(error: unknown) => void>()
  /** Whether a process is to be there: it is started again when it ends. */
  #wanted = false
  /** Deaths in a row, and when those within the window were. */
  #inRow = 0
  #deathsMs: number[] = []
  #cancelPause: Cancel = () => {}
  /** Those who wait for the next attempt while it pauses. */
  #waiting: Array<{ resolve: (process: Promise<RunningProcess<Api>>) => void; reject: (error: unknown) => void }> = []
  #pausing = false
  /** Whether the process was started here, not found. */
  #isOwn = false
  #stopping: Promise<void> | null = null

  constructor(options: SupervisorOptions<Api>) {
    this.#options = options
    // Why it failed under an earlier server says nothing about now.
    this.#record = { ...options.record, failure: null }
  }

  get name(): string {
    return this.#options.name
  }

  /** The process when it serves now, else null. */
  get running(): RunningProcess<Api> | null {
    return this.#process
  }

  /** Why calls are refused at once; null while they are carried out or worth waiting for. */
  get failure(): string | null {
    return this.#process === null ? (this.#record.failure ?? this.#late) : (this.#silence?.sentence ?? null)
  }

  /** The process, started if need be. Rejects with the reason when it cannot be had soon. */
  async use(): Promise<RunningProcess<Api>> {
    if (this.#stopping !== null) await this.#stopping
    this.#wanted = true
    const { failure } = this
    if (this.#process !== null) {
      if (failure !== null) throw new EngineError('unavailable', failure)
      return this.#process
    }
    if (failure !== null && (this.#pausing || this.#attempt !== null)) throw new EngineError('unavailable', failure)
    if (this.#pausing) return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
    return this.#unlessLate(this.#tryToHave())
  }

  /** The process if one runs already; nothing is started. */
  async adopt(): Promise<RunningProcess<Api> | null> {
    const found = await this.#options.launcher.find(this.name, noPatience)
    if (found === null) return null
    this.#wanted = true
    this.#isOwn = false
    this.#have(found)
    return found
  }

  /** Lets it close everything and end, and forgets it until it is used again. */
  end(): Promise<void> {
    this.#stopping ??= this.#end().finally(() => {
      this.#stopping = null
    })
    return this.#stopping
  }

  /** As `end` when the process was started here; one that served before serves on. */
  async detach(): Promise<void> {
    const process = await this.#leftOver()
    if (this.#isOwn) await this.#endOf(process)
    else process?.disconnect()
  }

  async #end(): Promise<void> {
    await this.#endOf(await this.#leftOver())
  }

  async #endOf(process: RunningProcess<Api> | null): Promise<void> {
    if (process === null) return
    // It may be gone before its answer is read; the link's end says the same.
    await process.host.shutdown().catch(() => {})
    const cancel = this.#options.clock.after(goneLimitMs, () => void this.#kill(process))
    await process.ended
    cancel()
  }

  /** The process there is, or is just being made; from now on nobody has it. */
  async #leftOver(): Promise<RunningProcess<Api> | null> {
    this.#stopWanting()
    const process = this.#process ?? (await this.#attempt?.catch(() => null)) ?? null
    this.#process = null
    return process
  }

  #stopWanting(): void {
    this.#wanted = false
    this.#pausing = false
    this.#cancelPause()
    this.#giveUp(new EngineError('unavailable', `Broker process ${this.name} is being stopped.`))
    if (this.#record.failure !== null) this.#remember({ failure: null })
  }

  #tryToHave(): Promise<RunningProcess<Api>> {
    if (this.#attempt !== null) return this.#attempt
    const { clock, onReturn } = this.#options
    const cancel = clock.after(attemptToldMs, () => this.#sayLate())
    const attempt = this.#findOrStart().finally(() => {
      cancel()
      const wasLate = this.#late !== null
      this.#attempt = null
      this.#late = null
      // Those who were refused meanwhile are told that it is worth asking again.
      if (wasLate && this.#process !== null) onReturn()
    })
    this.#attempt = attempt
    return attempt
  }

  #unlessLate(attempt: Promise<RunningProcess<Api>>): Promise<RunningProcess<Api>> {
    return new Promise((resolve, reject) => {
      this.#impatient.add(reject)
      attempt.then(resolve, reject).finally(() => this.#impatient.delete(reject))
    })
  }

  #sayLate(): void {
    const { name, patience, report } = this.#options
    const longest = Math.max(patience.beats * beatMs, patience.busyMs)
    const then = longest === 0 ? '' : ` When it goes on so for ${seconds(longest)}, it is killed and started again.`
    this.#late =
      this.#attempting === 'starting'
        ? `Broker process ${name} is being started and does not serve yet after ${seconds(attemptToldMs)}; try again later.`
        : `Broker process ${name}, which an earlier server started, has not answered for ${seconds(attemptToldMs)}; try again later.${then}`
    const error = new EngineError('unavailable', this.#late)
    report(error)
    for (const reject of this.#impatient) reject(error)
    this.#options.onFailing()
  }

  async #findOrStart(): Promise<RunningProcess<Api>> {
    const { launcher, name, patience } = this.#options
    try {
      this.#attempting = 'finding'
      const found = await launcher.find(name, patience)
      this.#attempting = 'starting'
      const process = found ?? (await launcher.start(name))
      this.#isOwn = found === null
      if (this.#wanted) this.#have(process)
      return process
    } catch (error) {
      const { message, said = [] } = error as Error & { said?: readonly string[] }
      this.#died({ how: `because it could not be started: ${message}`, said })
      throw new EngineError('unavailable', this.#record.failure ?? `Broker process ${name} did not start. ${message}`, {
        cause: error,
      })
    }
  }

  #have(process: RunningProcess<Api>): void {
    this.#process = process
    this.#silence = null
    this.#servesSinceMs = this.#options.clock.monotonic()
    if (this.#record.failure !== null) this.#remember({ failure: null })
    const killed = this.#listen(process)
    void process.ended.then((ended) => {
      if (this.#process !== process) return
      this.#process = null
      const ending = { ...ended, how: killed() ?? ended.how }
      if (this.#options.clock.monotonic() - this.#servesSinceMs >= heldMs) this.#inRow = 0
      this.#options.onEnd()
      this.#died(ending)
    })
  }

  /** Also while it is being ended: closing must not wait for ever either. The answer tells how it was killed, or null. */
  #listen(process: RunningProcess<Api>): () => string | null {
    const { clock, patience } = this.#options
    let killed: string | null = null
    const stop = listenToHeart({
      clock,
      ask: askOf(process, (greeting) => {
        if (this.#process === process) this.#options.onGreeting(greeting)
      }),
      onPulse: (pulse) => {
        this.#reportPulse(process, pulse)
        if (killed !== null || !isHung(pulse, patience)) return
        killed =
          pulse.unanswered > 0
            ? `because it had not answered for ${seconds(pulse.unanswered * beatMs)} and was killed`
            : `because its event loop had not turned for ${seconds(pulse.busyMs)} and was killed`
        void this.#kill(process)
      },
    })
    void process.ended.then(stop)
    return () => killed
  }

  #reportPulse(process: RunningProcess<Api>, { unanswered, busyMs }: Pulse): void {
    const { patience } = this.#options
    if (unanswered >= silentBeats)
      this.#saySilent(
        process,
        'silent',
        `has not answered for ${seconds(silentBeats * beatMs)}`,
        patience.beats * beatMs,
      )
    else if (busyMs >= busyToldMs)
      this.#saySilent(process, 'busy', `is busy: its event loop has not turned for ${seconds(busyMs)}`, patience.busyMs)
    else if (unanswered === 0) this.#answers(process)
  }

  #saySilent(process: RunningProcess<Api>, kind: 'silent' | 'busy', what: string, killedAfterMs: number): void {
    if (this.#process !== process || this.#silence?.kind === kind) return
    const { name, report, onFailing } = this.#options
    const then =
      killedAfterMs === 0 ? '' : `; if it goes on so for ${seconds(killedAfterMs)}, it is killed and started again`
    this.#silence = { kind, sentence: `Broker process ${name} (process ${process.greeting.pid}) ${what}${then}.` }
    report(new EngineError('unavailable', this.#silence.sentence))
    onFailing()
  }

  #answers(process: RunningProcess<Api>): void {
    if (this.#process !== process || this.#silence === null) return
    this.#silence = null
    this.#options.report(new EngineError('unavailable', `Broker process ${this.name} answers again.`))
    this.#options.onAnswer()
  }

  /** The end that follows says the rest; where none does, the link is given up and the name stays taken until it is gone. */
  async #kill(process: RunningProcess<Api>): Promise<void> {
    const cancel = this.#options.clock.after(goneLimitMs, () => process.disconnect())
    void process.ended.then(cancel)
    await process.kill().catch(this.#options.report)
  }

  #died(ending: Ending): void {
    if (!this.#wanted) return
    const { clock, name, report } = this.#options
    const nowMs = clock.monotonic()
    this.#inRow += 1
    this.#deathsMs = [...this.#deathsMs.filter((atMs) => nowMs - atMs < deathsWindowMs), nowMs].slice(-deathsAllowed)
    const isFailing = this.#deathsMs.length >= deathsAllowed
    const pauseMs = isFailing ? lastPauseMs : Math.min(lastPauseMs, firstPauseMs * 2 ** Math.min(this.#inRow - 1, 20))
    const wasFailing = this.#record.failure !== null
    const how = withoutStop(this.#options.clean(ending.how))
    this.#remember({
      lastEnd: { atMs: clock.now(), how },
      failure: isFailing ? this.#reason(how, ending.said) : null,
    })
    this.#pausing = true
    this.#cancelPause = clock.after(pauseMs, () => this.#again())
    report(
      new EngineError(
        'unavailable',
        this.#record.failure ?? `Broker process ${name} ended ${how}; it is started again in ${pauseMs} ms.`,
      ),
    )
    if (!isFailing) return
    this.#giveUp(new EngineError('unavailable', this.#record.failure!))
    if (!wasFailing) this.#options.onFailing()
  }

  #again(): void {
    this.#pausing = false
    const waiting = this.#waiting.splice(0)
    const attempt = this.#tryToHave()
    for (const { resolve } of waiting) resolve(this.#unlessLate(attempt))
    attempt.then(
      () => {
        if (this.#process === null) return
        this.#remember({ restarts: this.#record.restarts + 1 })
        this.#options.onReturn()
      },
      // Said when it happened.
      () => {},
    )
  }

  #giveUp(error: EngineError): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }

  #reason(how: string, said: readonly string[]): string {
    const last = said.length === 0 ? '' : ` Its last words: ${this.#options.clean(said.join(' | '))}`
    return `Broker process ${this.name} keeps ending, ${deathsAllowed} times within ${deathsWindowMs / 1000} s, last ${how}; it is tried again every ${lastPauseMs / 1000} s.${last}`
  }

  #remember(change: Partial<ProcessRecord>): void {
    this.#record = { ...this.#record, ...change }
    this.#options.onRecord(this.#record)
  }
}

/**
 * One question to the thread of the process, and one to its main loop while none is open there: either answer shows that it
 * lives, and what the main loop says of its instances is passed on.
 */
function askOf<Api extends ProcessApi>(
  process: RunningProcess<Api>,
  onGreeting: (greeting: GreetingOf<Api>) => void,
): () => Promise<number> {
  let greeted: Promise<number> | null = null
  return () => {
    greeted ??= process.host
      .hello()
      .then((greeting) => {
        onGreeting(greeting as GreetingOf<Api>)
        return 0
      })
      .finally(() => {
        greeted = null
      })
    return Promise.any([process.pulse(), greeted])
  }
}

const seconds = (ms: number): string => `${Math.round(ms / 1000)} s`
