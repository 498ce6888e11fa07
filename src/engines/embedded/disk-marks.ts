/**
 * Keeps clients from filling the disk that the ledger, acknowledgements and checkpoints need, too.
 *
 * Three marks on the free bytes of the disk, which all processes see alike. Below the high mark the instances that hold
 * the most take no messages; below the reserve none does; below half of it nothing is written but what gives space back
 * (acknowledging, retention, deleting topics and instances). A mark that was passed holds until a quarter more is free,
 * so that sends do not flicker.
 *
 * The disk is asked on a timer of its own, more often the less is free, and never on a message's path.
 */
import type { InstanceId } from '../../model/ids.ts'
import type { Cancel, Clock, Disk, DiskSpace } from '../../world/world.ts'

/** Of the disk, kept free for everything but messages; at most `maxReserveBytes`. */
const reserveShare = 0.05
const maxReserveBytes = 1024 * 1024 * 1024
/** Free bytes below which the largest instances give way, as a multiple of the reserve. */
const highMark = 2
/** Free bytes below which only what gives space back is written, as a part of the reserve. */
const lastMark = 0.5
/** So much more must be free before a refusal ends. */
const slack = 1.25

const pollMs = 2_000
/** Where less than this multiple of the reserve is free, a fast producer could pass both marks within `pollMs`. */
const closeMark = 4
const closePollMs = 200

export interface Stored {
  readonly instanceId: InstanceId
  readonly storedBytes: number
}

/** What the disk leaves: `high` has messages of the largest instances refused, `reserve` of all, `last` whatever gives no space back. */
export type Pressure = 'none' | 'high' | 'reserve' | 'last'

/** What an instance refuses, in sentences for clients and operators alike. */
export interface DiskPause {
  readonly sends: string
  /** Null while everything but messages is written. */
  readonly writes: string | null
}

export const reserveBytes = ({ totalBytes }: DiskSpace): number => Math.min(totalBytes * reserveShare, maxReserveBytes)

/** The pressure now, given what it was when the disk was last looked at. */
export function pressureOf(space: DiskSpace, before: Pressure): Pressure {
  const reserve = reserveBytes(space)
  const below = (mark: number, passed: boolean): boolean => space.freeBytes < mark * (passed ? slack : 1)
  if (below(reserve * lastMark, before === 'last')) return 'last'
  if (below(reserve, before === 'reserve' || before === 'last')) return 'reserve'
  return below(reserve * highMark, before !== 'none') ? 'high' : 'none'
}

/** Ids of the instances that take no messages. An instance that holds little is not why the disk is full. */
export function whoGivesWay(pressure: Pressure, instances: readonly Stored[], reserve: number): ReadonlySet<string> {
  if (pressure === 'none') return new Set()
  if (pressure !== 'high') return new Set(instances.map(({ instanceId }) => instanceId))
  const average = instances.reduce((sum, { storedBytes }) => sum + storedBytes, 0) / instances.length
  const share = Math.max(average, reserve)
  return new Set(instances.filter(({ storedBytes }) => storedBytes >= share).map(({ instanceId }) => instanceId))
}

export interface DiskMarksOptions {
  readonly disk: Pick<Disk, 'space'>
  readonly clock: Clock
  readonly directory: string
  /** Those that are open in this process. */
  readonly instances: () => readonly Stored[]
  /** The others that lie on the same disk: whoever gives way is one of all. */
  readonly elsewhere: (own: ReadonlySet<string>) => Promise<readonly Stored[]>
  /** Told when what `pauseOf` says of an instance has changed. */
  readonly changed: (instanceId: InstanceId) => void
  readonly report: (error: unknown) => void
}

export class DiskMarks {
  readonly #options: DiskMarksOptions
  readonly #paused = new Map<string, DiskPause>()
  #elsewhere: readonly Stored[] = []
  #listedAt = Number.NEGATIVE_INFINITY
  #pressure: Pressure = 'none'
  #cancel: Cancel | null = null
  #closed = false

  constructor(options: DiskMarksOptions) {
    this.#options = options
  }

  /** Null when it takes messages. */
  pauseOf(instanceId: InstanceId): DiskPause | null {
    return this.#paused.get(instanceId) ?? null
  }

  /** Looks now, and from then on by itself while instances are open. Called with each that is opened. */
  start(): void {
    if (this.#cancel === null && !this.#closed) this.#cancel = this.#options.clock.after(0, () => void this.look())
  }

  /** One look at the disk; also what the timer does. */
  async look(): Promise<void> {
    const { disk, directory, clock, instances, report } = this.#options
    let waitMs = pollMs
    try {
      const space = await disk.space(directory)
      if (space !== null && !this.#closed) {
        this.#pressure = pressureOf(space, this.#pressure)
        if (this.#pressure === 'high') await this.#listElsewhere()
        this.#pauseOrResume(space)
        if (space.freeBytes < reserveBytes(space) * closeMark) waitMs = closePollMs
      }
    } catch (error) {
      // A disk that cannot be asked says so by refusing writes. Without the folder nothing is stored yet.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') report(error)
    }
    this.#cancel?.()
    const idle = this.#closed || instances().length === 0
    this.#cancel = idle ? null : clock.after(waitMs, () => void this.look())
  }

  close(): void {
    this.#closed = true
    this.#cancel?.()
  }

  /** Many files are looked at for it, so not with every look. */
  async #listElsewhere(): Promise<void> {
    const { clock, instances, elsewhere } = this.#options
    if (clock.monotonic() - this.#listedAt < pollMs) return
    this.#elsewhere = await elsewhere(new Set(instances().map(({ instanceId }) => instanceId)))
    this.#listedAt = clock.monotonic()
  }

  #pauseOrResume(space: DiskSpace): void {
    const own = this.#options.instances()
    const giveWay = whoGivesWay(this.#pressure, [...own, ...this.#elsewhere], reserveBytes(space))
    const before = new Map(this.#paused)
    this.#paused.clear()
    for (const { instanceId } of own) {
      const known = before.get(instanceId)
      const isLast = this.#pressure === 'last'
      if (giveWay.has(instanceId))
        this.#paused.set(
          instanceId,
          known && (known.writes !== null) === isLast ? known : sentences(instanceId, isLast),
        )
    }
    for (const { instanceId } of own)
      if (before.get(instanceId) !== this.#paused.get(instanceId)) this.#options.changed(instanceId)
  }
}

/** They name no path and no size of the machine: clients read them. */
const sentences = (instanceId: InstanceId, isLast: boolean): DiskPause => ({
  sends: `Instance ${instanceId} takes no messages for now: the disk of this server is nearly full. Messages can still be received and acknowledged; sends go on by themselves once space is free, so try again later. ${advice}`,
  writes: isLast
    ? `Instance ${instanceId} writes nothing for now but acknowledgements and deletions: the disk of this server is all but full. Everything goes on by itself once space is free, so try again later. ${advice}`
    : null,
})

const advice = 'Whoever runs the server frees space, deletes instances or topics, or shortens the retention.'
