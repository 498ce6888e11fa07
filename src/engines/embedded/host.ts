/**
 * The broker host: the instances of one broker process, apart from the management API, so that messages
 * flow while the API is busy, restarting or down.
 *
 * An instance is a folder with its log, a broker over it, and one or two endpoints. The host
 * keeps no specification of its own: the loop brings it at each start. It opens a folder only under its
 * lock, so that no two processes ever write one log. Steps on one instance are serialised; every step
 * is idempotent, and a specification that is in force already changes nothing.
 */
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { type Broker, BrokerRefusal, type BrokerSettings } from '../../broker/broker.ts'
import {
  type BrokerEndpoint,
  ClientRegistry,
  connections,
  connectLiteConsumers,
  connectProducers,
  findMessages,
  messagingService,
  metricsService,
  reconnect,
  stackTrace,
  traceMessage,
  verifyMessage,
} from '../../broker/protocols/grpc/index.ts'
import { openBroker } from '../../broker/shell/open.ts'
import { addressFilter } from '../../gateway/address-filter.ts'
import { createAuthenticator } from '../../gateway/authenticate.ts'
import { createBandwidth } from '../../gateway/bandwidth.ts'
import { ConnectionLimit } from '../../gateway/connection-limit.ts'
import { Gateway, type OpenPort } from '../../gateway/gateway.ts'
import { GrpcProtocol } from '../../grpc/protocol.ts'
import type { World } from '../../world/world.ts'
import { EngineError, type InstanceObservation, type InstanceSpec, type ListenSpec, madeByUseTold } from '../engine.ts'
import { DiskMarks } from './disk-marks.ts'
import type { FolderLock } from './folder-lock.ts'
import { type HostApi, type HostGreeting, hostProtocol } from './host-api.ts'
import { probeFolder, removeFolder } from './instance-folders.ts'
import { Trouble, whyUnopened } from './trouble.ts'
import { createTurns } from './turns.ts'

export interface HostOptions {
  readonly world: World
  /** Folder that holds one folder per instance. */
  readonly directory: string
  /** What the process is, for its greeting. */
  readonly self: Pick<HostGreeting, 'version' | 'home' | 'name'>
  readonly lingerMinutes: number
  /** Takes the lock of the instance's folder; rejects with a sentence while another process has it. */
  readonly lock: (instanceId: string) => Promise<FolderLock>
  readonly tls: { readonly key: string; readonly cert: string }
  /** Where unexpected failures are reported. */
  readonly report: (error: unknown) => void
  /** Called by `shutdown` once everything is closed. */
  readonly onShutdown?: () => void
  /** Told of another `lingerMinutes`. */
  readonly onConfigure?: (settings: { readonly lingerMinutes: number }) => void
}

export interface BrokerHost extends HostApi {
  close(): Promise<void>
}

interface OpenEndpoint {
  readonly listen: ListenSpec
  readonly endpoint: BrokerEndpoint
  readonly port: OpenPort
}

interface Hosted {
  readonly instanceId: string
  readonly broker: Broker
  readonly lock: FolderLock
  readonly clients: ClientRegistry
  readonly endpoints: Map<ListenSpec['kind'], OpenEndpoint>
  /** Connections of all its addresses count together. */
  readonly connectionLimit: ConnectionLimit
  readonly trouble: Trouble
  readonly opening: number
  readonly report: (error: unknown) => void
  spec: InstanceSpec
  /** Whether `spec` was carried out wholly once. */
  ready: boolean
  /** Why the wanted addresses are not all open, or null. */
  failure: string | null
}

const closeGraceMs = 2000
/** Connections over the limit that are let in for as long as it takes to tell them. */
const overflowConnections = 64

