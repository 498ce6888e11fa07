/** The broker in a process of its own, with what a test wants to know about it: its memory, its log, its end. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { connectToHost, type HostLink } from '../../../src/engines/embedded/link.ts'
import type { InstanceSpec } from '../../../src/model/instances.ts'
import { realClock } from '../../../src/world/real.ts'
import { buildChild } from '../../support/child.ts'
import { freshSpec } from './instance.ts'

export class BrokerProcess {
  readonly spec: InstanceSpec
  readonly #child: ChildProcess
  readonly #link: HostLink
  readonly #ownFolder: boolean
  readonly #folder: string
  readonly #log: string[]
  #made = 0

  private constructor(
    child: ChildProcess,
    link: HostLink,
    spec: InstanceSpec,
    log: string[],
    folder: string,
    own: boolean,
  ) {
    this.#child = child
    this.#link = link
    this.spec = spec
    this.#log = log
    this.#folder = folder
    this.#ownFolder = own
  }

  static async start(options: {
    folder?: string
    spec?: Partial<InstanceSpec>
    program: { readonly file: string }
  }): Promise<BrokerProcess> {
    const folder = options.folder ?? (await mkdtemp(path.join(tmpdir(), 'gantry-hostile-')))
    rmSync(path.join(folder, 'host.sock'), { force: true })
    const child = spawn(process.execPath, [options.program.file, folder], { stdio: ['ignore', 'pipe', 'pipe'] })
    const log: string[] = []
    child.stderr!.setEncoding('utf8').on('data', (text: string) => log.push(text))
    await Promise.race([
      once(child.stdout!, 'data'),
      once(child, 'exit').then(() => {
        throw new Error(`The broker process ended at once: ${log.join('')}`)
      }),
    ])
    const link = await connectToHost(path.join(folder, 'host.sock'), realClock)
    const spec = await freshSpec(options.spec)
    await link.host.ensureInstance({ spec, storageKey: null })
    return new BrokerProcess(child, link, spec, log, folder, options.folder === undefined)
  }

  static program = (): Promise<{ readonly file: string; remove(): void }> =>
    buildChild('test/wire/driver/broker-child.ts')

  get port(): number {
    return this.spec.listen[0]!.port
  }

  /** The endpoint that asks for credentials. */
  get guardedPort(): number {
    return this.spec.listen[1]!.port
  }

  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  log(): string {
    return this.#log.join('')
  }

  async topic(): Promise<string> {
    const topicName = `topic-${this.#made++}`
    await this.#link.host.ensureTopics({
      instanceId: this.spec.instanceId,
      topics: [{ topicName, generation: 1, messageType: 'NORMAL', maxSendTps: null }],
    })
    return topicName
  }

  async connections(): Promise<number> {
    return (await this.#link.host.ask({ instanceId: this.spec.instanceId, question: 'usage', params: {} })).connections
  }

  /** Resident memory now, in bytes. Linux alone tells. */
  memoryBytes(): number {
    return this.#memory('VmRSS')
  }

  /** The most it had since `forgetPeak`. */
  peakBytes(): number {
    return this.#memory('VmHWM')
  }

  forgetPeak(): void {
    writeFileSync(`/proc/${this.#child.pid}/clear_refs`, '5')
  }

  #memory(name: string): number {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, 'utf8')
    return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)![1]) * 1024
  }

  async kill(): Promise<void> {
    if (!this.alive) return
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await ended
  }

  async close(): Promise<void> {
    this.#link.close()
    await this.kill()
    if (this.#ownFolder) rmSync(this.#folder, { recursive: true, force: true })
  }
}
