/**
 * The embedded engine: Gantry's own broker, in processes of their own. This file is the seam's near
 * side: it knows which instance belongs to which process (placement.ts), has the processes kept alive
 * (supervisor.ts), takes over those that an earlier server left running, and passes calls on.
 *
 * An instance is open in one process at most: it is closed in the one before it is opened in another,
 * and its lock (folder-lock.ts) holds even where this server's knowledge fails. A process starts when
 * an instance first needs it.
 */

import type { GroupSpec, InstanceSpec, TopicSpec } from '../../model/instances.ts'
import type { InstanceObservation } from '../../model/observations.ts'
import { EngineError } from '../../model/refusals.ts'
import type { Clock, Disk } from '../../world/world.ts'
import type { Engine, EngineCapabilities } from '../engine.ts'
import { lockFolder } from './folder-lock.ts'
import { beatMs } from './heartbeat.ts'
import type { HostApi, HostGreeting } from './host-api.ts'
import { within } from './host-process.ts'
import { listFolders, removeFolder, sweepRemoved } from './instance-folders.ts'
import { createKeyedQueue } from './keyed-queue.ts'
import { hostPaths } from './paths.ts'
import { placeOf, poolNames, resize } from './placement.ts'
import { createProcessesWriter, readProcessesFile } from './placement-file.ts'
import { type Launcher, newRecord, type ProcessRecord, ProcessSupervisor, type RunningProcess } from './supervisor.ts'

export interface EmbeddedEngineOptions {
  readonly clock: Clock
  readonly disk: Disk
  readonly home: string
  /** Finds and starts broker processes (host-process.ts), or makes hosts in this process (tests). */
  readonly launcher: Launcher
  /** Processes that share the instances without one of their own. */
  readonly pool: number
  /** Seconds without an answer after which a broker process is killed and started again; 0: never. */
  readonly hangSeconds: number
  /** 32 bytes that the instance's messages are encrypted with under the key id its owner named. */
  readonly storageKey: (instanceId: string, keyId: string) => Uint8Array
  readonly report: (error: unknown) => void
}

export interface EmbeddedEngine extends Engine {
  /** Instead of `stop`, when a server did not come up: processes that served before it serve on, those it started end. */
  detach(): Promise<void>
  /** Starts the first process of the pool when none runs, so that a first instance need not wait for it. Does not wait. */
  warm(): void
}

/** What this version's broker carries; the API refuses the rest naming the flag. */
const capabilities: EngineCapabilities = {
  messageTypes: ['NORMAL', 'FIFO', 'DELAY', 'TRANSACTION', 'LITE', 'PRIORITY'],
  orderlyGroups: true,
  storageEncryption: true,
}

/** A process that does not say within this time what it holds does not hold up the others. */
const observeLimitMs = 5_000

