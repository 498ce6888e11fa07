/**
 * A real embedded instance for the driver: the broker host in this process, over files in a temporary folder, on two
 * ports of its own (one free of credentials, one not), each taking TLS and cleartext. Its clock moves only when a test
 * moves it, so long polls and pauses of minutes cost nothing.
 */
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { BrokerHost } from '../../../src/engines/embedded/host.ts'
import { loadCertificate } from '../../../src/gateway/certificate.ts'
import type { GroupSpec, InstanceSpec, MessageType, TopicSpec } from '../../../src/model/instances.ts'
import { realWorld } from '../../../src/world/real.ts'
import { SimulatedClock } from '../../../src/world/simulated.ts'
import type { Disk, DiskFile, World } from '../../../src/world/world.ts'

export const account = { username: 'instance-user', secret: 'instance-secret', enabled: true, kind: 'default' } as const
export const disabledAccount = {
  username: 'disabled-user',
  secret: 'disabled-secret',
  enabled: false,
  kind: 'default',
} as const

export class DrivenInstance {
  readonly instanceId = 'rmq-cn-driver'
  readonly clock: SimulatedClock
  readonly host: BrokerHost
  /** What the broker reported as its own failure; a test of clients expects nothing here. */
  readonly reported: unknown[]
  readonly port: number
  readonly guardedPort: number
  #spec: InstanceSpec
  readonly #disk: WatchedDisk
  readonly #folder: string
  #made = 0

  private constructor(
    host: BrokerHost,
    clock: SimulatedClock,
    disk: WatchedDisk,
    spec: InstanceSpec,
    folder: string,
    reported: unknown[],
  ) {
    this.host = host
    this.clock = clock
    this.#disk = disk
    this.#spec = spec
    this.#folder = folder
    this.reported = reported
    this.port = spec.listen[0]!.port
    this.guardedPort = spec.listen[1]!.port
  }

  /** Official clients write the machine's time into their credentials: for them the clock begins at `startMs`. */
  static async start(more: Partial<InstanceSpec> = {}, startMs?: number): Promise<DrivenInstance> {
    const folder = await mkdtemp(path.join(tmpdir(), 'gantry-driver-'))
    const clock = new SimulatedClock(startMs)
    const reported: unknown[] = []
    const disk = new WatchedDisk(realWorld().disk)
    const host = await hostOver(folder, { ...realWorld(), clock, disk }, (error) => reported.push(error))
    const spec = await freshSpec(more)
    await host.ensureInstance({ spec, storageKey: null })
    return new DrivenInstance(host, clock, disk, spec, folder, reported)
  }

