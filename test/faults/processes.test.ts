/**
 * Broker processes under the official client: kill -9 of the management server or of one of them, while messages flow;
 * what the next server takes over, and what it repairs.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createEmbeddedEngine } from '../../src/engines/embedded/engine.ts'
import { createLauncher } from '../../src/engines/embedded/host-process.ts'
import { lookAtProcesses, type ProcessSeen } from '../../src/engines/embedded/look.ts'
import { hostPlaces, processPlaces } from '../../src/engines/embedded/places.ts'
import { pause, realClock, realWorld } from '../../src/world/real.ts'
import { run } from '../cli/run.ts'
import { instanceRequest, runningInstance, sdk, sdkClient, until } from '../support/sdk.ts'
import { brokerPid, type TestHome, type TestServer, temporaryHome } from '../support/server.ts'
import { everythingKept, type Load, startLoad } from './load.ts'

let home: TestHome
beforeEach(async () => {
  home = await temporaryHome()
})
/** Processes a test stopped: one that still is would hold up the end of its server. */
const stopped: number[] = []
afterEach(async () => {
  for (const pid of stopped.splice(0)) signal(pid, 'SIGCONT')
  await home?.close()
})

function signal(pid: number, name: 'SIGSTOP' | 'SIGCONT'): void {
  if (name === 'SIGSTOP') stopped.push(pid)
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

const firstPort = '26000'
const start = (env: Record<string, string> = {}): Promise<TestServer> =>
  home.start({ env: { GANTRY_FIRST_INSTANCE_PORT: firstPort, ...env } })
const pool = (processes: number): Record<string, string> => ({ GANTRY_BROKER_PROCESSES: String(processes) })

const look = (): Promise<ProcessSeen[]> => lookAtProcesses(home.home, realClock)
/** Process name by instance, as the processes themselves say. */
async function whereabouts(): Promise<Record<string, string>> {
  return Object.fromEntries(
    (await look()).flatMap(({ name, observed }) => observed.map(({ instanceId }) => [instanceId, name])),
  )
}

const platinum = {
  seriesCode: 'ultimate',
  productInfo: new sdk.CreateInstanceRequestProductInfo({
    msgProcessSpec: 'rmq.u2.10xlarge',
    messageRetentionTime: 72,
  }),
}

interface Loaded {
  readonly instanceId: string
  readonly endpoint: string
  readonly load: Load
}

/** An instance with a topic, a group that consumes under load, and one that has consumed nothing. */
async function loaded(client: any, changes: object = {}): Promise<Loaded> {
  const { instanceId, endpoint } = await runningInstance(client, {
    topic: 'load',
    group: 'workers',
    changes: { ...changes },
  })
  await client.createConsumerGroup(
    instanceId,
    'auditor',
    new sdk.CreateConsumerGroupRequest({
      deliveryOrderType: 'Concurrently',
      consumeRetryPolicy: new sdk.CreateConsumerGroupRequestConsumeRetryPolicy({
        retryPolicy: 'DefaultRetryPolicy',
        maxRetryTimes: 16,
      }),
    }),
  )
  await until(
    () => client.getConsumerGroup(instanceId, 'auditor'),
    (answer: any) => answer.body.data.status === 'RUNNING',
    'the auditor runs',
  )
  const load = await startLoad(endpoint, 'load', 'workers')
  await moved(load)
  return { instanceId, endpoint, load }
}

function moved(load: Load, messages = 20): Promise<unknown> {
  const [sent, consumed] = [load.sent.size, load.consumed.size]
  return until(
    async () => load.sent.size >= sent + messages && load.consumed.size >= consumed + messages / 2,
    Boolean,
    `messages flow: ${sent} sent and ${consumed} consumed so far`,
  )
}

async function expectAllKept({ endpoint, load }: Loaded): Promise<void> {
  expect(load.returned, 'came again after their acknowledgement was answered').toEqual([])
  const kept = await everythingKept(endpoint, 'load', 'auditor', load.sent)
  expect(
    [...load.sent.keys()].filter((id) => !kept.has(id)),
    'acknowledged and lost',
  ).toEqual([])
}

const getInstance = async (server: TestServer, instanceId: string): Promise<any> =>
  (await sdkClient(server.ready).getInstance(instanceId)).body

const runs = (server: TestServer, instanceId: string): Promise<unknown> =>
  until(
    () => getInstance(server, instanceId),
    ({ data }) => data.status === 'RUNNING',
    `${instanceId} runs`,
  )

it.skipIf(!existsSync('/proc/self/environ'))(
  'a broker process has no secret of the server in its environment',
  async () => {
    const secret = 'nobody-else-must-see-this'
    const server = await start({ GANTRY_ACCESS_KEY_ID: 'test-key', GANTRY_ACCESS_KEY_SECRET: secret })
    await runningInstance(sdkClient(server.ready))
    const environment = readFileSync(`/proc/${await brokerPid(home.home)}/environ`, 'utf8')
    expect(environment).toContain('PATH=')
    expect(environment).not.toContain(secret)
  },
)

it('an instance comes back in its process, and a stopped server leaves none', async () => {
  let server = await start(pool(3))
  const { instanceId } = await runningInstance(sdkClient(server.ready))
  expect(await whereabouts()).toEqual({ [instanceId]: '1' })
  expect(
    (await look()).map(({ name }) => name),
    'the others are not needed yet',
  ).toEqual(['1'])
  expect(await server.stop()).toBe(0)
  expect(await brokerPid(home.home)).toBeNull()
  server = await start(pool(3))
  expect(await whereabouts()).toEqual({ [instanceId]: '1' })
  expect(await server.stop()).toBe(0)
})

it('kill -9 of the management server: not one call fails, and the next one changes nothing that is right', async () => {
  let server = await start(pool(2))
  const client = sdkClient(server.ready)
  const both = [await loaded(client), await loaded(client, platinum)]
  const before = await look()
  expect(before.map(({ name }) => name)).toEqual(['1', both[1]!.instanceId])
  await server.kill()
  await Promise.all(both.map(({ load }) => moved(load)))
  server = await start(pool(2))
  for (const { instanceId, endpoint } of both) {
    const { data, message } = await getInstance(server, instanceId)
    expect([data.status, data.networkInfo.endpoints[0].endpointUrl, message]).toEqual(['RUNNING', endpoint, 'Success'])
  }
  await Promise.all(both.map(({ load }) => moved(load)))
  const after = await look()
  const lasting = ({ name, record, greeting, observed }: ProcessSeen) => ({
    name,
    record,
    pid: greeting?.pid,
    startedAtMs: greeting?.startedAtMs,
    observed,
  })
  expect(after.map(lasting)).toEqual(before.map(lasting))
  await Promise.all(both.map(({ load }) => load.stop()))
  expect(both.map(({ load }) => load.failures())).toEqual([0, 0])
  expect(both.map(({ load }) => load.returned)).toEqual([[], []])
})

it('kill -9 of one of two broker processes: the other one’s clients notice nothing, the killed one’s recover', async () => {
  const server = await start(pool(2))
  const client = sdkClient(server.ready)
  const [hit, spared] = [await loaded(client), await loaded(client)]
  expect(await whereabouts()).toEqual({ [hit.instanceId]: '1', [spared.instanceId]: '2' })
  const pids = [await brokerPid(home.home, '1'), await brokerPid(home.home, '2')]
  await server.killBroker('1')
  await Promise.all([moved(hit.load), moved(spared.load)])
  const after = await look()
  expect(after[0]!.greeting!.pid).not.toBe(pids[0])
  expect(after[1]!.greeting!.pid).toBe(pids[1])
  expect(after.map(({ record }) => [record.restarts, record.lastEnd?.how ?? null])).toEqual([
    [1, 'by SIGKILL'],
    [0, null],
  ])
  await Promise.all([hit.load.stop(), spared.load.stop()])
  expect(spared.load.failures()).toBe(0)
  await expectAllKept(hit)
  await expectAllKept(spared)
  expect(server.log()).toMatch(/Broker process 1 ended by SIGKILL; it is started again in 50 ms/)
})

it('a process that keeps ending is reported with the reason, and the other’s instances go on', async () => {
  const server = await start(pool(2))
  const client = sdkClient(server.ready)
  const [hit, spared, mended] = [
    await runningInstance(client),
    await runningInstance(client),
    await runningInstance(client),
  ]
  expect(await whereabouts()).toEqual({ [hit.instanceId]: '1', [spared.instanceId]: '2', [mended.instanceId]: '1' })
  // A process that starts now ends at once; those that run have read it long ago.
  const certificate = path.join(hostPlaces(home.home).certificates, 'tls.crt')
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
      run([...command, '--home', home.home]),
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
})

describe('a process that hangs', () => {
  const hang = (seconds: number): Record<string, string> => ({ GANTRY_BROKER_HANG_SECONDS: String(seconds) })

  it('is killed and started again; one that only paused is not; nothing acknowledged is lost', async () => {
    const server = await start(hang(3))
    const hit = await loaded(sdkClient(server.ready))
    const pid = (await brokerPid(home.home))!
    signal(pid, 'SIGSTOP')
    await pause(1_500)
    signal(pid, 'SIGCONT')
    await moved(hit.load)
    expect(await brokerPid(home.home)).toBe(pid)
    signal(pid, 'SIGSTOP')
    await until(
      async () => (await look())[0]!.greeting?.pid ?? pid,
      (now) => now !== pid,
      'another process took its place',
    )
    await moved(hit.load)
    expect((await look())[0]!.record).toMatchObject({
      restarts: 1,
      lastEnd: { how: 'because it had not answered for 3 s and was killed' },
    })
    const { stdout } = await run(['doctor', '--home', home.home])
    expect(stdout).toMatch(
      /✓ broker process 1: .*1 restart \(it ended because it had not answered for 3 s and was killed at /,
    )
    await hit.load.stop()
    await expectAllKept(hit)
  })

  it('is reported with the reason while it hangs, and by the next server, which replaces it', async () => {
    let server = await start(hang(0))
    const { instanceId } = await runningInstance(sdkClient(server.ready))
    const pid = (await brokerPid(home.home))!
    signal(pid, 'SIGSTOP')
    const reason = `Broker process 1 (process ${pid}) has not answered for 5 s.`
    const { data, message } = await until(
      () => getInstance(server, instanceId),
      (answer) => answer.message !== 'Success',
      'the reason is told',
    )
    expect([data.status, message]).toEqual(['CHANGING', reason])
    const doctor = await run(['doctor', '--home', home.home])
    expect(doctor.code).toBe(1)
    expect(doctor.stdout).toMatch(
      /✗ broker process 1 does not answer: it did not answer within 2 s\n {2}The server kills/,
    )
    expect(doctor.stdout).toContain(`instance ${instanceId} is CHANGING: ${reason}`)
    signal(pid, 'SIGCONT')
    await runs(server, instanceId)
    expect((await getInstance(server, instanceId)).message).toBe('Success')
    expect(await brokerPid(home.home)).toBe(pid)

    signal(pid, 'SIGSTOP')
    await server.kill()
    server = await start(hang(3))
    await runs(server, instanceId)
    expect(await brokerPid(home.home)).not.toBe(pid)
    expect(await server.stop()).toBe(0)
  })
})

describe('a Platinum instance', () => {
  it('has a process to itself, which ends with it, also when the server is killed meanwhile', async () => {
    let server = await start()
    let client = sdkClient(server.ready)
    const { instanceId } = await runningInstance(client, { topic: 'own', changes: platinum })
    const other = await runningInstance(client)
    expect(await whereabouts()).toEqual({ [instanceId]: instanceId, [other.instanceId]: '1' })
    await client.deleteInstance(instanceId)
    await server.kill()
    server = await start()
    client = sdkClient(server.ready)
    await until(look, (seen) => seen.length === 1, 'its process is gone')
    await until(
      async () => [hostPlaces(home.home).brokers, hostPlaces(home.home).locks].flatMap((folder) => readdirSync(folder)),
      (names) => names.every((name) => !name.includes(instanceId)),
      'its log, socket and locks are gone',
    )
    expect(readdirSync(hostPlaces(home.home).instances)).not.toContain(instanceId)
    expect(await whereabouts()).toEqual({ [other.instanceId]: '1' })
    await runs(server, other.instanceId)
  })
})

describe('what the next server finds', () => {
  it.each([
    ['more', 1, 2, ['1', '2']],
    ['fewer', 2, 1, ['1', '1']],
  ])(
    '%s processes: instances move, closed in one before open in the other, with their messages',
    async (_what, from, to, at) => {
      let server = await start(pool(from))
      const client = sdkClient(server.ready)
      const both = [await loaded(client), await loaded(client)]
      const before = await whereabouts()
      await server.kill()
      server = await start(pool(to))
      await Promise.all(both.map(({ load }) => moved(load)))
      const after = await whereabouts()
      expect(both.map(({ instanceId }) => after[instanceId]).sort()).toEqual(at)
      await until(look, (seen) => seen.length === to, 'no process is left over')
      await Promise.all(both.map(({ load }) => load.stop()))
      const stayed = both.filter(({ instanceId }) => after[instanceId] === before[instanceId])
      expect(stayed.map(({ load }) => load.failures())).toEqual([0])
      for (const each of both) await expectAllKept(each)
    },
  )

  it('a changed setting, sockets left over, a list that is damaged: each is put right without a restart', async () => {
    let server = await start({ ...pool(2), GANTRY_BROKER_LINGER_MINUTES: '7' })
    const client = sdkClient(server.ready)
    const both = [await runningInstance(client), await runningInstance(client)]
    const spread = await whereabouts()
    const pids = (await look()).map(({ greeting }) => greeting!.pid)
    await server.kill()
    writeFileSync(processPlaces(home.home, '9').socket, '')
    writeFileSync(hostPlaces(home.home).processes, '{"format":')
    server = await start({ ...pool(2), GANTRY_BROKER_LINGER_MINUTES: '8' })
    for (const { instanceId } of both) await runs(server, instanceId)
    const seen = await look()
    expect(seen.map(({ greeting }) => [greeting!.pid, greeting!.lingerMinutes])).toEqual(pids.map((pid) => [pid, 8]))
    expect(await whereabouts()).toEqual(spread)
    expect(existsSync(processPlaces(home.home, '9').socket)).toBe(false)
    expect(server.log()).toMatch(/processes\.json cannot be used and is made anew/)
    await until(look, (all) => all.every(({ instances }) => instances.length === 1), 'it is written down again')
  })

  it('a process of another version: it is asked to close, and its successor has the messages', async () => {
    const server = await start()
    const instance = await loaded(sdkClient(server.ready))
    const pid = await brokerPid(home.home)
    await instance.load.stop()
    await server.kill()
    const { clock, disk } = realWorld()
    const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', '..')
    const engine = createEmbeddedEngine({
      clock,
      disk,
      home: home.home,
      launcher: createLauncher({
        home: home.home,
        script: path.join(root, 'dist', 'broker-host.mjs'),
        version: '99.0.0',
        lingerMinutes: 1,
        clock,
      }),
      pool: 1,
      hangSeconds: 10,
      storageKey: () => new Uint8Array(32),
      report() {},
    })
    await engine.start()
    try {
      const { topics } = (await engine.observeInstance(instance.instanceId)) ?? { topics: null }
      expect(topics, 'it is open nowhere yet').toEqual([])
      const [host, port] = instance.endpoint.split(':')
      const observed = await engine.ensureInstance({
        instanceId: instance.instanceId,
        generation: 1,
        serving: true,
        listen: [{ kind: 'vpc', host: host!, port: Number(port), allow: [], bandwidthMbps: null }],
        ipWhitelist: ['0.0.0.0/0'],
        accounts: [],
        vpcAuthFree: true,
        retentionHours: 72,
        sendTps: 10_000,
        receiveTps: 10_000,
        elasticity: null,
        maxConnections: 100,
        maxDelayMs: 1000,
        maxGroups: 100,
        dedicated: false,
        encryptionKeyId: null,
      })
      expect(observed).toMatchObject({ state: 'running', topics: [{ topicName: 'load' }] })
      expect(await brokerPid(home.home)).not.toBe(pid)
    } finally {
      await engine.stop()
    }
    expect(await brokerPid(home.home)).toBeNull()
    await runs(await start(), instance.instanceId)
    await expectAllKept(instance)
  })
})

it('a hundred instances spread evenly over four processes, and are back in theirs when a server is ready', {
  timeout: 120_000,
}, async () => {
  let server = await start(pool(4))
  const client = sdkClient(server.ready)
  // Ten at a time: the SDK gives up after three seconds, however busy the machine.
  for (let wave = 0; wave < 10; wave++)
    await Promise.all(
      Array.from({ length: 10 }, (_, n) =>
        client.createInstance(instanceRequest({ instanceName: `many-${wave}-${n}` })),
      ),
    )
  await until(
    async () => Object.values(await whereabouts()),
    (at) => at.length === 100,
    'all are open',
  )
  const before = await whereabouts()
  const counts = ['1', '2', '3', '4'].map((name) => Object.values(before).filter((at) => at === name).length)
  expect(counts).toEqual([25, 25, 25, 25])
  expect(await server.stop()).toBe(0)
  server = await start(pool(4))
  expect(await whereabouts()).toEqual(before)
  expect(await server.stop()).toBe(0)
})
