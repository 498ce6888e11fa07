/**
 * Broker processes that do not serve: one that hangs, and one that ends whenever it starts. What is told of them, and how
 * they come back. These tests wait for limits in seconds, so they wait together, each on a home of its own.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { hostPaths } from '../../src/engines/embedded/paths.ts'
import { pause } from '../../src/world/real.ts'
import { run } from '../cli/run.ts'
import { runningInstance, sdkClient, until } from '../support/sdk.ts'
import { brokerPid } from '../support/server.ts'
import { expectAllKept, getInstance, loaded, moved, ProcessBench, pool, runs } from './process-bench.ts'

const hang = (seconds: number): Record<string, string> => ({ GANTRY_BROKER_HANG_SECONDS: String(seconds) })

type Story = (bench: ProcessBench) => Promise<void>

const stories: ReadonlyArray<readonly [what: string, firstPort: number, story: Story]> = [
  ['a process that hangs is killed and started again, one that only paused is not', 27_000, hangs],
  ['a process that hangs is reported with the reason, until it answers again', 27_020, isSilent],
  ['a process that hangs when the server dies is replaced by the next server', 27_040, hangsUnserved],
  ['a process that keeps ending is reported with the reason, and the others go on', 27_060, keepsEnding],
]

describe('a broker process that does not serve', () => {
  it.concurrent.each(stories)('%s', async (_what, firstPort, story) => {
    const bench = await ProcessBench.make(firstPort)
    try {
      await story(bench)
    } finally {
      await bench.close()
    }
  })
})

async function hangs(bench: ProcessBench): Promise<void> {
  const { home } = bench.home
  const server = await bench.start(hang(4))
  const hit = await loaded(sdkClient(server.ready))
  const pid = (await brokerPid(home))!
  bench.signal(pid, 'SIGSTOP')
  await pause(1_500)
  bench.signal(pid, 'SIGCONT')
  await moved(hit.load)
  expect(await brokerPid(home)).toBe(pid)
  bench.signal(pid, 'SIGSTOP')
  await until(
    async () => (await bench.look())[0]!.greeting?.pid ?? pid,
    (now) => now !== pid,
    'another process took its place',
  )
  await moved(hit.load)
  expect((await bench.look())[0]!.record).toMatchObject({
    restarts: 1,
    lastEnd: { how: 'because it had not answered for 4 s and was killed' },
  })
  const { stdout } = await run(['doctor', '--home', home])
  expect(stdout).toMatch(
    /✓ broker process 1: .*1 restart \(it ended because it had not answered for 4 s and was killed at /,
  )
  await hit.load.stop()
  await expectAllKept(hit)
}

async function isSilent(bench: ProcessBench): Promise<void> {
  const { home } = bench.home
  const server = await bench.start(hang(0))
  const { instanceId } = await runningInstance(sdkClient(server.ready))
  const pid = (await brokerPid(home))!
  bench.signal(pid, 'SIGSTOP')
  const reason = `Broker process 1 (process ${pid}) has not answered for 5 s.`
  const { data, message } = await until(
    () => getInstance(server, instanceId),
    (answer) => answer.message !== 'Success',
    'the reason is told',
  )
  expect([data.status, message]).toEqual(['CHANGING', reason])
  const doctor = await run(['doctor', '--home', home])
  expect(doctor.code).toBe(1)
  expect(doctor.stdout).toMatch(
    /✗ broker process 1 does not answer: it did not answer within 2 s\n {2}The server kills/,
  )
  expect(doctor.stdout).toContain(`instance ${instanceId} is CHANGING: ${reason}`)
  bench.signal(pid, 'SIGCONT')
  await runs(server, instanceId)
  expect((await getInstance(server, instanceId)).message).toBe('Success')
  expect(await brokerPid(home)).toBe(pid)
}

async function hangsUnserved(bench: ProcessBench): Promise<void> {
  const { home } = bench.home
  let server = await bench.start()
  const { instanceId } = await runningInstance(sdkClient(server.ready))
  const pid = (await brokerPid(home))!
  bench.signal(pid, 'SIGSTOP')
  await server.kill()
  server = await bench.start(hang(4))
  await runs(server, instanceId)
  expect(await brokerPid(home)).not.toBe(pid)
  expect(await server.stop()).toBe(0)
}

async function keepsEnding(bench: ProcessBench): Promise<void> {
  const { home } = bench.home
  const server = await bench.start(pool(2))
  const client = sdkClient(server.ready)
  const [hit, spared, mended] = [
    await runningInstance(client),
    await runningInstance(client),
    await runningInstance(client),
  ]
  expect(await bench.whereabouts()).toEqual({
    [hit.instanceId]: '1',
    [spared.instanceId]: '2',
    [mended.instanceId]: '1',
  })
  // A process that starts now ends at once; those that run have read it long ago.
  const certificate = path.join(hostPaths(home).certificates, 'tls.crt')
  const good = readFileSync(certificate)
  writeFileSync(certificate, 'no certificate')
  await server.killBroker('1')
  const reason =
    /Broker process 1 keeps ending, 5 times within 60 s, last because it could not be started: It ended with exit code 1 while starting; it is tried again every 10 s\. Its last words: .*tls\.crt is not a PEM certificate/
  const { data, success, message } = await until(
    () => getInstance(server, hit.instanceId),
    (answer) => /keeps ending/.test(answer.message),
    'the reason is told',
  )
  expect([data.status, success]).toEqual(['CHANGING', true])
  expect(message).toMatch(reason)
  expect(message.length).toBeLessThanOrEqual(500)
  expect(await getInstance(server, spared.instanceId)).toMatchObject({
    message: 'Success',
    data: { status: 'RUNNING' },
  })
  const [doctor, shown, listed] = await Promise.all(
    [['doctor'], ['get', 'instance', hit.instanceId], ['list', 'processes']].map((command) =>
      run([...command, '--home', home]),
    ),
  )
  expect(doctor!.code).toBe(1)
  expect(doctor!.stdout).toMatch(new RegExp(`✗ ${reason.source}`))
  expect(doctor!.stdout).toMatch(new RegExp(`instance ${hit.instanceId} is CHANGING: ${reason.source}`))
  expect(doctor!.stdout).toMatch(/✓ broker process 2: process \d+/)
  expect(shown!.stdout).toMatch(reason)
  expect(listed!.stdout).toMatch(/^1 +2 +0 +failing$/m)
  expect(server.log()).toMatch(reason)
  // Deleting it needs no process.
  await client.deleteInstance(hit.instanceId)
  await until(
    () => client.getInstance(hit.instanceId).catch((error: any) => error.code),
    (answer) => answer === 'Instance.NotFound',
    'it is gone',
  )
  // What hindered it is put right: it comes back by itself.
  writeFileSync(certificate, good)
  await runs(server, mended.instanceId)
}
