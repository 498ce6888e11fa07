/**
 * The broker processes of a home: which instance belongs to which (placement.ts), where each is open, and the processes
 * kept alive (supervisor.ts). Takes over those that an earlier server left running.
 *
 * An instance is open in one process at most: it is closed in the one before it is opened in another. What belongs
 * where is written down in the home (placement-file.ts), so the next server finds it.
 */
import type { InstanceId } from '../../model/ids.ts'
import type { InstanceSpec } from '../../model/instances.ts'
import { EngineError } from '../../model/refusals.ts'
import type { Clock } from '../../world/world.ts'
import { patienceOf } from '../processes/heartbeat.ts'
import { placeOf, poolNames, resize } from '../processes/placement.ts'
import { createProcessesWriter, readProcessesFile } from '../processes/placement-file.ts'
import {
  type Launcher,
  newRecord,
  type ProcessRecord,
  ProcessSupervisor,
  type RunningProcess,
} from '../processes/supervisor.ts'
import { within } from '../processes/time-limit.ts'
import type { Attention, HostApi } from './host-api.ts'

export interface BrokerProcessesOptions {
  readonly clock: Clock
  /** Finds and starts broker processes (host-process.ts), or makes hosts in this process (tests). */
  readonly launcher: Launcher<HostApi>
  /** Where placements are written down. */
  readonly file: string
  /** Processes that share the instances without one of their own. */
  readonly pool: number
  /** Seconds for which the event loop of a broker process may stand still before it is killed and started again; 0: for ever. */
  readonly hangSeconds: number
  /** Takes what must not be shown out of a text. */
  readonly clean: (text: string) => string
  /** Something about the instance may have changed without being asked. */
  readonly changed: (instanceId: InstanceId) => void
  readonly report: (error: unknown) => void
}

/** A process that does not say within this time what it holds does not hold up the others. */
export const observeLimitMs = 5_000

export class BrokerProcesses {
  readonly #options: BrokerProcessesOptions
  #placements = new Map<InstanceId, string>()
  readonly #records = new Map<string, ProcessRecord>()
  readonly #supervisors = new Map<string, ProcessSupervisor<HostApi>>()
  /** Where an instance is open, as far as this server knows. */
  readonly #openIn = new Map<InstanceId, string>()
  /** By process: what it said last of its instances that are to be looked at again. */
  readonly #attention = new Map<string, readonly Attention[]>()
  readonly #endings = new Set<Promise<void>>()
  readonly #written: ReturnType<typeof createProcessesWriter>

