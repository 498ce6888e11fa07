/**
 * The broker host: every instance of this machine in one process, apart from the management API, so
 * that messages flow while the API is busy, restarting or down.
 *
 * An instance is a folder with its log, a broker over it, and one or two addresses ("doors"). The host
 * keeps no specification of its own: the loop brings it at each start. A folder without one is remains
 * and is observed with generation 0. Steps on one instance are serialised; every step is idempotent.
 */
import path from 'node:path'
import type { Broker } from '../../broker/broker.ts'
import { openBroker } from '../../broker/shell/open.ts'
import {
  createAuthenticator,
  createBandwidth,
  createClientRegistry,
  type InstanceDoor,
  messagingService,
} from '../../broker/wire/index.ts'
import { createGrpcHost, type GrpcHost, type PortHandle } from '../../grpc/host.ts'
import type { World } from '../../world/world.ts'
import { EngineError, type InstanceObservation, type InstanceSpec, type ListenSpec } from '../engine.ts'
import { addressFilter } from './address-filter.ts'
import type { HostApi } from './host-api.ts'

export interface HostOptions {
  readonly world: World
  /** Folder that holds one folder per instance. */
  readonly directory: string
  readonly version: string
  readonly tls: { readonly key: string; readonly cert: string }
  /** Where unexpected failures are reported. */
  readonly report: (error: unknown) => void
  /** Called by `shutdown` once everything is closed. */
  readonly onShutdown?: () => void
}

export interface BrokerHost extends HostApi {
  close(): Promise<void>
}

interface OpenDoor {
  readonly listen: ListenSpec
  readonly door: InstanceDoor
  readonly port: PortHandle
}

interface Hosted {
  readonly instanceId: string
  readonly broker: Broker
  readonly clients: ReturnType<typeof createClientRegistry>
  readonly doors: Map<ListenSpec['kind'], OpenDoor>
  spec: InstanceSpec
  /** Why the wanted addresses are not all open, or null. */
  failure: string | null
}

const removedSuffix = '.removed'
const closeGraceMs = 2000

