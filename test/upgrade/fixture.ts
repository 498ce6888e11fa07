/**
 * Homes that programs of the past wrote (test/fixtures/homes): unpacked into a folder of their own, with what must be found
 * in them. An instance's data can be put on a simulated disk and opened at the time of the fixture, for retention and timers go by the clock.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Broker, BrokerSettings } from '../../src/broker/broker.ts'
import { keysIn } from '../../src/broker/messages/stored-message.ts'
import { openBroker } from '../../src/broker/shell/open.ts'
import { openLedger } from '../../src/ledger/open.ts'
import { instanceSpecOf } from '../../src/lifecycle/spec.ts'
import { createWantedStore } from '../../src/lifecycle/wanted-store.ts'
import { SimulatedClock, SimulatedRandom } from '../../src/world/simulated.ts'
import { SimulatedDisk } from '../../src/world/simulated-disk.ts'
import { quietLog } from '../support/ledger.ts'

const folder = path.join(path.dirname(fileURLToPath(import.meta.url)), '../fixtures/homes')

export interface SentMessage {
  readonly messageId: string
  readonly body: string
}

export interface FilledInstance {
  readonly instanceId: string
  readonly answers: Readonly<Record<string, any>>
  readonly normal: Readonly<
    Record<'sent' | 'acked' | 'retried' | 'held' | 'deadLetters' | 'madeByUse', readonly string[]>
  >
  readonly orders: {
    readonly sent: readonly (SentMessage & { readonly messageGroup: string })[]
    readonly acked: readonly string[]
    readonly held: readonly string[]
  }
  readonly later: {
    readonly fired: readonly SentMessage[]
    readonly waiting: readonly (SentMessage & { readonly deliverAtMs: number; readonly recallHandle: string })[]
    readonly recalled: SentMessage
  }
  readonly payments: Readonly<{
    committed: readonly SentMessage[]
    rolledBack: SentMessage
    open: readonly (SentMessage & { readonly transactionId: string })[]
  }>
  readonly urgent: { readonly sent: readonly (SentMessage & { readonly priority: number })[] }
  readonly chats: {
    readonly sent: readonly (SentMessage & { readonly liteTopic: string })[]
    readonly acked: readonly string[]
  }
}

export interface ExpectedHome {
  readonly atMs: number
  readonly deleted: string
  readonly instances: {
    readonly standard: FilledInstance
    readonly platinum: FilledInstance
    readonly serverless: Pick<FilledInstance, 'instanceId' | 'answers'>
  }
  readonly tags: Readonly<Record<string, any>>
}

export interface Fixture {
  readonly version: string
  readonly keys: Readonly<Record<string, string>>
  readonly homes: Readonly<Record<'stopped' | 'killed', ExpectedHome>>
}

export const fixtures: readonly string[] = readdirSync(folder).filter((name) => /^\d/.test(name))

export const readFixture = (name: string): Fixture =>
  JSON.parse(readFileSync(path.join(folder, name, 'expected.json'), 'utf8'))

/** A fresh copy in a folder of its own; whoever asks removes the folder above it. */
export function unpack(fixture: string, home: string): string {
  const target = path.join(mkdtempSync(path.join(realpathSync(tmpdir()), 'gantry-homes-')), 'home')
  mkdirSync(target, { mode: 0o700 })
  execFileSync('tar', ['-xzf', path.join(folder, fixture, `${home}.tar.gz`), '-C', target])
  return target
}

export interface OpenedInstance {
  readonly broker: Broker
  readonly clock: SimulatedClock
  readonly disk: SimulatedDisk
  /** Closes it in order and opens it again. */
  reopen(): Promise<Broker>
}

/** The instance's files on a simulated disk, in `/instance`. */
export async function diskOf(home: string, instanceId: string): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk({ random: new SimulatedRandom(1) })
  const directory = path.join(home, 'instances', instanceId)
  await disk.makeDirectory('/instance')
  for (const name of readdirSync(directory)) disk.plant(`/instance/${name}`, readFileSync(path.join(directory, name)))
  return disk
}

/** The instance as the loop would open it, on a simulated disk, ten seconds after the home was left. */
export async function openInstance(
  home: string,
  instanceId: string,
  atMs: number,
  disk?: SimulatedDisk,
): Promise<OpenedInstance> {
  return openOn(disk ?? (await diskOf(home, instanceId)), home, instanceId, atMs)
}

async function openOn(disk: SimulatedDisk, home: string, instanceId: string, atMs: number): Promise<OpenedInstance> {
  const clock = new SimulatedClock(atMs + 10_000)
  const random = new SimulatedRandom(1)
  const { settings, cipherKey } = await settingsOf(home, instanceId, { clock, random })
  const reported: unknown[] = []
  const open = (): Promise<Broker> =>
    openBroker({
      world: { clock, random, disk },
      directory: '/instance',
      settings,
      cipherKey,
      keysIn,
      report: (error) => reported.push(error),
    })
  const opened = {
    broker: await open(),
    clock,
    disk,
    async reopen() {
      await opened.broker.close()
      if (reported.length > 0) throw reported[0]
      opened.broker = await open()
      return opened.broker
    },
  }
  return opened
}

async function settingsOf(
  home: string,
  instanceId: string,
  world: { readonly clock: SimulatedClock; readonly random: SimulatedRandom },
): Promise<{ settings: BrokerSettings; cipherKey: Uint8Array | null }> {
  const ledger = await openLedger({ home, databaseUrl: null, world, log: quietLog })
  try {
    const wanted = await createWantedStore(ledger, world).load({ instanceId, complete: true, toldGeneration: null })
    if (wanted === null) throw new Error(`The ledger does not know ${instanceId}.`)
    const spec = instanceSpecOf({
      instance: wanted.instance,
      ...wanted.access!,
      ports: { vpc: 1, internet: null },
      listenHost: '127.0.0.1',
      serving: true,
    })
    const { retentionHours, sendTps, receiveTps, maxDelayMs, maxGroupsMadeByUse, encryptionKeyId } = spec
    return {
      settings: { retentionMs: retentionHours * 3_600_000, sendTps, receiveTps, maxDelayMs, maxGroupsMadeByUse },
      cipherKey: encryptionKeyId === null ? null : ledger.secrets.deriveKey(`storage ${instanceId} ${encryptionKeyId}`),
    }
  } finally {
    await ledger.close()
  }
}
