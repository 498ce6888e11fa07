/**
 * How much is begun in one turn of the event loop. One read of a socket may hold hundreds of calls, and one turn hundreds
 * of reads. Calls are begun, and their requests decoded and carried out, as they come until the turn has lasted `turnMs`; the
 * rest waits, and goes on in the turns that follow: whichever instance has had the least time, and in it connections in turn.
 * Whoever has many waiting is not read from, so that what waits is what one read held; one such connection a turn is read
 * from again. Answers that become ready together, as those of many sends whose bytes are on disk at once, are bounded alike.
 *
 * What one read holds is taken apart by Node whatever is put off here. So when the time of a turn is over and calls still
 * come, no connection is read from in that turn any more: those that are ready are in the turns that follow, one after
 * another, and the one that used up the turn comes last.
 *
 * With a clock that does not move nothing ever waits, but what was asked to be done later.
 */
import type { Clock } from '../world/world.ts'

/** As `broker/shell/turn-budget.ts`: a fraction of the 50 ms that a turn may last, for one read goes on for a while after. */
const turnMs = 8
/**
 * Calls of a turn after which the clock is looked at: 2 to 12 ms of work on top. Together with what is begun in 8 ms they are
 * as many as honest clients have at a time, and what begins together is written together; put off, it would cost more in all.
 */
const uncounted = 64
/**
 * Calls begun, and requests of so many bytes decoded, in a turn up to which those of an owner of whom nothing waits do not
 * wait behind what others sent.
 */
const aheadOfOthers = 16
const smallBytes = 1_024
/**
 * Bytes of requests decoded in a turn after which the clock is looked at. So many hold at most 32,768 values: about 10 ms.
 * A request counts for `requestBytes` more than it has, for its handler.
 */
const unlookedBytes = 64 * 1024
const requestBytes = 512
/** What a value of a request of many values counts for, beside its bytes: 2,048 of them, about 1 ms, fill what is not looked at. */
const valueBytes = 32
/** What a task counts for at least, so that owners take turns on a clock that does not move, too. */
const leastMs = 0.001
/** Connections read from again in a turn after none was: stopping and starting one takes a few microseconds. */
const readAgainAtOnce = 256
/** Calls that may wait of a connection that is still read from: a client that starts or comes back has fewer. */
const fewCalls = 32

/** Whose calls wait. */
export interface Waiting {
  /** Shares the time of turns equally with other owners. */
  readonly owner: object
  pauseReading(): void
  resumeReading(): void
}

/** What waits of one owner: by connection; whoever has had a turn goes to the end. No list is empty. */
type Line = Map<Waiting, Array<() => void>>

