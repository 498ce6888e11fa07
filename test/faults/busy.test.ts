/**
 * A broker process whose event loop stands still: it is said to be busy, by a thread of its own, and serves on when the loop turns
 * again; only when that lasts longer than is allowed is it killed, and another takes its place.
 */
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, it } from 'vitest'
import { EmbeddedEngine } from '../../src/engines/embedded/engine.ts'
import { HostLauncher } from '../../src/engines/embedded/host-process.ts'
import { lookAtProcesses } from '../../src/engines/embedded/inspect.ts'
import { realWorld } from '../../src/world/real.ts'
import { until } from '../support/sdk.ts'
import { brokerPid, type TestHome, temporaryHome } from '../support/server.ts'
import { freshSpec } from '../wire/driver/instance.ts'

const { clock, disk } = realWorld()
let home: TestHome
let engine: EmbeddedEngine
const reports: string[] = []

afterEach(async () => {
  await engine?.stop()
  await home?.close()
})

/** An engine with one process that holds an instance; the process blocks for `blockMs` when it is told to. */
async function start(options: { hangSeconds: number; blockMs: number }): Promise<{ instanceId: string; pid: number }> {
  home = await temporaryHome()
  mkdirSync(home.home, { recursive: true, mode: 0o700 })
  mkdirSync(path.join(home.home, 'brokers'), { recursive: true, mode: 0o700 })
  process.env.TEST_BLOCK_MS = String(options.blockMs)
  reports.length = 0
  engine = new EmbeddedEngine({
    ...{ clock, disk, home: home.home },
    launcher: new HostLauncher({
      ...{ home: home.home, clock, version: 'test', lingerMinutes: 1 },
      script: fileURLToPath(new URL('blocking-host.mjs', import.meta.url)),
    }),
    pool: 1,
    hangSeconds: options.hangSeconds,
    storageKey: () => new Uint8Array(32),
    report: (error) => void reports.push((error as Error).message),
  })
  await engine.start()
  const spec = await freshSpec()
  await engine.ensureInstance(spec)
  return { instanceId: spec.instanceId, pid: (await brokerPid(home.home))! }
}

it('is reported as busy, with how long its loop has not turned, and is not killed', async () => {
  const { instanceId, pid } = await start({ hangSeconds: 120, blockMs: 14_000 })
  process.kill(pid, 'SIGUSR2')
  await until(
    async () => reports,
    (all) => all.length > 0,
    'it is reported',
  )
  expect(reports[0]).toMatch(
    new RegExp(
      `^Broker process 1 \\(process ${pid}\\) is busy: its event loop has not turned for \\d+ s; if it goes on so for 120 s, it is killed`,
    ),
  )
  await expect(engine.ask(instanceId, 'usage', {})).rejects.toThrow(/is busy: its event loop has not turned/)
  const [seen] = await lookAtProcesses(home.home, clock)
  expect(seen).toMatchObject({
    greeting: null,
    silent: expect.stringMatching(/it is busy: its event loop has not turned/),
  })
  await until(
    async () => reports,
    (all) => all.length > 1,
    'it turns again',
  )
  expect(reports[1]).toBe('Broker process 1 answers again.')
  expect(await engine.ask(instanceId, 'usage', {})).toMatchObject({ connections: 0 })
  expect(await brokerPid(home.home)).toBe(pid)
}, 120_000)

it('is killed when its loop does not turn for as long as is allowed, and another takes its place', async () => {
  const { pid } = await start({ hangSeconds: 4, blockMs: 1_000_000 })
  process.kill(pid, 'SIGUSR2')
  await until(
    async () => (await lookAtProcesses(home.home, clock))[0],
    (seen) => seen?.greeting != null && seen.greeting.pid !== pid,
    'another process serves',
  )
  const [seen] = await lookAtProcesses(home.home, clock)
  expect(seen?.record.lastEnd?.how).toMatch(/^because its event loop had not turned for \d+ s and was killed$/)
}, 120_000)