  constructor(options: BrokerProcessesOptions) {
    this.#options = options
    this.#written = createProcessesWriter(
      options.file,
      () => ({ pool: options.pool, instances: this.#placements, processes: this.#records }),
      options.report,
    )
  }

  /** Takes over what runs, and starts what instances are placed in. */
  async start(): Promise<void> {
    const { file, launcher, pool, report } = this.#options
    const known = readProcessesFile(file, report)
    for (const [name, record] of known.processes) this.#records.set(name, record)
    this.#placements = new Map(known.instances)
    await this.#takeOver(new Set([...(await launcher.names()), ...known.instances.values()]))
    for (const [instanceId, name] of this.#openIn) this.#placements.set(instanceId, name)
    if (known.pool !== pool) {
      this.#placements = resize(this.#placements, pool)
      this.#written.changed()
    }
    for (const name of this.#supervisors.keys()) this.#endIfIdle(name)
    // What is placed will be asked for as soon as the ledger is open: the processes start meanwhile.
    for (const name of new Set(this.#placements.values())) this.#begin(name)
  }

  /** Starts the first process of the pool when none runs. Does not wait. */
  warm(): void {
    if ([...this.#supervisors.values()].some(({ running }) => running !== null)) return
    this.#begin(poolNames(this.#options.pool)[0]!)
  }

  /** Ends or detaches each, and forgets where instances are open. */
  async settle(end: (supervisor: ProcessSupervisor<HostApi>) => Promise<void>): Promise<void> {
    await Promise.all([...[...this.#supervisors.values()].map(end), ...this.#endings])
    this.#supervisors.clear()
    this.#openIn.clear()
    await this.#written.settled()
  }

  // Where an instance is

  /** The process that the instance belongs to, running; the instance is open in no other one then. */
  async moveIn(spec: InstanceSpec): Promise<RunningProcess<HostApi>> {
    const { instanceId } = spec
    const name = placeOf(this.#placements, this.#options.pool, spec)
    if (this.#placements.get(instanceId) !== name) {
      this.#placements.set(instanceId, name)
      this.#written.changed()
    }
    await this.#closeElsewhere(instanceId, name)
    const process = await this.#supervisorOf(name).use()
    this.#openIn.set(instanceId, name)
    return process
  }

  /** The instance is gone. */
  moveOut(instanceId: InstanceId): void {
    const names = new Set([this.#openIn.get(instanceId), this.#placements.get(instanceId)])
    this.#openIn.delete(instanceId)
    this.#placements.delete(instanceId)
    this.#written.changed()
    for (const name of names) if (name !== undefined) this.#endIfIdle(name)
  }

  /** The process in which the instance is open, when it runs. */
  runningOf(instanceId: InstanceId): RunningProcess<HostApi> | null {
    const name = this.#openIn.get(instanceId)
    return name === undefined ? null : (this.#supervisors.get(name)?.running ?? null)
  }

  /** Why the process of the instance is not to be asked, as a sentence; null when it may be, or is not known. */
  failureOf(instanceId: InstanceId): string | null {
    const name = this.#placements.get(instanceId)
    return name === undefined ? null : (this.#supervisors.get(name)?.failure ?? null)
  }

  /**
   * The host that holds the instance open. Throws `absent` when no process does, and `unavailable` for a process that
   * hangs, because further calls would only wait behind each other.
   */
  hostOf(instanceId: InstanceId): HostApi {
    const failure = this.failureOf(instanceId)
    if (failure !== null) throw new EngineError('unavailable', failure)
    const process = this.runningOf(instanceId)
    if (process === null) throw new EngineError('absent', `No broker process holds instance ${instanceId}.`)
    return process.host
  }

  /** Instances that are placed, open or not. */
  placed(): InstanceId[] {
    return [...this.#placements.keys()]
  }

  isOpenIn(instanceId: InstanceId, name: string): boolean {
    return this.#openIn.get(instanceId) === name
  }

  /** Processes that run and may be asked. */
  running(): Array<{ readonly name: string; readonly process: RunningProcess<HostApi> }> {
    return [...this.#supervisors.values()].flatMap(({ name, running, failure }) =>
      running === null || failure !== null ? [] : [{ name, process: running }],
    )
  }

  // The processes

  #supervisorOf(name: string): ProcessSupervisor<HostApi> {
    const known = this.#supervisors.get(name)
    if (known !== undefined) return known
    const { clock, launcher, hangSeconds, clean, changed, report } = this.#options
    const lookAgain = (): void => {
      for (const [instanceId, at] of this.#placements) if (at === name) changed(instanceId)
    }
    const supervisor = new ProcessSupervisor({
      ...{ name, clock, launcher, clean, report },
      record: this.#records.get(name) ?? newRecord,
      patience: patienceOf(hangSeconds),
      onEnd: () => {
        for (const [instanceId, at] of this.#openIn) if (at === name) this.#openIn.delete(instanceId)
      },
      onReturn: lookAgain,
      onFailing: lookAgain,
      onAnswer: lookAgain,
      onGreeting: ({ attention }) => this.#heed(name, attention),
      onRecord: (record) => {
        this.#records.set(name, record)
        this.#written.changed()
      },
    })
    this.#supervisors.set(name, supervisor)
    return supervisor
  }

  /** Each change once: the loop tries on until it is mended. */
  #heed(name: string, attention: readonly Attention[]): void {
    const before = new Map(this.#attention.get(name)?.map(({ instanceId, changeToken }) => [instanceId, changeToken]))
    this.#attention.set(name, attention)
    for (const { instanceId, changeToken } of attention) {
      if (before.get(instanceId) !== changeToken) this.#options.changed(instanceId)
    }
  }

  #begin(name: string): void {
    this.#supervisorOf(name)
      .use()
      // Reported by the supervisor, which goes on.
      .catch(() => {})
  }

  async #takeOver(names: ReadonlySet<string>): Promise<void> {
    const { clock, report } = this.#options
    const each = async (name: string): Promise<void> => {
      const supervisor = this.#supervisorOf(name)
      if (supervisor.running !== null) return
      try {
        const found = await supervisor.adopt()
        if (found === null) return
        const held = await within(clock, observeLimitMs, found.host.observe(), `Broker process ${name} is silent.`)
        for (const { instanceId } of held) this.#openIn.set(instanceId, name)
      } catch (error) {
        report(error)
      }
    }
    await Promise.all([...names].map(each))
  }

  async #closeElsewhere(instanceId: InstanceId, name: string): Promise<void> {
    const before = this.#openIn.get(instanceId)
    if (before === undefined || before === name) return
    await this.#supervisors.get(before)?.running?.host.releaseInstance({ instanceId })
    this.#openIn.delete(instanceId)
    this.#endIfIdle(before)
  }

  /** Ends a process that is neither of the pool nor anybody's own, once nothing is open in it. */
  #endIfIdle(name: string): void {
    const supervisor = this.#supervisors.get(name)
    if (supervisor === undefined || poolNames(this.#options.pool).includes(name)) return
    if ([...this.#openIn.values(), ...this.#placements.values()].includes(name)) return
    this.#supervisors.delete(name)
    this.#attention.delete(name)
    this.#records.delete(name)
    this.#written.changed()
    const ended = supervisor
      .end()
      .then(() => this.#options.launcher.forget(name))
      .catch(this.#options.report)
      .finally(() => this.#endings.delete(ended))
    this.#endings.add(ended)
  }
}
