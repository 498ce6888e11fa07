/**
 * Broker processes under the official client: kill -9 of the management server or of one of them, while messages flow;
 * what the next server takes over, and what it repairs.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EmbeddedEngine } from '../../src/engines/embedded/engine.ts'
import { HostLauncher } from '../../src/engines/embedded/host-process.ts'
import type { ProcessSeen } from '../../src/engines/embedded/inspect.ts'
import { hostPaths, processPaths } from '../../src/engines/embedded/paths.ts'
import { realWorld } from '../../src/world/real.ts'
import { instanceRequest, runningInstance, sdk, sdkClient, until } from '../support/sdk.ts'
import { brokerPid, type TestHome, type TestServer } from '../support/server.ts'
import { expectAllKept, getInstance, loaded, moved, ProcessBench, pool, runs } from './process-bench.ts'

let bench: ProcessBench
let home: TestHome
beforeEach(async () => {
  bench = await ProcessBench.make(26_000)
  home = bench.home
})
afterEach(() => bench?.close())

const start = (env: Record<string, string> = {}): Promise<TestServer> => bench.start(env)
const look = (): Promise<ProcessSeen[]> => bench.look()
const whereabouts = (): Promise<Record<string, string>> => bench.whereabouts()

const platinum = {
  seriesCode: 'ultimate',
  productInfo: new sdk.CreateInstanceRequestProductInfo({
    msgProcessSpec: 'rmq.u2.10xlarge',
    messageRetentionTime: 72,
  }),
}

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
      async () => [hostPaths(home.home).brokers, hostPaths(home.home).locks].flatMap((folder) => readdirSync(folder)),
      (names) => names.every((name) => !name.includes(instanceId)),
      'its log, socket and locks are gone',
    )
    expect(readdirSync(hostPaths(home.home).instances)).not.toContain(instanceId)
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
    writeFileSync(processPaths(home.home, '9').socket, '')
    writeFileSync(hostPaths(home.home).processes, '{"format":')
    server = await start({ ...pool(2), GANTRY_BROKER_LINGER_MINUTES: '8' })
    for (const { instanceId } of both) await runs(server, instanceId)
    const seen = await look()
    expect(seen.map(({ greeting }) => [greeting!.pid, greeting!.lingerMinutes])).toEqual(pids.map((pid) => [pid, 8]))
    expect(await whereabouts()).toEqual(spread)
    expect(existsSync(processPaths(home.home, '9').socket)).toBe(false)
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
    const engine = new EmbeddedEngine({
      clock,
      disk,
      home: home.home,
      launcher: new HostLauncher({
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
        aclTypes: ['default'],
        grants: [],
        vpcAuthFree: true,
        retentionHours: 72,
        sendTps: 10_000,
        receiveTps: 10_000,
        elasticity: null,
        maxConnections: 100,
        maxDelayMs: 1000,
        maxGroupsMadeByUse: 100,
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
