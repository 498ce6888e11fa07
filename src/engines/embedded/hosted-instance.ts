/**
 * One instance that is open in this process: its broker over its log, its endpoints, and what is wrong with it. It is
 * made when its folder is opened under its lock, and ends with `close`.
 */
import path from 'node:path'
import type { Broker, BrokerSettings } from '../../broker/broker.ts'
import {
  type BrokerEndpoint,
  ClientRegistry,
  connectLiteConsumers,
  connectProducers,
  keysIn,
} from '../../broker/protocols/grpc/index.ts'
import { openBroker } from '../../broker/shell/open.ts'
import { addressFilter } from '../../gateway/address-filter.ts'
import { createAuthenticator } from '../../gateway/authenticate.ts'
import { createBandwidth } from '../../gateway/bandwidth.ts'
import type { Gateway, OpenPort } from '../../gateway/gateway.ts'
import { InstanceBounds } from '../../gateway/instance-bounds.ts'
import type { InstanceSpec, ListenSpec } from '../../model/instances.ts'
import { type InstanceObservation, type InstanceUsage, madeByUseTold } from '../../model/observations.ts'
import type { World } from '../../world/world.ts'
import type { FolderLock } from './folder-lock.ts'
import type { Attention } from './host-api.ts'
import { InstanceHealth } from './instance-health.ts'

export interface HostedInstanceContext {
  readonly world: World
  readonly gateway: Gateway<BrokerEndpoint>
  /** Folder that holds one folder per instance. */
  readonly directory: string
  /** Where unexpected failures are reported. */
  readonly report: (error: unknown) => void
}

interface OpenEndpoint {
  readonly listen: ListenSpec
  readonly endpoint: BrokerEndpoint
  readonly port: OpenPort
}

const closeGraceMs = 2000
/** Connections over the limit that are let in for as long as it takes to tell them. */
const overflowConnections = 64

export class HostedInstance {
  readonly instanceId: string
  readonly broker: Broker
  readonly clients: ClientRegistry
  readonly health: InstanceHealth
  readonly #context: HostedInstanceContext
  readonly #lock: FolderLock
  /** Tells this opening from the ones before it. */
  readonly #opening: number
  readonly #endpoints = new Map<ListenSpec['kind'], OpenEndpoint>()
  /** What it may hold of the process's, over all its endpoints. */
  readonly #bounds: InstanceBounds
  #spec: InstanceSpec
  #sendPause: string | null = null
  /** Whether `#spec` was carried out wholly once. */
  #ready = false
  /** Why the wanted addresses are not all open, or null. */
  #listenFailure: string | null = null

  /** Opens the log in the instance's folder, under the lock that is handed over. Rejects as `openBroker` does. */
  static async open(
    context: HostedInstanceContext,
    options: {
      readonly spec: InstanceSpec
      /** Base64 of the key messages are encrypted with, or null. */
      readonly storageKey: string | null
      readonly lock: FolderLock
      readonly opening: number
    },
  ): Promise<HostedInstance> {
    const { spec, storageKey } = options
    const health = new InstanceHealth(spec.instanceId)
    const broker = await openBroker({
      world: context.world,
      directory: path.join(context.directory, spec.instanceId),
      settings: brokerSettings(spec, null),
      cipherKey: storageKey === null ? null : Buffer.from(storageKey, 'base64'),
      keysIn,
      report: (error) => {
        health.note(error)
        context.report(error)
      },
    })
    return new HostedInstance(context, { ...options, broker, health })
  }

