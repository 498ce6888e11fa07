/**
 * Keeps clients from filling the disk that the ledger, acknowledgements and checkpoints need, too.
 *
 * Two marks on the free bytes of the disk. Below the high mark the instances that hold the most take no messages; below
 * the reserve none does. Whatever gives space back (acknowledging, retention, deleting topics and instances) works on
 * from the reserve. A mark that was passed holds until a quarter more is free, so that sends do not flicker.
 *
 * The disk is asked on a timer of its own, more often the less is free, and never on a message's path.
 */
import type { Cancel, Clock, Disk, DiskSpace } from '../../world/world.ts'

/** Of the disk, kept free for everything but messages; at most `maxReserveBytes`. */
const reserveShare = 0.05
const maxReserveBytes = 1024 * 1024 * 1024
/** Free bytes below which the largest instances give way, as a multiple of the reserve. */
const highMark = 2
/** So much more must be free before a refusal ends. */
const slack = 1.25

const pollMs = 2_000
/** Where less than this multiple of the reserve is free, a fast producer could pass both marks within `pollMs`. */
const closeMark = 4
const closePollMs = 200

export interface Stored {
  readonly instanceId: string
  readonly storedBytes: number
}

/** What the disk leaves for messages: `high` has the largest instances refused, `reserve` all of them. */
export type Pressure = 'none' | 'high' | 'reserve'

export const reserveBytes = ({ totalBytes }: DiskSpace): number => Math.min(totalBytes * reserveShare, maxReserveBytes)

/** The pressure now, given what it was when the disk was last looked at. */
export function pressureOf(space: DiskSpace, before: Pressure): Pressure {
  const reserve = reserveBytes(space)
  const below = (mark: number, passed: boolean): boolean => space.freeBytes < mark * (passed ? slack : 1)
  if (below(reserve, before === 'reserve')) return 'reserve'
  return below(reserve * highMark, before !== 'none') ? 'high' : 'none'
}

/** Ids of the instances that take no messages. An instance that holds little is not why the disk is full. */
export function whoGivesWay(pressure: Pressure, instances: readonly Stored[], reserve: number): ReadonlySet<string> {
  if (pressure === 'none') return new Set()
  if (pressure === 'reserve') return new Set(instances.map(({ instanceId }) => instanceId))
  const average = instances.reduce((sum, { storedBytes }) => sum + storedBytes, 0) / instances.length
  const share = Math.max(average, reserve)
  return new Set(instances.filter(({ storedBytes }) => storedBytes >= share).map(({ instanceId }) => instanceId))
}

export interface DiskMarksOptions {
  readonly disk: Pick<Disk, 'space'>
  readonly clock: Clock
  readonly directory: string
  readonly instances: () => readonly Stored[]
  /** Told when what `reasonFor` says of an instance has changed. */
  readonly changed: (instanceId: string) => void
  readonly report: (error: unknown) => void
}

export class DiskMarks {
  readonly #options: DiskMarksOptions
  readonly #paused = new Set<string>()
  #pressure: Pressure = 'none'
  #cancel: Cancel | null = null
  #closed = false

  constructor(options: DiskMarksOptions) {
    this.#options = options
  }

  /** Why the instance takes no messages, for producers and operators alike; null when it does. */
  reasonFor(instanceId: string): string | null {
    return this.#paused.has(instanceId) ? sentence(instanceId) : null
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
        this.#judge(space)
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

  #judge(space: DiskSpace): void {
    this.#pressure = pressureOf(space, this.#pressure)
    const instances = this.#options.instances()
    const giveWay = whoGivesWay(this.#pressure, instances, reserveBytes(space))
    for (const { instanceId } of instances) {
      if (giveWay.has(instanceId) === this.#paused.has(instanceId)) continue
      if (giveWay.has(instanceId)) this.#paused.add(instanceId)
      else this.#paused.delete(instanceId)
      this.#options.changed(instanceId)
    }
    const open = new Set(instances.map(({ instanceId }) => instanceId))
    for (const instanceId of this.#paused) if (!open.has(instanceId)) this.#paused.delete(instanceId)
  }
}

/** Names no path and no size of the machine: producers read it. */
const sentence = (instanceId: string): string =>
  `Instance ${instanceId} takes no messages for now: the disk of this server is nearly full. Messages can still be received and acknowledged; sends go on by themselves once space is free, so try again later. Whoever runs the server frees space, deletes instances or topics, or shortens the retention.`
