/** What a row of a quirk table gets to work with: the instance, and clients of its language that are closed afterwards. */
import { type ClientOptions, DriverClient, type Polled } from './client.ts'
import type { DrivenInstance } from './instance.ts'
import type { Language, Personality } from './personalities.ts'
import { personalities } from './personalities.ts'

export interface Quirk {
  /** Where the rule stands: sections of docs/reference/data-plane.md, or the client's own source. */
  readonly source: string
  readonly name: string
  readonly clients: readonly Language[]
  run(bench: Bench): Promise<void>
}

export class Bench {
  readonly instance: DrivenInstance
  readonly language: Language
  readonly personality: Personality
  readonly tls: boolean
  readonly #clients: DriverClient[] = []

  constructor(instance: DrivenInstance, language: Language, tls: boolean) {
    this.instance = instance
    this.language = language
    this.personality = personalities[language]
    this.tls = tls
  }

  async dial(more: Partial<ClientOptions> & { as?: Language } = {}): Promise<DriverClient> {
    const { as = this.language, ...options } = more
    const client = await DriverClient.dial(as, {
      port: this.instance.port,
      tls: this.tls,
      clock: this.instance.clock,
      ...options,
    })
    this.#clients.push(client)
    return client
  }

  /** A poll that is expected to wait, and how long it did on the clock. */
  async wait(poll: () => Promise<Polled>, stepMs = 100): Promise<{ polled: Polled; tookMs: number }> {
    const { clock } = this.instance
    const before = clock.pending
    const polling = poll()
    await Promise.race([this.instance.untilWaiting(before), polling])
    const { value, tookMs } = await this.instance.elapse(polling, stepMs)
    return { polled: value, tookMs }
  }

  close(): void {
    for (const client of this.#clients.splice(0)) client.close()
  }
}