export async function createBrokerHost(options: HostOptions): Promise<BrokerHost> {
  const { world, directory } = options
  const hosted = new Map<string, Hosted>()
  const inTurn = createTurns()
  /** Why instances given to this process could not be opened when that was last tried. */
  const unopened = new Map<string, string>()
  let { lingerMinutes } = options
  let openings = 0
  const startedAtMs = world.clock.now()
  const startedAt = world.clock.monotonic()
  const grpc = new GrpcProtocol<BrokerEndpoint>({
    services: [messagingService, metricsService],
    clock: world.clock,
    onError: options.report,
  })
  const gateway = new Gateway<BrokerEndpoint>({
    protocols: [grpc],
    tls: options.tls,
    clock: world.clock,
    onError: options.report,
  })

  const marks = new DiskMarks({
    ...{ disk: world.disk, clock: world.clock, directory, report: options.report },
    instances: () =>
      [...hosted.values()].map(({ instanceId, broker }) => ({ instanceId, storedBytes: broker.usage().storedBytes })),
    changed: (instanceId) => {
      const instance = hosted.get(instanceId)
      if (instance !== undefined) configure(instance, instance.spec)
    },
  })

  function configure(instance: Hosted, spec: InstanceSpec): void {
    instance.broker.configure({ ...brokerSettings(spec), sendPause: marks.reasonFor(instance.instanceId) })
  }

  function present(instanceId: string): Hosted {
    const found = hosted.get(instanceId)
    if (found === undefined) throw new EngineError('absent', `The broker process does not hold instance ${instanceId}.`)
    return found
  }

  async function close(): Promise<void> {
    marks.close()
    await Promise.all([...hosted.keys()].map((instanceId) => inTurn(instanceId, () => closeInstance(instanceId))))
    await gateway.close()
  }

  async function closeInstance(instanceId: string): Promise<void> {
    const instance = hosted.get(instanceId)
    if (instance === undefined) return
    hosted.delete(instanceId)
    // Ends waiting receives first, so that ports close with nothing under way.
    const closing = instance.broker.close()
    await Promise.all([...instance.endpoints.values()].map(({ port }) => port.close({ graceMs: closeGraceMs })))
    instance.clients.close()
    await closing
    await instance.lock.release()
  }

  /** Only opening again goes on after the disk refused a write, and is worth it once the disk takes one. */
  async function closeStopped(instanceId: string): Promise<void> {
    const stopped = hosted.get(instanceId)?.trouble.stopped ?? null
    if (stopped === null) return
    await probeFolder(world.disk, directory, instanceId).catch((error: unknown) => {
      throw new EngineError('failed', stopped, { cause: error })
    })
    await closeInstance(instanceId)
  }

  async function open(spec: InstanceSpec, storageKey: string | null): Promise<Hosted> {
    const lock = await options.lock(spec.instanceId)
    const trouble = new Trouble(spec.instanceId)
    const report = (error: unknown): void => {
      trouble.note(error)
      options.report(error)
    }
    const broker = await openBroker({
      world,
      directory: path.join(directory, spec.instanceId),
      settings: brokerSettings(spec),
      cipherKey: storageKey === null ? null : Buffer.from(storageKey, 'base64'),
      report,
    }).catch(async (error: unknown) => {
      await lock.release()
      const reason = whyUnopened(spec.instanceId, error)
      unopened.set(spec.instanceId, reason)
      throw new EngineError('failed', reason, { cause: error })
    })
    unopened.delete(spec.instanceId)
    const clients = new ClientRegistry(broker, world.clock)
    connectProducers(broker, clients)
    connectLiteConsumers(broker, clients)
    const instance: Hosted = {
      instanceId: spec.instanceId,
      broker,
      lock,
      clients,
      endpoints: new Map(),
      connectionLimit: new ConnectionLimit({ most: spec.maxConnections, overflow: overflowConnections }),
      trouble,
      opening: ++openings,
      report,
      spec,
      ready: false,
      failure: null,
    }
    hosted.set(spec.instanceId, instance)
    return instance
  }

  async function openEndpoints(instance: Hosted, spec: InstanceSpec): Promise<void> {
    const failures: string[] = []
    instance.connectionLimit.most = spec.maxConnections
    for (const [kind, { listen, port }] of instance.endpoints) {
      const wanted = spec.listen.find((candidate) => candidate.kind === kind)
      if (wanted?.port === listen.port && wanted.host === listen.host) continue
      instance.endpoints.delete(kind)
      await port.close({ graceMs: closeGraceMs })
    }
    for (const listen of spec.listen) {
      const existing = instance.endpoints.get(listen.kind)
      if (existing === undefined) {
        const failure = await openEndpoint(instance, spec, listen)
        if (failure !== null) failures.push(failure)
      } else {
        applyToEndpoint(existing.endpoint, spec, listen)
        existing.port.update({ accept: acceptOf(spec, listen) })
        instance.endpoints.set(listen.kind, { ...existing, listen })
      }
    }
    instance.failure = failures.length === 0 ? null : failures.join(' ')
  }

  async function openEndpoint(instance: Hosted, spec: InstanceSpec, listen: ListenSpec): Promise<string | null> {
    const endpoint: BrokerEndpoint = {
      instanceId: spec.instanceId,
      broker: instance.broker,
      clients: instance.clients,
      clock: world.clock,
      authenticator: null,
      serving: spec.serving,
      maxConnections: spec.maxConnections,
      bandwidth: createBandwidth(listen.bandwidthMbps, world.clock),
      inbound: createBandwidth(listen.bandwidthMbps, world.clock),
      report: instance.report,
    }
    applyToEndpoint(endpoint, spec, listen)
    try {
      const port = await gateway.listen({
        host: listen.host,
        port: listen.port,
        context: endpoint,
        accept: acceptOf(spec, listen),
        connectionLimit: instance.connectionLimit,
      })
      instance.endpoints.set(listen.kind, { listen, endpoint, port })
      return null
    } catch (error) {
      return listenFailure(spec.instanceId, listen, error as NodeJS.ErrnoException)
    }
  }

  function applyToEndpoint(endpoint: BrokerEndpoint, spec: InstanceSpec, listen: ListenSpec): void {
    const before = hosted.get(spec.instanceId)?.endpoints.get(listen.kind)?.listen
    const free = listen.kind === 'vpc' && spec.vpcAuthFree
    endpoint.authenticator = free ? null : createAuthenticator(spec.accounts)
    endpoint.serving = spec.serving
    endpoint.maxConnections = spec.maxConnections
    if (before !== undefined && before.bandwidthMbps !== listen.bandwidthMbps) {
      endpoint.bandwidth = createBandwidth(listen.bandwidthMbps, world.clock)
      endpoint.inbound = createBandwidth(listen.bandwidthMbps, world.clock)
    }
  }

  return {
    async hello() {
      return {
        ...options.self,
        pid: process.pid,
        protocol: hostProtocol,
        startedAtMs,
        uptimeMs: Math.round(world.clock.monotonic() - startedAt),
        lingerMinutes,
        instances: hosted.size,
        news: [...hosted.values()].flatMap(newsOf),
      }
    },

    async configure(settings) {
      lingerMinutes = settings.lingerMinutes
      options.onConfigure?.(settings)
      return null
    },

    async observe() {
      return [...[...hosted.values()].map(observation), ...[...unopened].map(unopenedObservation)]
    },

    async observeInstance({ instanceId }) {
      const instance = hosted.get(instanceId)
      if (instance !== undefined) return observation(instance)
      const reason = unopened.get(instanceId)
      return reason === undefined ? null : unopenedObservation([instanceId, reason])
    },

    ensureInstance({ spec, storageKey }) {
      return inTurn(spec.instanceId, async () => {
        await closeStopped(spec.instanceId)
        const before = hosted.get(spec.instanceId)
        // A server that takes this process over tells what is so already: nothing is touched then.
        if (before?.ready === true && before.failure === null && isDeepStrictEqual(before.spec, spec))
          return observation(before)
        const instance = before ?? (await open(spec, storageKey))
        instance.ready = false
        configure(instance, spec)
        marks.start()
        await openEndpoints(instance, spec)
        instance.spec = spec
        instance.ready = true
        return observation(instance)
      })
    },

    releaseInstance: ({ instanceId }) =>
      inTurn(instanceId, async () => {
        await closeInstance(instanceId)
        unopened.delete(instanceId)
        return null
      }),

    removeInstance: ({ instanceId }) =>
      inTurn(instanceId, async () => {
        await closeInstance(instanceId)
        unopened.delete(instanceId)
        const lock = await options.lock(instanceId)
        try {
          await removeFolder(world.disk, directory, instanceId)
        } catch (error) {
          await lock.release()
          throw error
        }
        await lock.forget()
        return null
      }),

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
        const { broker, clients } = present(instanceId)
        await broker.ensureGroups(groups)
        clients.groupsChanged(new Set(groups.map(({ consumerGroupId }) => consumerGroupId)))
        return null
      }),
    removeGroup: ({ instanceId, consumerGroupId }) =>
      inTurn(instanceId, async () => {
        await present(instanceId).broker.removeGroup(consumerGroupId)
        return null
      }),

    resetOffsets: ({ instanceId, resets }) =>
      inTurn(instanceId, async () => {
        const { broker } = present(instanceId)
        for (const reset of resets) await broker.resetOffsets(reset)
        return null
      }),

    async findMessages({ instanceId, query }) {
      const broker = hosted.get(instanceId)?.broker
      return broker === undefined ? null : findMessages(broker, query)
    },
    async traceMessage({ instanceId, query }) {
      const broker = hosted.get(instanceId)?.broker
      return broker === undefined ? null : traceMessage(broker, query)
    },

    async lag({ instanceId, consumerGroupId }) {
      return hosted.get(instanceId)?.broker.lag(consumerGroupId) ?? null
    },

    async usage({ instanceId }) {
      const instance = hosted.get(instanceId)
      if (instance === undefined) return null
      const connections = [...instance.endpoints.values()].reduce((sum, { port }) => sum + port.connections(), 0)
      const groupsMadeByUse = madeByUse(instance).length
      const { storedBytes } = instance.broker.usage()
      // A ledger on the same full disk cannot be told why the instance is not what is wanted.
      const remark = instance.trouble.stopped ?? marks.reasonFor(instanceId) ?? instance.trouble.damage
      return { instanceId, storedBytes, connections, groupsMadeByUse, remark }
    },

    async connections({ instanceId, group }) {
      return connections(present(instanceId).clients, group)
    },
    verifyMessage: ({ instanceId, clientId, message }) =>
      asking(() => verifyMessage(present(instanceId).clients, clientId, message)),
    stackTrace: ({ instanceId, clientId }) => asking(() => stackTrace(present(instanceId).clients, clientId)),
    reconnectClient: ({ instanceId, clientId }) =>
      asking(async () => {
        await reconnect(present(instanceId).clients, clientId)
        return null
      }),
    async clientMetrics({ instanceId }) {
      return present(instanceId).clients.metrics()
    },

    async shutdown() {
      await close()
      options.onShutdown?.()
      return null
    },

    close,
  }
}