  async change(more: Partial<InstanceSpec>): Promise<void> {
    this.#spec = { ...this.#spec, generation: this.#spec.generation + 1, ...more }
    await this.host.ensureInstance({ spec: this.#spec, storageKey: null })
  }

  /** A topic of its own for a test; its name. */
  async topic(messageType: MessageType = 'NORMAL', more: Partial<TopicSpec> = {}): Promise<string> {
    const topicName = `${messageType.toLowerCase()}-${this.#made++}`
    await this.host.ensureTopics({
      instanceId: this.instanceId,
      topics: [{ topicName, generation: 1, messageType, maxSendTps: null, ...more }],
    })
    return topicName
  }

  async group(more: Partial<GroupSpec> = {}): Promise<string> {
    const consumerGroupId = `group-${this.#made++}`
    await this.host.ensureGroups({
      instanceId: this.instanceId,
      groups: [
        {
          consumerGroupId,
          generation: 1,
          orderly: false,
          maxRetryTimes: 16,
          retry: { kind: 'default' },
          deadLetterTopic: null,
          maxReceiveTps: null,
          ...more,
        },
      ],
    })
    return consumerGroupId
  }

  /** Moves the clock by steps until `promise` settles; answers it and the time that took on the clock. */
  async elapse<T>(promise: Promise<T>, stepMs = 100, limitMs = 120_000): Promise<{ value: T; tookMs: number }> {
    const started = this.clock.monotonic()
    let open = true
    const watched = promise.finally(() => {
      open = false
    })
    watched.catch(() => {})
    while (open) {
      if (this.clock.monotonic() - started > limitMs) throw new Error(`Nothing came within ${limitMs} ms of the clock.`)
      await this.#step(stepMs)
    }
    return { value: await watched, tookMs: this.clock.monotonic() - started }
  }

  /** Moves the clock by steps, and at each lets what is due by then be done. */
  async pass(ms: number, stepMs: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += stepMs) await this.#step(Math.min(stepMs, ms - passed))
  }

  async #step(ms: number): Promise<void> {
    await this.clock.advance(ms)
    // Answers get time to arrive and files to be written: the clock stands still for what the machine does.
    do await turns(4)
    while (this.#disk.busy > 0)
  }

  /** Resolves once the broker has set a timer beyond `before`: a poll that waits has armed its deadline. */
  async untilWaiting(before: number): Promise<void> {
    for (let turn = 0; this.clock.pending <= before; turn++) {
      if (turn > 200_000) throw new Error('The poll never came to wait.')
      await turns(1)
    }
  }

  /** What its files hold, all together. */
  async bytesOnDisk(): Promise<number> {
    const entries = await readdir(this.#folder, { recursive: true, withFileTypes: true })
    const files = entries.filter((entry) => entry.isFile())
    const sizes = files.map(async ({ parentPath, name }) => (await stat(path.join(parentPath, name))).size)
    return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
  }

  async close(): Promise<void> {
    const closed = this.host.close()
    let open = true
    void closed.then(() => {
      open = false
    })
    while (open) {
      await this.clock.advance(500)
      await turns(1)
    }
    await rm(this.#folder, { recursive: true, force: true })
  }
}

/** A broker host over a folder that nobody else knows. */
export async function hostOver(folder: string, world: World, report: (error: unknown) => void): Promise<BrokerHost> {
  return new BrokerHost({
    world,
    directory: path.join(folder, 'instances'),
    self: { version: 'test', home: folder, name: '1' },
    lingerMinutes: 0,
    lock: async () => ({ release: async () => {}, forget: async () => {} }),
    tls: await loadCertificate({ directory: path.join(folder, 'tls'), hosts: [] }),
    report,
  })
}

/** One instance on two free ports, the first without credentials. */
export async function freshSpec(more: Partial<InstanceSpec> = {}): Promise<InstanceSpec> {
  const [free, guarded] = await freePorts(2)
  const listen = (kind: 'vpc' | 'internet', port: number) =>
    ({ kind, host: '127.0.0.1', port, allow: [], bandwidthMbps: null }) as const
  return {
    instanceId: 'rmq-cn-driver',
    generation: 1,
    serving: true,
    listen: [listen('vpc', free!), listen('internet', guarded!)],
    ipWhitelist: ['0.0.0.0/0'],
    accounts: [account, disabledAccount],
    aclTypes: ['default'],
    grants: [],
    vpcAuthFree: true,
    retentionHours: 72,
    sendTps: 1_000_000,
    receiveTps: 1_000_000,
    elasticity: null,
    maxConnections: 10_000,
    maxDelayMs: 40 * 86_400_000,
    maxGroupsMadeByUse: 10_000,
    dedicated: false,
    encryptionKeyId: null,
    ...more,
  }
}

/** A disk that knows how many of its operations are under way. */
class WatchedDisk implements Disk {
  busy = 0
  readonly #disk: Disk
  constructor(disk: Disk) {
    this.#disk = disk
  }

  open(name: string, mode: 'read' | 'write' | 'create'): Promise<DiskFile> {
    return this.#watch(async () => {
      const file = await this.#disk.open(name, mode)
      return {
        write: (chunks, position) => this.#watch(() => file.write(chunks, position)),
        read: (target, position) => this.#watch(() => file.read(target, position)),
        datasync: () => this.#watch(() => file.datasync()),
        truncate: (sizeBytes) => this.#watch(() => file.truncate(sizeBytes)),
        size: () => this.#watch(() => file.size()),
        close: () => this.#watch(() => file.close()),
      }
    })
  }
  list = (directory: string) => this.#watch(() => this.#disk.list(directory))
  makeDirectory = (directory: string) => this.#watch(() => this.#disk.makeDirectory(directory))
  unlink = (name: string) => this.#watch(() => this.#disk.unlink(name))
  removeDirectory = (directory: string) => this.#watch(() => this.#disk.removeDirectory(directory))
  rename = (from: string, to: string) => this.#watch(() => this.#disk.rename(from, to))
  space = (directory: string) => this.#disk.space(directory)
  syncDirectory = (directory: string) => this.#watch(() => this.#disk.syncDirectory(directory))

  async #watch<T>(task: () => Promise<T>): Promise<T> {
    this.busy++
    try {
      return await task()
    } finally {
      this.busy--
    }
  }
}

/** KeyedQueue of the event loop, so that sockets and files make progress. */
export async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
}

export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve) =>
          server.listen({ port: 0, host: '127.0.0.1' }, () => resolve((server.address() as { port: number }).port)),
        ),
    ),
  )
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