export class CallBudget {
  readonly #clock: Pick<Clock, 'monotonic'>
  /** No line is empty. */
  readonly #lines = new Map<object, Line>()
  /** Which line a connection waits in: its owner may change meanwhile. */
  readonly #lineOf = new Map<Waiting, { readonly owner: object; readonly line: Line }>()
  /** Not read from; those of which nothing waits any more are read from again, one after another. */
  readonly #paused = new Set<Waiting>()
  /** All there are; whoever used up a turn goes to the end. */
  readonly #open = new Set<Waiting>()
  /** Not read from until the turns of those before them are over. */
  readonly #heldBack = new Set<Waiting>()
  /** Milliseconds each owner's waiting tasks have taken; one that begins to wait anew has nothing saved up. */
  readonly #used = new WeakMap<object, number>()
  /** What the owner had used whose task was done last. */
  #usedLast = 0
  /** Calls begun, in this turn and perhaps in some before. */
  #begun = 0
  /** Calls that came, the same, begun or not. */
  #came = 0
  /** Calls answered, the same. */
  #answered = 0
  /** Bytes decoded, the same. */
  #decoded = 0
  /** Small requests decoded, and calls answered, in this turn that did not wait behind others. */
  #ahead = 0
  /** The time of this turn is over, and nothing more is read in it. */
  #spent = false
  /** When the clock was first looked at in this turn; null until then. */
  #since: number | null = null
  #scheduled = false
  /** When the tasks that waited began to be done in this turn. */
  #wentOnAt = 0
  /** Whose task is being done, and since when. */
  #working: object | null = null
  #workedSince = 0
  readonly #onTurnEnd = () => this.#endTurn()
  /**
   * A task may only wake what waits for a promise, as that of a stream both ways does: then the work is done in the microtasks
   * that follow it, and counts as its own. A tick that is asked for in a microtask comes after all of them.
   */
  readonly #onMicrotask = () => process.nextTick(this.#onTaskEnd)
  readonly #onTaskEnd = () => this.#endTask()

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock
  }

  /** A connection is served from now on, until it is forgotten. */
  opened(connection: Waiting): void {
    this.#open.add(connection)
  }

  /** True when a call that has just come may begin at once; else it is to be handed to `later`. */
  mayBegin(connection: Waiting): boolean {
    if ((++this.#came > uncounted || this.#since !== null) && !this.#hasTime()) this.#stopReading(connection)
    if (this.#lines.size > 0 && (this.#begun >= aheadOfOthers || this.#isWaiting(connection))) return false
    return ++this.#begun <= uncounted || this.#hasTime()
  }

  /**
   * True when a request of `bytes` may be decoded at once; else that is to be handed to `later`. A few small ones of owners
   * of whom nothing waits do not wait behind the large ones of others.
   */
  mayDecode(connection: Waiting, bytes: number): boolean {
    if (this.#lineOf.size > 0 && this.#lineOf.has(connection)) return false
    this.#decoded += bytes + requestBytes
    if (this.#decoded <= unlookedBytes) return true
    if (this.#lines.size === 0 && this.#hasTime()) return true
    return bytes <= smallBytes && !this.#lines.has(connection.owner) && ++this.#ahead <= aheadOfOthers
  }

  /**
   * True when a call of `connection` may be answered at once; else that is to be handed to `later`. A few of owners of whom
   * nothing waits do not wait behind the answers of others.
   */
  mayAnswer(connection: Waiting): boolean {
    if (++this.#answered <= uncounted || this.#hasTime()) return true
    return this.#lines.size > 0 && !this.#isWaiting(connection) && ++this.#ahead <= aheadOfOthers
  }

  /** A request that was decoded had so many values. */
  decoded(values: number): void {
    // What a task does is measured.
    if (this.#working === null) this.#decoded += values * valueBytes
  }

  #isWaiting(connection: Waiting): boolean {
    return this.#lineOf.has(connection) || this.#lines.has(connection.owner)
  }

  #hasTime(): boolean {
    if (this.#since === null) {
      this.#since = this.#clock.monotonic()
      this.#schedule()
      return true
    }
    return this.#clock.monotonic() - this.#since < turnMs
  }

  /** Does `task` in a later turn, after what came before of the same connection. */
  later(connection: Waiting, task: () => void): void {
    const tasks = this.#lineOf.get(connection)?.line.get(connection)
    if (tasks !== undefined) {
      tasks.push(task)
      if (tasks.length > fewCalls) this.#pauseReading(connection)
      return
    }
    const { owner } = connection
    const line: Line = this.#lines.get(owner) ?? new Map()
    if (line.size === 0) {
      this.#lines.set(owner, line)
      this.#used.set(owner, Math.max(this.#used.get(owner) ?? 0, this.#usedLast))
    }
    line.set(connection, [task])
    this.#lineOf.set(connection, { owner, line })
    this.#schedule()
  }

  /** What waits of a connection that has gone is not done. */
  forget(connection: Waiting): void {
    this.#open.delete(connection)
    this.#heldBack.delete(connection)
    this.#paused.delete(connection)
    this.#leave(connection)
  }

  #leave(connection: Waiting): void {
    const waits = this.#lineOf.get(connection)
    if (waits === undefined) return
    this.#lineOf.delete(connection)
    waits.line.delete(connection)
    if (waits.line.size === 0) this.#lines.delete(waits.owner)
  }

  /** Asked again with each call: a write that ends makes Node read on. */
  #pauseReading(connection: Waiting): void {
    this.#paused.add(connection)
    connection.pauseReading()
  }

  /** `connection` goes on to send while the time of the turn is over. Asked again with each call, as above. */
  #stopReading(connection: Waiting): void {
    if (!this.#spent) {
      this.#spent = true
      if (this.#open.delete(connection)) this.#open.add(connection)
      for (const other of this.#open) this.#holdBack(other)
    }
    this.#holdBack(connection)
  }

  #holdBack(connection: Waiting): void {
    if (this.#paused.has(connection)) return
    this.#heldBack.add(connection)
    connection.pauseReading()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(this.#onTurnEnd)
  }

  #endTurn(): void {
    this.#scheduled = false
    this.#since = null
    this.#begun = 0
    this.#decoded = 0
    this.#ahead = 0
    this.#came = 0
    this.#answered = 0
    this.#spent = false
    if (!this.#isAnythingLeft()) return
    this.#wentOnAt = this.#clock.monotonic()
    this.#goOn(this.#wentOnAt)
  }

  /** Does one task; the next follows once the turn's time was looked at again. */
  #goOn(now: number): void {
    if (this.#lines.size === 0 || now - this.#wentOnAt >= turnMs) {
      this.#readAgain()
      return
    }
    const owner = this.#nextOwner()
    this.#usedLast = this.#used.get(owner)!
    this.#working = owner
    this.#workedSince = now
    this.#takeTask(this.#lines.get(owner)!)()
    queueMicrotask(this.#onMicrotask)
  }

  #endTask(): void {
    const now = this.#clock.monotonic()
    const owner = this.#working!
    this.#working = null
    this.#used.set(owner, this.#usedLast + Math.max(now - this.#workedSince, leastMs))
    this.#goOn(now)
  }

  #isAnythingLeft(): boolean {
    return this.#lines.size > 0 || this.#paused.size > 0 || this.#heldBack.size > 0
  }

  #readAgain(): void {
    let count = 0
    for (const connection of this.#heldBack) {
      if (++count > readAgainAtOnce) break
      this.#heldBack.delete(connection)
      if (!this.#paused.has(connection)) connection.resumeReading()
    }
    for (const connection of this.#paused) {
      if (this.#lineOf.has(connection)) continue
      this.#paused.delete(connection)
      connection.resumeReading()
      break
    }
    if (!this.#isAnythingLeft()) return
    // What was done of what waited is part of this turn's time.
    this.#since = this.#wentOnAt
    this.#schedule()
  }

  /** Whoever has used the least, of equals who has waited longest. */
  #nextOwner(): object {
    let next: object | null = null
    let least = Number.POSITIVE_INFINITY
    for (const owner of this.#lines.keys()) {
      const used = this.#used.get(owner)!
      if (used >= least) continue
      next = owner
      least = used
    }
    return next!
  }

  #takeTask(line: Line): () => void {
    const [connection, tasks] = line.entries().next().value!
    const task = tasks.shift()!
    if (tasks.length === 0) {
      this.#leave(connection)
    } else {
      line.delete(connection)
      line.set(connection, tasks)
    }
    return task
  }
}