const acceptOf = (spec: InstanceSpec, listen: ListenSpec) =>
  addressFilter({ instance: spec.ipWhitelist, endpoint: listen.allow })

const brokerSettings = (spec: InstanceSpec): BrokerSettings => ({
  retentionMs: spec.retentionHours * 3600 * 1000,
  sendTps: spec.sendTps,
  receiveTps: spec.receiveTps,
  maxDelayMs: spec.maxDelayMs,
  elasticity: spec.elasticity,
  maxGroups: spec.maxGroups,
})

/** Without clients nobody makes a group, and an idle instance costs nothing. */
function newsOf(instance: Hosted): HostGreeting['news'] {
  const { instanceId, opening, trouble, endpoints } = instance
  if (trouble.stopped !== null) return [{ instanceId, token: `${opening} stopped` }]
  if ([...endpoints.values()].every(({ port }) => port.connections() === 0)) return []
  const made = madeByUse(instance)
  return made.length === 0 ? [] : [{ instanceId, token: `${opening} ${made.length} ${made.at(-1)}` }]
}

/** In the order in which they were made. */
const madeByUse = ({ broker }: Hosted): string[] =>
  broker
    .groups()
    .filter(({ generation }) => generation === 0)
    .map(({ consumerGroupId }) => consumerGroupId)

function observation(instance: Hosted): InstanceObservation {
  const { spec, broker, trouble } = instance
  const failure = instance.failure ?? trouble.stopped
  const made = madeByUse(instance)
  return {
    instanceId: instance.instanceId,
    generation: spec.generation,
    state: failure !== null ? 'failed' : spec.serving ? 'running' : 'stopped',
    reason: failure ?? trouble.damage,
    topics: broker
      .topics()
      .filter(({ generation }) => generation > 0)
      .map(({ topicName, generation }) => ({ topicName, generation })),
    groups: broker
      .groups()
      .filter(({ generation }) => generation > 0)
      .map(({ consumerGroupId, generation }) => ({ consumerGroupId, generation })),
    ...(made.length === 0 ? {} : { groupsMadeByUse: made.slice(0, madeByUseTold) }),
  }
}

const unopenedObservation = ([instanceId, reason]: readonly [string, string]): InstanceObservation => ({
  instanceId,
  generation: 0,
  state: 'failed',
  reason,
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

/** A client that cannot be asked, or cannot answer, is the engine's refusal. */
async function asking<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof BrokerRefusal) throw new EngineError('unsupported', error.message, { cause: error })
    throw error
  }
}