  private constructor(
    context: HostedInstanceContext,
    made: {
      readonly spec: InstanceSpec
      readonly lock: FolderLock
      readonly opening: number
      readonly broker: Broker
      readonly health: InstanceHealth
    },
  ) {
    this.#context = context
    this.instanceId = made.spec.instanceId
    this.broker = made.broker
    this.health = made.health
    this.#lock = made.lock
    this.#opening = made.opening
    this.#spec = made.spec
    this.clients = new ClientRegistry(made.broker, context.world.clock)
    connectProducers(made.broker, this.clients)
    connectLiteConsumers(made.broker, this.clients)
    this.#bounds = new InstanceBounds(context.gateway.bounds, {
      maxConnections: made.spec.maxConnections,
      overflow: overflowConnections,
    })
  }

  /** The specification that was carried out wholly, addresses included; null when there is none. */
  get inForce(): InstanceSpec | null {
    return this.#ready && this.#listenFailure === null ? this.#spec : null
  }

  /** Brings the instance to the specification. An address that cannot be opened is told by `observation`. */
  async apply(spec: InstanceSpec): Promise<void> {
    this.#ready = false
    this.broker.configure(brokerSettings(spec, this.#sendPause))
    await this.#applyEndpoints(spec)
    this.#spec = spec
    this.#ready = true
  }

  /** Why it takes no messages for now, or null when it does. */
  pauseSends(reason: string | null): void {
    this.#sendPause = reason
    this.broker.configure(brokerSettings(this.#spec, reason))
  }

  observation(): InstanceObservation {
    const { stopped, damage } = this.health
    const failure = this.#listenFailure ?? stopped
    const made = this.#groupsMadeByUse()
    return {
      instanceId: this.instanceId,
      generation: this.#spec.generation,
      state: failure !== null ? 'failed' : this.#spec.serving ? 'running' : 'stopped',
      reason: failure ?? damage,
      topics: this.broker
        .topics()
        .filter(({ generation }) => generation > 0)
        .map(({ topicName, generation }) => ({ topicName, generation })),
      groups: this.broker
        .groups()
        .filter(({ generation }) => generation > 0)
        .map(({ consumerGroupId, generation }) => ({ consumerGroupId, generation })),
      ...(made.length === 0 ? {} : { groupsMadeByUse: made.slice(0, madeByUseTold) }),
    }
  }

  usage(): InstanceUsage {
    return {
      instanceId: this.instanceId,
      storedBytes: this.broker.usage().storedBytes,
      connections: this.#connections(),
      groupsMadeByUse: this.#groupsMadeByUse().length,
      // A ledger on the same full disk cannot be told why the instance is not what is wanted.
      remark: this.health.stopped ?? this.#sendPause ?? this.health.damage,
    }
  }

  /** Whether the loop is to look at it again. Without clients nobody makes a group, and an idle instance costs nothing. */
  attention(): Attention | null {
    const { instanceId } = this
    if (this.health.stopped !== null) return { instanceId, changeToken: `${this.#opening} stopped` }
    if (this.#connections() === 0) return null
    const made = this.#groupsMadeByUse()
    return made.length === 0 ? null : { instanceId, changeToken: `${this.#opening} ${made.length} ${made.at(-1)}` }
  }

  async close(): Promise<void> {
    // Ends waiting receives first, so that ports close with nothing under way.
    const closing = this.broker.close()
    await Promise.all([...this.#endpoints.values()].map(({ port }) => port.close({ graceMs: closeGraceMs })))
    this.#bounds.close()
    this.clients.close()
    await closing
    await this.#lock.release()
  }

  // Endpoints

  async #applyEndpoints(spec: InstanceSpec): Promise<void> {
    const failures: string[] = []
    this.#bounds.connections.most = spec.maxConnections
    for (const [kind, { listen, port }] of this.#endpoints) {
      const wanted = spec.listen.find((candidate) => candidate.kind === kind)
      if (wanted?.port === listen.port && wanted.host === listen.host) continue
      this.#endpoints.delete(kind)
      await port.close({ graceMs: closeGraceMs })
    }
    for (const listen of spec.listen) {
      const failure = await this.#applyEndpoint(spec, listen)
      if (failure !== null) failures.push(failure)
    }
    this.#listenFailure = failures.length === 0 ? null : failures.join(' ')
  }

  /** Answers why the address cannot be opened, or null. */
  async #applyEndpoint(spec: InstanceSpec, listen: ListenSpec): Promise<string | null> {
    const existing = this.#endpoints.get(listen.kind)
    const accept = addressFilter({ instance: spec.ipWhitelist, endpoint: listen.allow })
    if (existing !== undefined) {
      this.#configure(existing.endpoint, spec, listen, existing.listen)
      existing.port.update({ accept })
      this.#endpoints.set(listen.kind, { ...existing, listen })
      return null
    }
    const endpoint = this.#makeEndpoint(spec, listen)
    const { host, port } = listen
    const bounds = this.#bounds
    try {
      const open = await this.#context.gateway.listen({ host, port, context: endpoint, accept, bounds })
      this.#endpoints.set(listen.kind, { listen, endpoint, port: open })
      return null
    } catch (error) {
      return listenFailure(spec.instanceId, listen, error as NodeJS.ErrnoException)
    }
  }

  #makeEndpoint(spec: InstanceSpec, listen: ListenSpec): BrokerEndpoint {
    const { clock } = this.#context.world
    const endpoint: BrokerEndpoint = {
      instanceId: spec.instanceId,
      broker: this.broker,
      clients: this.clients,
      clock,
      authenticator: null,
      serving: spec.serving,
      maxConnections: spec.maxConnections,
      bandwidth: createBandwidth(listen.bandwidthMbps, clock),
      inbound: createBandwidth(listen.bandwidthMbps, clock),
      report: (error) => {
        this.health.note(error)
        this.#context.report(error)
      },
    }
    this.#configure(endpoint, spec, listen, listen)
    return endpoint
  }

  #configure(endpoint: BrokerEndpoint, spec: InstanceSpec, listen: ListenSpec, before: ListenSpec): void {
    const { clock } = this.#context.world
    const free = listen.kind === 'vpc' && spec.vpcAuthFree
    endpoint.authenticator = free ? null : createAuthenticator(spec.accounts)
    endpoint.serving = spec.serving
    endpoint.maxConnections = spec.maxConnections
    if (before.bandwidthMbps === listen.bandwidthMbps) return
    endpoint.bandwidth = createBandwidth(listen.bandwidthMbps, clock)
    endpoint.inbound = createBandwidth(listen.bandwidthMbps, clock)
  }

  #connections(): number {
    return [...this.#endpoints.values()].reduce((sum, { port }) => sum + port.connections(), 0)
  }

  /** In the order in which they were made. */
  #groupsMadeByUse(): string[] {
    return this.broker
      .groups()
      .filter(({ generation }) => generation === 0)
      .map(({ consumerGroupId }) => consumerGroupId)
  }
}

const brokerSettings = (spec: InstanceSpec, sendPause: string | null): BrokerSettings => ({
  retentionMs: spec.retentionHours * 3600 * 1000,
  sendTps: spec.sendTps,
  receiveTps: spec.receiveTps,
  maxDelayMs: spec.maxDelayMs,
  elasticity: spec.elasticity,
  maxGroups: spec.maxGroups,
  sendPause,
})

function listenFailure(instanceId: string, listen: ListenSpec, error: NodeJS.ErrnoException): string {
  const address = `${listen.host}:${listen.port}`
  if (error.code === 'EADDRINUSE') {
    return `Port ${listen.port} of instance ${instanceId} (${listen.kind}) is taken by another program; free ${address} and the instance comes up by itself.`
  }
  return `Instance ${instanceId} cannot listen on ${address}: ${error.message}.`
}
