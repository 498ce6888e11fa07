/** An instance with a clock of its own and official clients on it, which end before it does. */
import type { InstanceSpec } from '../../src/model/instances.ts'
import { realClock } from '../../src/world/real.ts'
import { clientOptions, rocketmq } from '../support/client.ts'
import { DrivenInstance, turns } from '../wire/driver/instance.ts'

export class BoughtInstance {
  readonly driven: DrivenInstance
  readonly #clients: any[] = []

  private constructor(driven: DrivenInstance) {
    this.driven = driven
  }

  static async start(spec: Partial<InstanceSpec> = {}): Promise<BoughtInstance> {
    return new BoughtInstance(await DrivenInstance.start(spec, realClock.now()))
  }

  /** One try for each send, so that a refusal is seen and not retried. */
  async producer(topic: string, more: Readonly<Record<string, unknown>> = {}): Promise<any> {
    return this.#begin(new rocketmq.Producer(this.#options({ topics: [topic], maxAttempts: 1, ...more })))
  }

  async consumer(topic: string, consumerGroup: string, more: Readonly<Record<string, unknown>> = {}): Promise<any> {
    const subscriptions = new Map([[topic, '*']])
    return this.#begin(
      new rocketmq.SimpleConsumer(this.#options({ consumerGroup, subscriptions, awaitDuration: 5000, ...more })),
    )
  }

  #options(more: Readonly<Record<string, unknown>>): any {
    return clientOptions(`127.0.0.1:${this.driven.port}`, more)
  }

  async #begin(client: any): Promise<any> {
    await client.startup()
    this.#clients.push(client)
    return client
  }

  /** The client throws when a telemetry stream it has given up ends otherwise than it asked: those end first. */
  async leave(client: any): Promise<void> {
    this.#clients.splice(this.#clients.indexOf(client), 1)
    await client.shutdown()
    await turns(200)
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.splice(0).map((client) => client.shutdown()))
    await turns(500)
    await this.driven.close()
  }
}

/** Status code and text of a client's error and of its causes. */
export function told(error: unknown): string {
  const { code, message, cause } = error as { code?: number; message: string; cause?: unknown }
  return cause === undefined ? `${code} ${message}` : `${code} ${message} ${told(cause)}`
}