export async function createBrokerHost(options: HostOptions): Promise<BrokerHost> {
  const { world, directory } = options
  const hosted = new Map<string, Hosted>()
  const turns = new Map<string, Promise<unknown>>()
  await sweepRemoved(options)
  const grpc: GrpcHost<InstanceDoor> = await createGrpcHost<InstanceDoor>({
    services: [messagingService],
    tls: options.tls,
    clock: world.clock,
    onError: options.report,
  })

  /** Runs the steps on one instance one after the other. */
  function inTurn<T>(instanceId: string, step: () => Promise<T>): Promise<T> {
    const before = turns.get(instanceId) ?? Promise.resolve()
    const mine = before.then(step, step)
    const settled = mine.then(
      () => {},
      () => {},
    )
    turns.set(instanceId, settled)
    void settled.then(() => {
      if (turns.get(instanceId) === settled) turns.delete(instanceId)
    })
    return mine
  }

  function present(instanceId: string): Hosted {
    const found = hosted.get(instanceId)
    if (found === undefined) throw new EngineError('absent', `The broker process does not hold instance ${instanceId}.`)
    return found
  }

  async function close(): Promise<void> {
    await Promise.all([...hosted.keys()].map((instanceId) => inTurn(instanceId, () => closeInstance(instanceId))))
    await grpc.close()
  }

  async function closeInstance(instanceId: string): Promise<void> {
    const instance = hosted.get(instanceId)
    if (instance === undefined) return
    hosted.delete(instanceId)
    // Ends waiting receives first, so that ports close with nothing under way.
    const closing = instance.broker.close()
    await Promise.all([...instance.doors.values()].map(({ port }) => port.close({ graceMs: closeGraceMs })))
    instance.clients.close()
    await closing
  }

  async function open(spec: InstanceSpec, storageKey: string | null): Promise<Hosted> {
    const broker = await openBroker({
      world,
      directory: path.join(directory, spec.instanceId),
      settings: brokerSettings(spec),
      cipherKey: storageKey === null ? null : Buffer.from(storageKey, 'base64'),
      report: options.report,
    })
    const instance: Hosted = {
      instanceId: spec.instanceId,
      broker,
      clients: createClientRegistry(broker, world.clock),
      doors: new Map(),
      spec,
      failure: null,
    }
    hosted.set(spec.instanceId, instance)
    return instance
  }

  async function openDoors(instance: Hosted, spec: InstanceSpec): Promise<void> {
    const failures: string[] = []
    for (const [kind, { listen, port }] of instance.doors) {
      const wanted = spec.listen.find((candidate) => candidate.kind === kind)
      if (wanted?.port === listen.port && wanted.host === listen.host) continue
      instance.doors.delete(kind)
      await port.close({ graceMs: closeGraceMs })
    }
    for (const listen of spec.listen) {
      const existing = instance.doors.get(listen.kind)
      if (existing === undefined) {
        const failure = await openDoor(instance, spec, listen)
        if (failure !== null) failures.push(failure)
      } else {
        applyToDoor(existing.door, spec, listen)
        existing.port.update({ accept: addressFilter(listen.allow), maxConnections: spec.maxConnections })
        instance.doors.set(listen.kind, { ...existing, listen })
      }
    }
    instance.failure = failures.length === 0 ? null : failures.join(' ')
  }

  async function openDoor(instance: Hosted, spec: InstanceSpec, listen: ListenSpec): Promise<string | null> {
    const door: InstanceDoor = {
      instanceId: spec.instanceId,
      broker: instance.broker,
      clients: instance.clients,
      clock: world.clock,
      authenticator: null,
      serving: spec.serving,
      bandwidth: createBandwidth(listen.bandwidthMbps, world.clock),
      report: options.report,
    }
    applyToDoor(door, spec, listen)
    try {
      const port = await grpc.listen({
        host: listen.host,
        port: listen.port,
        context: door,
        accept: addressFilter(listen.allow),
        maxConnections: spec.maxConnections,
      })
      instance.doors.set(listen.kind, { listen, door, port })
      return null
    } catch (error) {
      return listenFailure(spec.instanceId, listen, error as NodeJS.ErrnoException)
    }
  }

  function applyToDoor(door: InstanceDoor, spec: InstanceSpec, listen: ListenSpec): void {
    const before = hosted.get(spec.instanceId)?.doors.get(listen.kind)?.listen
    const free = listen.kind === 'vpc' && spec.vpcAuthFree
    door.authenticator = free ? null : createAuthenticator(spec.accounts)
    door.serving = spec.serving
    if (before !== undefined && before.bandwidthMbps !== listen.bandwidthMbps) {
      door.bandwidth = createBandwidth(listen.bandwidthMbps, world.clock)
    }
  }

  return {
    async hello() {
      return { pid: process.pid, version: options.version }
    },

    async observe() {
      const folders = (await world.disk.list(directory)).filter((name) => !name.endsWith(removedSuffix))
      const remains = folders.filter((instanceId) => !hosted.has(instanceId))
      return [...[...hosted.values()].map(observation), ...remains.map(remainsOf)]
    },

    async observeInstance({ instanceId }) {
      const instance = hosted.get(instanceId)
      if (instance !== undefined) return observation(instance)
      return (await world.disk.list(directory)).includes(instanceId) ? remainsOf(instanceId) : null
    },

    ensureInstance({ spec, storageKey }) {
      return inTurn(spec.instanceId, async () => {
        const instance = hosted.get(spec.instanceId) ?? (await open(spec, storageKey))
        instance.broker.configure(brokerSettings(spec))
        await openDoors(instance, spec)
        instance.spec = spec
        return observation(instance)
      })
    },

    removeInstance({ instanceId }) {
      return inTurn(instanceId, async () => {
        await closeInstance(instanceId)
        // Renamed first: what a crash leaves behind is then known to be rubbish and swept at the next start.
        const removed = path.join(directory, `${instanceId}${removedSuffix}`)
        if ((await world.disk.list(directory)).includes(instanceId)) {
          await world.disk.removeDirectory(removed)
          await world.disk.rename(path.join(directory, instanceId), removed)
          await world.disk.syncDirectory(directory)
        }
        await world.disk.removeDirectory(removed)
        return null
      })
    },

    ensureTopics: ({ instanceId, topics }) =>
      inTurn(instanceId, async () => {
        await present(instanceId).broker.ensureTopics(topics)
        return null
      }),
    removeTopic: ({ instanceId, topicName }) =>
      inTurn(instanceId, async () => {
        await present(instanceId).broker.removeTopic(topicName)
        return null
      }),
    ensureGroups: ({ instanceId, groups }) =>
      inTurn(instanceId, async () => {
        await present(instanceId).broker.ensureGroups(groups)
        return null
      }),
    removeGroup: ({ instanceId, consumerGroupId }) =>
      inTurn(instanceId, async () => {
        await present(instanceId).broker.removeGroup(consumerGroupId)
        return null
      }),

    async usage({ instanceId }) {
      const instance = hosted.get(instanceId)
      if (instance === undefined) return null
      const connections = [...instance.doors.values()].reduce((sum, { port }) => sum + port.connections(), 0)
      return { instanceId, storedBytes: instance.broker.usage().storedBytes, connections }
    },

    async shutdown() {
      await close()
      options.onShutdown?.()
      return null
    },

    close,
  }
}

const brokerSettings = (spec: InstanceSpec) => ({
  retentionMs: spec.retentionHours * 3600 * 1000,
  sendTps: spec.sendTps,
  receiveTps: spec.receiveTps,
})

function observation(instance: Hosted): InstanceObservation {
  const { spec, broker, failure } = instance
  return {
    instanceId: instance.instanceId,
    generation: spec.generation,
    state: failure !== null ? 'failed' : spec.serving ? 'running' : 'stopped',
    reason: failure,
    topics: broker
      .topics()
      .filter(({ generation }) => generation > 0)
      .map(({ topicName, generation }) => ({ topicName, generation })),
    groups: broker
      .groups()
      .filter(({ generation }) => generation > 0)
      .map(({ consumerGroupId, generation }) => ({ consumerGroupId, generation })),
  }
}

const remainsOf = (instanceId: string): InstanceObservation => ({
  instanceId,
  generation: 0,
  state: 'stopped',
  reason: null,
  topics: [],
  groups: [],
})

function listenFailure(instanceId: string, listen: ListenSpec, error: NodeJS.ErrnoException): string {
  const address = `${listen.host}:${listen.port}`
  if (error.code === 'EADDRINUSE') {
    return `Port ${listen.port} of instance ${instanceId} (${listen.kind}) is taken by another program; free ${address} and the instance comes up by itself.`
  }
  return `Instance ${instanceId} cannot listen on ${address}: ${error.message}.`
}

async function sweepRemoved({ world, directory }: HostOptions): Promise<void> {
  await world.disk.makeDirectory(directory)
  for (const name of await world.disk.list(directory)) {
    if (name.endsWith(removedSuffix)) await world.disk.removeDirectory(path.join(directory, name))
  }
}
