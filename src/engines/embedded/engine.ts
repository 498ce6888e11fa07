/**
 * The embedded engine: Gantry's own broker, hosted in a process of its own. This file is the seam's
 * near side: it holds the link to the host, finds or starts a host whenever there is none, and says
 * that everything is in doubt when the link broke.
 */
import type { Clock } from '../../world/world.ts'
import {
  type Engine,
  type EngineCapabilities,
  EngineError,
  type GroupSpec,
  type InstanceSpec,
  type TopicSpec,
} from '../engine.ts'
import type { HostApi } from './host-api.ts'
import type { HostLink } from './link.ts'

export interface EmbeddedEngineOptions {
  readonly clock: Clock
  /** Finds or starts a host (host-process.ts), or hands out one in this process (tests). */
  readonly connect: () => Promise<HostLink>
  /** 32 bytes that the instance's messages are encrypted with under the key id its owner named. */
  readonly storageKey: (instanceId: string, keyId: string) => Uint8Array
  readonly report: (error: unknown) => void
}

/** What this version's broker carries; the API refuses the rest naming the flag. */
const capabilities: EngineCapabilities = { messageTypes: ['NORMAL'], orderlyGroups: false, storageEncryption: true }

const firstRetryMs = 50
const lastRetryMs = 5000

export function createEmbeddedEngine(options: EmbeddedEngineOptions): Engine {
  let link: Promise<HostLink> | null = null
  let stopped = false
  let retryMs = firstRetryMs
  let changed: (instanceId: string | null) => void = () => {}

  function connected(): Promise<HostLink> {
    if (stopped) return Promise.reject(new EngineError('unavailable', 'The engine is stopped.'))
    link ??= connect()
    return link
  }

  async function connect(): Promise<HostLink> {
    try {
      const fresh = await options.connect()
      fresh.onClose(lost)
      retryMs = firstRetryMs
      return fresh
    } catch (error) {
      link = null
      throw error
    }
  }

  function lost(): void {
    link = null
    if (stopped) return
    options.report(new EngineError('unavailable', 'The broker process is gone; starting another.'))
    reconnect()
  }

  function reconnect(): void {
    options.clock.after(retryMs, () => {
      retryMs = Math.min(retryMs * 2, lastRetryMs)
      if (stopped) return
      connected().then(
        () => changed(null),
        (error: unknown) => {
          options.report(error)
          reconnect()
        },
      )
    })
  }

  const call = async <T>(use: (host: HostApi) => Promise<T>): Promise<T> => use((await connected()).host)
  const storageKeyOf = (spec: InstanceSpec): string | null =>
    spec.encryptionKeyId === null
      ? null
      : Buffer.from(options.storageKey(spec.instanceId, spec.encryptionKeyId)).toString('base64')

  return {
    name: 'embedded',
    capabilities,
    onChange: (listener) => {
      changed = listener
    },
    async start() {
      stopped = false
      await connected()
    },
    async stop() {
      stopped = true
      const last = await link?.catch(() => null)
      link = null
      if (last == null) return
      const closed = new Promise<void>((resolve) => last.onClose(resolve))
      // The process may be gone before its answer is read; the link's end says the same.
      await last.host.shutdown().catch(() => {})
      await closed
    },
    observe: () => call((host) => host.observe()),
    observeInstance: (instanceId) => call((host) => host.observeInstance({ instanceId })),
    ensureInstance: (spec) => call((host) => host.ensureInstance({ spec, storageKey: storageKeyOf(spec) })),
    removeInstance: (instanceId) => call((host) => host.removeInstance({ instanceId }).then(() => {})),
    async ensureTopics(instanceId, topics) {
      for (const topic of topics) checkTopic(topic)
      await call((host) => host.ensureTopics({ instanceId, topics }))
    },
    removeTopic: (instanceId, topicName) => call((host) => host.removeTopic({ instanceId, topicName }).then(() => {})),
    async ensureGroups(instanceId, groups) {
      for (const group of groups) checkGroup(group)
      await call((host) => host.ensureGroups({ instanceId, groups }))
    },
    removeGroup: (instanceId, consumerGroupId) =>
      call((host) => host.removeGroup({ instanceId, consumerGroupId }).then(() => {})),
    usage: (instanceId) => call((host) => host.usage({ instanceId })),
  }
}

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