export function createEmbeddedEngine(options: EmbeddedEngineOptions): EmbeddedEngine {
  const { clock, disk, launcher, report } = options
  const places = hostPaths(options.home)
  let placements = new Map<string, string>()
  const records = new Map<string, ProcessRecord>()
  const supervisors = new Map<string, ProcessSupervisor>()
  /** Where an instance is open, as far as this server knows. */
  const openIn = new Map<string, string>()
  /** By process: what it said last of its instances that are to be looked at again. */
  const attentionOf = new Map<string, HostGreeting['attention']>()
  /** What must not be shown when a process's last words are. */
  const secrets = new Map<string, readonly string[]>()
  // A move has two steps; nothing else may come between.
  const inTurn = createKeyedQueue()
  const endings = new Set<Promise<void>>()
  let started: Promise<void> | null = null
  let changed: (instanceId: string | null) => void = () => {}
  let stopped = false
  const written = createProcessesWriter(
    places.processes,
    () => ({ pool: options.pool, instances: placements, processes: records }),
    report,
  )

  function supervisorOf(name: string): ProcessSupervisor {
    const known = supervisors.get(name)
    if (known !== undefined) return known
    const mine = (): string[] => [...placements].filter(([, at]) => at === name).map(([instanceId]) => instanceId)
    const supervisor = new ProcessSupervisor({
      name,
      clock,
      launcher,
      record: records.get(name) ?? newRecord,
      hangBeats: Math.round((options.hangSeconds * 1000) / beatMs),
      clean: withoutSecrets,
      report,
      onEnd() {
        for (const [instanceId, at] of openIn) if (at === name) openIn.delete(instanceId)
      },
      onReturn: () => mine().forEach(changed),
      onFailing: () => mine().forEach(changed),
      onAnswer: () => mine().forEach(changed),
      onGreeting: (greeting) => tellAttention(name, greeting.attention),
      onRecord(record) {
        records.set(name, record)
        written.changed()
      },
    })
    supervisors.set(name, supervisor)
    return supervisor
  }

  /** Each once: the loop tries on until it is mended. */
  function tellAttention(name: string, attention: HostGreeting['attention']): void {
    const before = new Map(attentionOf.get(name)?.map(({ instanceId, changeToken }) => [instanceId, changeToken]))
    attentionOf.set(name, attention)
    for (const { instanceId, changeToken } of attention) if (before.get(instanceId) !== changeToken) changed(instanceId)
  }

  function withoutSecrets(text: string): string {
    let clean = text
    for (const values of secrets.values()) for (const value of values) clean = clean.replaceAll(value, '[secret]')
    return clean
  }

  // Starting, stopping, taking over

  async function start(): Promise<void> {
    stopped = false
    const known = readProcessesFile(places.processes, report)
    for (const [name, record] of known.processes) records.set(name, record)
    placements = new Map(known.instances)
    await takeOver(new Set([...(await launcher.names()), ...known.instances.values()]))
    for (const [instanceId, name] of openIn) placements.set(instanceId, name)
    if (known.pool !== options.pool) {
      placements = resize(placements, options.pool)
      written.changed()
    }
    for (const name of supervisors.keys()) endIfIdle(name)
    sweepRemoved(disk, places.instances).catch(report)
    // What is placed will be asked for as soon as the ledger is open: the processes start meanwhile.
    for (const name of new Set(placements.values())) {
      supervisorOf(name)
        .use()
        // Reported by the supervisor, which goes on.
        .catch(() => {})
    }
  }

  async function takeOver(names: ReadonlySet<string>): Promise<void> {
    await Promise.all(
      [...names].map(async (name) => {
        const supervisor = supervisorOf(name)
        if (supervisor.running !== null) return
        try {
          const found = await supervisor.adopt()
          if (found === null) return
          const held = await within(clock, observeLimitMs, found.host.observe(), `Broker process ${name} is silent.`)
          for (const { instanceId } of held) openIn.set(instanceId, name)
        } catch (error) {
          report(error)
        }
      }),
    )
  }

  /** Ends a process that is neither of the pool nor anybody's own, once nothing is open in it. */
  function endIfIdle(name: string): void {
    const supervisor = supervisors.get(name)
    if (supervisor === undefined || poolNames(options.pool).includes(name)) return
    if ([...openIn.values(), ...placements.values()].includes(name)) return
    supervisors.delete(name)
    attentionOf.delete(name)
    records.delete(name)
    written.changed()
    const ended = supervisor
      .end()
      .then(() => launcher.forget(name))
      .catch(report)
      .finally(() => endings.delete(ended))
    endings.add(ended)
  }

  async function settle(end: (supervisor: ProcessSupervisor) => Promise<void>): Promise<void> {
    await started?.catch(() => {})
    stopped = true
    await Promise.all([...[...supervisors.values()].map(end), ...endings])
    supervisors.clear()
    openIn.clear()
    started = null
    await written.settled()
  }

  // Calls

  function refuseIfStopped(): void {
    if (stopped) throw new EngineError('unavailable', 'The engine is stopped.')
  }

  /** The process in which the instance is open, when it runs. */
  function runningOf(instanceId: string): RunningProcess | null {
    const name = openIn.get(instanceId)
    return name === undefined ? null : (supervisors.get(name)?.running ?? null)
  }

  /** Refused for a process that hangs: asking it would only pile up questions. */
  async function hostOf(instanceId: string): Promise<HostApi> {
    refuseIfStopped()
    const process = runningOf(instanceId)
    const failure = failureOf(instanceId)
    if (process !== null && failure === null) return process.host
    throw failure === null
      ? new EngineError('absent', `No broker process holds instance ${instanceId}.`)
      : new EngineError('unavailable', failure)
  }

  function failureOf(instanceId: string): string | null {
    const name = placements.get(instanceId)
    return name === undefined ? null : (supervisors.get(name)?.failure ?? null)
  }

  async function ensureInstance(spec: InstanceSpec): Promise<InstanceObservation> {
    refuseIfStopped()
    const { instanceId } = spec
    const name = placeOf(placements, options.pool, spec)
    const storageKey = storageKeyOf(spec)
    secrets.set(
      instanceId,
      [...spec.accounts.map(({ secret }) => secret), storageKey ?? ''].filter((value) => value !== ''),
    )
    if (placements.get(instanceId) !== name) {
      placements.set(instanceId, name)
      written.changed()
    }
    await closeElsewhere(instanceId, name)
    const { host } = await supervisorOf(name).use()
    openIn.set(instanceId, name)
    return host.ensureInstance({ spec, storageKey })
  }

  async function closeElsewhere(instanceId: string, name: string): Promise<void> {
    const before = openIn.get(instanceId)
    if (before === undefined || before === name) return
    await supervisors.get(before)?.running?.host.releaseInstance({ instanceId })
    openIn.delete(instanceId)
    endIfIdle(before)
  }

  async function removeInstance(instanceId: string): Promise<void> {
    refuseIfStopped()
    const at = openIn.get(instanceId)
    const process = runningOf(instanceId)
    if (process === null) await removeWithoutProcess(instanceId)
    else await process.host.removeInstance({ instanceId })
    openIn.delete(instanceId)
    secrets.delete(instanceId)
    const placed = placements.get(instanceId)
    placements.delete(instanceId)
    written.changed()
    for (const name of new Set([at, placed])) if (name !== undefined) endIfIdle(name)
  }

  /** Also what no process could open is to go. The lock says whether one has it that this server lost sight of. */
  async function removeWithoutProcess(instanceId: string): Promise<void> {
    const lock = await lockFolder(`${places.locks}/${instanceId}`, `Instance ${instanceId}`, { socket: null })
    try {
      await removeFolder(disk, places.instances, instanceId)
    } catch (error) {
      await lock.release()
      throw error
    }
    await lock.forget()
  }

  async function observe(): Promise<InstanceObservation[]> {
    refuseIfStopped()
    const seen = new Map<string, InstanceObservation>()
    const silent = new Map<string, string>()
    const asked = [...supervisors.values()].map(async (supervisor) => {
      const { name, running, failure } = supervisor
      // What is silent is told below; asking would only take longer.
      if (running === null || failure !== null) return
      try {
        const sentence = `Broker process ${name} (process ${running.greeting.pid}) does not answer.`
        const held = await within(clock, observeLimitMs, running.host.observe(), sentence)
        for (const one of held) seen.set(one.instanceId, one)
      } catch (error) {
        silent.set(name, (error as Error).message)
      }
    })
    const [folders] = await Promise.all([listFolders(disk, places.instances), ...asked])
    const silentOf = (instanceId: string): string | null => silent.get(openIn.get(instanceId) ?? '') ?? null
    const known = [...placements.keys()].filter((instanceId) => silentOf(instanceId) ?? failureOf(instanceId))
    for (const instanceId of [...folders, ...known]) {
      if (seen.has(instanceId)) continue
      seen.set(instanceId, remainsOf(instanceId, silentOf(instanceId) ?? failureOf(instanceId)))
    }
    return [...seen.values()]
  }

  async function observeInstance(instanceId: string): Promise<InstanceObservation | null> {
    refuseIfStopped()
    const running = runningOf(instanceId)
    const failure = failureOf(instanceId)
    if (running !== null && failure === null) {
      const seen = await running.host.observeInstance({ instanceId })
      if (seen !== null) return seen
    }
    if (failure !== null || (await listFolders(disk, places.instances)).includes(instanceId))
      return remainsOf(instanceId, failure)
    return null
  }

  function storageKeyOf({ instanceId, encryptionKeyId }: InstanceSpec): string | null {
    if (encryptionKeyId === null) return null
    return Buffer.from(options.storageKey(instanceId, encryptionKeyId)).toString('base64')
  }

  return {
    name: 'embedded',
    capabilities,
    onChange: (listener) => {
      changed = listener
    },
    start() {
      started ??= start().catch((error: unknown) => {
        started = null
        throw error
      })
      return started
    },
    stop: () => settle((supervisor) => supervisor.end()),
    detach: () => settle((supervisor) => supervisor.detach()),
    warm() {
      if (stopped || [...supervisors.values()].some(({ running }) => running !== null)) return
      // Reported by the supervisor, which goes on.
      void supervisorOf(poolNames(options.pool)[0]!)
        .use()
        .catch(() => {})
    },
    observe,
    observeInstance,
    ensureInstance: (spec) => inTurn(spec.instanceId, () => ensureInstance(spec)),
    removeInstance: (instanceId) => inTurn(instanceId, () => removeInstance(instanceId)),
    async ensureTopics(instanceId, topics) {
      for (const topic of topics) checkTopic(topic)
      await (await hostOf(instanceId)).ensureTopics({ instanceId, topics })
    },
    async removeTopic(instanceId, topicName) {
      await (await hostOf(instanceId)).removeTopic({ instanceId, topicName })
    },
    async ensureGroups(instanceId, groups) {
      for (const group of groups) checkGroup(group)
      await (await hostOf(instanceId)).ensureGroups({ instanceId, groups })
    },
    async removeGroup(instanceId, consumerGroupId) {
      await (await hostOf(instanceId)).removeGroup({ instanceId, consumerGroupId })
    },
    async resetOffsets(instanceId, resets) {
      await (await hostOf(instanceId)).resetOffsets({ instanceId, resets })
    },
    async ask(instanceId, question, params) {
      return (await hostOf(instanceId)).ask({ instanceId, question, params })
    },
  }
}

/** What is there of an instance that no process holds open, or whose process cannot be asked. */
const remainsOf = (instanceId: string, failure: string | null): InstanceObservation => ({
  instanceId,
  generation: 0,
  state: failure === null ? 'stopped' : 'failed',
  reason: failure,
  topics: [],
  groups: [],
})

function checkTopic({ topicName, messageType }: TopicSpec): void {
  if (capabilities.messageTypes.includes(messageType)) return
  throw new EngineError(
    'unsupported',
    `The embedded engine carries ${capabilities.messageTypes.join(', ')} topics; topic ${topicName} is ${messageType}.`,
  )
}

function checkGroup({ consumerGroupId, orderly }: GroupSpec): void {
  if (!orderly || capabilities.orderlyGroups) return
  throw new EngineError(
    'unsupported',
    `The embedded engine has no ordered delivery; group ${consumerGroupId} asks for it.`,
  )
}
