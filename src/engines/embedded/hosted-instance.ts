/**
 * One instance that is open in this process: its broker over its log, its endpoints, and what is wrong with it. It is
 * made when its folder is opened under its lock, and ends with `close`.
 */
import type { Broker } from '../../broker/broker.ts'
import type { BrokerEndpoint } from '../../broker/calls/endpoint.ts'
import { ClientRegistry } from '../../broker/clients/client-registry.ts'
import { connectClients } from '../../broker/clients/connect.ts'
import type { Gateway } from '../../gateway/gateway.ts'
import type { InstanceId } from '../../model/ids.ts'
import type { InstanceSpec } from '../../model/instances.ts'
import type { InstanceObservation, InstanceUsage } from '../../model/observations.ts'
import type { FolderLock } from '../processes/folder-lock.ts'
import type { DiskPause } from './disk-marks.ts'
import type { Attention } from './host-api.ts'
import { brokerSettings, type InstanceBrokerContext, openInstanceBroker } from './instance-broker.ts'
import { InstanceEndpoints } from './instance-endpoints.ts'
import { InstanceHealth } from './instance-health.ts'
import { attentionOf, type InstanceState, observationOf, usageOf } from './instance-state.ts'

export interface HostedInstanceContext extends InstanceBrokerContext {
  readonly gateway: Gateway<BrokerEndpoint>
}

export class HostedInstance {
  readonly instanceId: InstanceId
  readonly broker: Broker
  readonly clients: ClientRegistry
  readonly health: InstanceHealth
  readonly #lock: FolderLock
  /** Tells this opening from the ones before it. */
  readonly #opening: number
  readonly #endpoints: InstanceEndpoints
  #spec: InstanceSpec
  /** What the broker was last configured with: `#spec`, or the next one while `apply` is under way. */
  #configured: InstanceSpec
  #pause: DiskPause | null = null
  /** Whether `#spec` was carried out wholly once. */
  #ready = false

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
    const report = (error: unknown): void => {
      health.note(error)
      context.report(error)
    }
    const broker = await openInstanceBroker({ ...context, report }, spec, storageKey)
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
    this.instanceId = made.spec.instanceId
    this.broker = made.broker
    this.health = made.health
    this.#lock = made.lock
    this.#opening = made.opening
    this.#spec = made.spec
    this.#configured = made.spec
    this.clients = new ClientRegistry(made.broker.consuming, context.world.clock)
    connectClients(made.broker, this.clients)
    this.#endpoints = new InstanceEndpoints(
      {
        gateway: context.gateway,
        clock: context.world.clock,
        broker: made.broker,
        clients: this.clients,
        report: (error) => {
          made.health.note(error)
          context.report(error)
        },
      },
      made.spec,
    )
  }

  /** The specification that was carried out wholly, addresses included; null when there is none. */
  get inForce(): InstanceSpec | null {
    return this.#ready && this.#endpoints.failure === null ? this.#spec : null
  }

  /** Brings the instance to the specification. An address that cannot be opened is told by `observation`. */
  async apply(spec: InstanceSpec): Promise<void> {
    this.#ready = false
    this.#configured = spec
    this.broker.administration.configure(brokerSettings(spec, this.#pause))
    await this.#endpoints.apply(spec)
    this.#spec = spec
    this.#ready = true
  }

  /** What the disk has no room for; null when it has for everything. */
  pause(pause: DiskPause | null): void {
    this.#pause = pause
    this.broker.administration.configure(brokerSettings(this.#configured, pause))
  }

  observation(): InstanceObservation {
    return observationOf(this.#state())
  }

  usage(): InstanceUsage {
    return usageOf(this.#state())
  }

  attention(): Attention | null {
    return attentionOf(this.#state())
  }

  async close(): Promise<void> {
    // Ends waiting receives first, so that ports close with nothing under way.
    const closing = this.broker.close()
    try {
      await this.#endpoints.close()
      this.clients.close()
    } finally {
      await closing.finally(() => this.#lock.release())
    }
  }

  #state(): InstanceState {
    return {
      ...{ instanceId: this.instanceId, broker: this.broker, health: this.health, opening: this.#opening },
      ...{ spec: this.#spec, endpoints: this.#endpoints, pause: this.#pause },
    }
  }
}
