/**
 * The endpoints of one open instance: which addresses it listens on, and what each lets in. They are brought to a
 * specification by `apply`; clients that are connected stay where their address did not change.
 */

import type { Broker } from '../../broker/broker.ts'
import type { BrokerEndpoint } from '../../broker/calls/endpoint.ts'
import type { ClientRegistry } from '../../broker/clients/client-registry.ts'
import { addressFilter } from '../../gateway/address-filter.ts'
import { createBandwidth } from '../../gateway/bandwidth.ts'
import type { Gateway, OpenPort } from '../../gateway/gateway.ts'
import { InstanceBounds } from '../../gateway/instance-bounds.ts'
import { OpenCalls } from '../../gateway/open-calls.ts'
import type { InstanceId } from '../../model/ids.ts'
import type { InstanceSpec, ListenSpec } from '../../model/instances.ts'
import type { Clock } from '../../world/world.ts'
import { accessOf, type InstanceAccess } from './instance-access.ts'

export interface InstanceEndpointsContext {
  readonly gateway: Gateway<BrokerEndpoint>
  readonly clock: Clock
  readonly broker: Broker
  readonly clients: ClientRegistry
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

export class InstanceEndpoints {
  /** Why the wanted addresses are not all open, or null. */
  failure: string | null = null
  readonly #context: InstanceEndpointsContext
  readonly #open = new Map<ListenSpec['kind'], OpenEndpoint>()
  /** What the instance may hold of the process's, over all its endpoints. */
  readonly #bounds: InstanceBounds
  readonly #openCalls = new OpenCalls()
  /** Null before the first specification is applied. */
  #access: InstanceAccess | null = null

  constructor(context: InstanceEndpointsContext, spec: InstanceSpec) {
    this.#context = context
    this.#bounds = new InstanceBounds(context.gateway.bounds, {
      maxConnections: spec.maxConnections,
      overflow: overflowConnections,
      clock: context.clock,
      tell: (sentence) => context.report(`Instance ${spec.instanceId}: ${sentence}`),
    })
  }

  connections(): number {
    return [...this.#open.values()].reduce((sum, { port }) => sum + port.connections(), 0)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open.values()].map(({ port }) => port.close({ graceMs: closeGraceMs })))
    this.#bounds.close()
  }

  /** Opens, changes and closes addresses. One that cannot be opened is told by `failure`. */
  async apply(spec: InstanceSpec): Promise<void> {
    const failures: string[] = []
    this.#bounds.connections.most = spec.maxConnections
    this.#applyAccess(spec)
    for (const [kind, { listen, port }] of this.#open) {
      const wanted = spec.listen.find((candidate) => candidate.kind === kind)
      if (wanted?.port === listen.port && wanted.host === listen.host) continue
      this.#open.delete(kind)
      await port.close({ graceMs: closeGraceMs })
    }
    for (const listen of spec.listen) {
      const failure = await this.#applyOne(spec, listen)
      if (failure !== null) failures.push(failure)
    }
    this.failure = failures.length === 0 ? null : failures.join(' ')
  }

  /** At once, for whatever is open: closing and opening addresses takes its time. */
  #applyAccess(spec: InstanceSpec): void {
    const before = this.#access
    this.#access = accessOf(spec, before, this.#context.clock)
    if (this.#access === before) return
    for (const { listen, endpoint } of this.#open.values()) this.#letIn(endpoint, listen)
    this.#openCalls.changed(this.#context.clock.monotonic())
  }

  #letIn(endpoint: BrokerEndpoint, listen: ListenSpec): void {
    const { authenticator, authorizer, madeOf } = this.#access!
    const isFree = listen.kind === 'vpc' && madeOf.vpcAuthFree
    endpoint.authenticator = isFree ? null : authenticator
    endpoint.authorizer = isFree ? null : authorizer
  }

  /** Answers why the address cannot be opened, or null. */
  async #applyOne(spec: InstanceSpec, listen: ListenSpec): Promise<string | null> {
    const existing = this.#open.get(listen.kind)
    const accept = addressFilter({ instance: spec.ipWhitelist, endpoint: listen.allow })
    if (existing !== undefined) {
      this.#configure(existing.endpoint, spec, listen, existing.listen)
      existing.port.update({ accept })
      this.#open.set(listen.kind, { ...existing, listen })
      return null
    }
    const endpoint = this.#makeEndpoint(spec, listen)
    const { host, port } = listen
    const bounds = this.#bounds
    try {
      const open = await this.#context.gateway.listen({ host, port, context: endpoint, accept, bounds })
      this.#open.set(listen.kind, { listen, endpoint, port: open })
      return null
    } catch (error) {
      return listenFailure(spec.instanceId, listen, error as NodeJS.ErrnoException)
    }
  }

  #makeEndpoint(spec: InstanceSpec, listen: ListenSpec): BrokerEndpoint {
    const { clock } = this.#context
    const endpoint: BrokerEndpoint = {
      instanceId: spec.instanceId,
      broker: this.#context.broker,
      clients: this.#context.clients,
      clock,
      authenticator: null,
      authorizer: null,
      openCalls: this.#openCalls,
      serving: spec.serving,
      maxConnections: spec.maxConnections,
      bandwidth: createBandwidth(listen.bandwidthMbps, clock),
      inbound: createBandwidth(listen.bandwidthMbps, clock),
      report: this.#context.report,
    }
    this.#letIn(endpoint, listen)
    return endpoint
  }

  #configure(endpoint: BrokerEndpoint, spec: InstanceSpec, listen: ListenSpec, before: ListenSpec): void {
    const { clock } = this.#context
    endpoint.serving = spec.serving
    endpoint.maxConnections = spec.maxConnections
    if (before.bandwidthMbps === listen.bandwidthMbps) return
    endpoint.bandwidth = createBandwidth(listen.bandwidthMbps, clock)
    endpoint.inbound = createBandwidth(listen.bandwidthMbps, clock)
  }
}

function listenFailure(instanceId: InstanceId, listen: ListenSpec, error: NodeJS.ErrnoException): string {
  const address = `${listen.host}:${listen.port}`
  if (error.code === 'EADDRINUSE') {
    return `Port ${listen.port} of instance ${instanceId} (${listen.kind}) is taken by another program; free ${address} and the instance comes up by itself.`
  }
  return `Instance ${instanceId} cannot listen on ${address}: ${error.message}.`
}
