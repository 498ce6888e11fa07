/** kill -9 of the management server, of the broker process, and of both: what was promised holds afterwards. */
import { readdirSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { lookAtProcesses } from '../../src/engines/embedded/inspect.ts'
import { pause, realClock } from '../../src/world/real.ts'
import { run } from '../cli/run.ts'
import { clientOptions, receiveMany, rocketmq, sendMany } from '../support/client.ts'
import { instanceRequest, runningGroup, runningInstance, sdk, sdkClient, until } from '../support/sdk.ts'
import { brokerPid, type TestHome, type TestServer, temporaryHome } from '../support/server.ts'
import { everythingKept, startLoad } from './load.ts'

const env = (firstPort: number): { env: Record<string, string> } => ({
  env: { GANTRY_FIRST_INSTANCE_PORT: String(firstPort) },
})

interface Seen {
  readonly instanceId: string
  readonly instanceName: string
  readonly status: string
  readonly port: string
}

async function instancesOf(client: any): Promise<Map<string, Seen>> {
  const found = new Map<string, Seen>()
  for (let pageNumber = 1; ; pageNumber++) {
    const { data } = (await client.listInstances(new sdk.ListInstancesRequest({ pageNumber, pageSize: 200 }))).body
    for (const { instanceId, instanceName, status } of data.list) {
      found.set(instanceId, { instanceId, instanceName, status, port: '' })
    }
    if (found.size >= data.totalCount || data.list.length === 0) break
  }
  for (const [instanceId, seen] of found) {
    const { data } = (await client.getInstance(instanceId)).body
    found.set(instanceId, { ...seen, port: data.networkInfo.endpoints[0]?.endpointUrl ?? '' })
  }
  return found
}

const settled = (client: any): Promise<Map<string, Seen>> =>
  until(
    () => instancesOf(client),
    (all) => [...all.values()].every(({ status }) => status === 'RUNNING'),
    'every instance runs',
  )

const foldersOf = (home: string): string[] => readdirSync(path.join(home, 'instances')).sort()

const heldBy = async (home: string): Promise<string[]> =>
  (await lookAtProcesses(home, realClock))
    .flatMap(({ observed }) => observed.map(({ instanceId }) => instanceId))
    .sort()

describe('kill -9 of the management server while it creates, changes and deletes', () => {
  it('leaves every instance in its wanted state, on its port, and none orphaned', { timeout: 120_000 }, async () => {
    const rounds = 10
    const home = await temporaryHome()
    try {
      let server = await home.start(env(24_200))
      let client = sdkClient(server.ready)
      const began = performance.now()
      await client.deleteInstance((await client.createInstance(instanceRequest())).body.data)
      const stepMs = Math.max(12, (performance.now() - began) / 5)
      /** What was acknowledged: the name an instance has, or that it is gone. */
      const promised = new Map<string, string | null>()
      const ports = new Map<string, string>()
      for (let round = 0; round < rounds; round++) {
        const standing = [...promised].filter(([, name]) => name !== null).map(([id]) => id)
        const [toRename, toDelete] = standing
        const work = [
          client.createInstance(instanceRequest({ instanceName: `made-${round}` })).then((answer: any) => {
            promised.set(answer.body.data, `made-${round}`)
          }),
          client.createInstance(instanceRequest({ instanceName: `also-${round}` })).then((answer: any) => {
            promised.set(answer.body.data, `also-${round}`)
          }),
          ...(toRename === undefined
            ? []
            : [
                client
                  .updateInstance(toRename, new sdk.UpdateInstanceRequest({ instanceName: `renamed-${round}` }))
                  .then(() => promised.set(toRename, `renamed-${round}`)),
              ]),
          ...(toDelete === undefined ? [] : [client.deleteInstance(toDelete).then(() => promised.set(toDelete, null))]),
        ].map((each) => each.catch(() => {}))
        // A moment later each round, from before the first reply to after the loop's last step, however slow the machine.
        await pause(round * stepMs)
        await server.kill()
        await Promise.all(work)
        // Every third time the broker process dies with it.
        if (round % 3 === 2) await server.killBroker()

        server = await home.start(env(24_200))
        client = sdkClient(server.ready)
        const now = await settled(client)
        for (const [instanceId, name] of promised) {
          // What was acknowledged must be so; a deletion without an answer may have happened or not.
          if (name === null) expect(now.has(instanceId), `${instanceId} was deleted`).toBe(false)
          else if (instanceId !== toDelete) {
            expect(now.get(instanceId)?.status, `${instanceId} was created`).toBe('RUNNING')
            // An acknowledged rename is promised; one without an answer may have happened or not.
            const names = instanceId === toRename ? [name, `renamed-${round}`] : [name]
            expect(names).toContain(now.get(instanceId)?.instanceName)
          }
          if (!now.has(instanceId)) promised.set(instanceId, null)
        }
        for (const [instanceId, { instanceName, port }] of now) {
          expect(port).not.toBe('')
          if (ports.has(instanceId)) expect(port, `the port of ${instanceId}`).toBe(ports.get(instanceId))
          ports.set(instanceId, port)
          promised.set(instanceId, instanceName)
        }
        // What the broker process holds, and the folders on the disk, are those of the ledger and no others.
        await expect.poll(() => heldBy(home.home), { timeout: 10_000 }).toEqual([...now.keys()].sort())
        expect(foldersOf(home.home).filter((folder) => !now.has(folder))).toEqual([])
        // An instance has a folder once something is in it.
        for (const instanceId of now.keys())
          if (!foldersOf(home.home).includes(instanceId))
            await client.createTopic(instanceId, 'kept', new sdk.CreateTopicRequest({ messageType: 'NORMAL' }))
        expect(new Set([...now.values()].map(({ port }) => port)).size, 'a port twice').toBe(now.size)
      }
      expect(ports.size).toBeGreaterThanOrEqual(rounds)
      expect(await server.stop()).toBe(0)
      expect(await brokerPid(home.home)).toBeNull()
    } finally {
      await home.close()
    }
  })
})

describe('messages', () => {
  let home: TestHome
  let server: TestServer
  beforeAll(async () => {
    home = await temporaryHome()
    server = await home.start(env(24_300))
  })
  afterAll(() => home?.close())

  it('flow while the management server is dead, and the next one takes the same broker process over', async () => {
    const { endpoint, instanceId } = await runningInstance(sdkClient(server.ready), {
      topic: 'alone',
      group: 'alone-group',
    })
    const before = await brokerPid(home.home)
    await server.kill()
    const producer = new rocketmq.Producer(clientOptions(endpoint, { topics: ['alone'] }))
    const consumer = new rocketmq.SimpleConsumer(
      clientOptions(endpoint, {
        consumerGroup: 'alone-group',
        subscriptions: new Map([['alone', '*']]),
        awaitDuration: 5000,
      }),
    )
    await Promise.all([producer.startup(), consumer.startup()])
    try {
      const sent = await sendMany(producer, 'alone', 100)
      const { received, repeats } = await receiveMany(consumer, 100)
      expect(received).toEqual(sent)
      expect(repeats).toBe(0)
      server = await home.start(env(24_300))
      expect(await brokerPid(home.home)).toBe(before)
      const after = (await sdkClient(server.ready).getInstance(instanceId)).body.data
      expect([after.status, after.networkInfo.endpoints[0].endpointUrl]).toEqual(['RUNNING', endpoint])
      const more = await sendMany(producer, 'alone', 20, 4, 'later')
      expect((await receiveMany(consumer, 20)).received).toEqual(more)
    } finally {
      await Promise.all([producer.shutdown(), consumer.shutdown()])
    }
  })

  it('that were acknowledged survive kill -9 of the broker process and of both; what was consumed stays away', {
    timeout: 120_000,
  }, async () => {
    const client = sdkClient(server.ready)
    const { endpoint, instanceId } = await runningInstance(client, { topic: 'load', group: 'load-group' })
    await runningGroup(client, instanceId, 'auditor')
    const load = await startLoad(endpoint, 'load', 'load-group')
    const moved = (): Promise<unknown> => {
      const [sent, consumed] = [load.sent.size, load.consumed.size]
      return until(
        async () => load.sent.size > sent + 50 && load.consumed.size > consumed + 20,
        Boolean,
        `messages flow: ${sent} sent and ${consumed} consumed so far`,
      )
    }
    try {
      await moved()
      await server.killBroker()
      await moved()
      // Both at once: the server first, or it would start another broker process.
      await server.kill()
      await server.killBroker()
      server = await home.start(env(24_300))
      await moved()
      await server.killBroker()
      await moved()
    } finally {
      await load.stop()
    }
    expect(load.returned, 'came again after their acknowledgement was answered').toEqual([])
    const kept = await everythingKept(endpoint, 'load', 'auditor', load.sent)
    expect(
      [...load.sent.keys()].filter((id) => !kept.has(id)),
      'acknowledged and lost',
    ).toEqual([])
    console.log(
      `killed: ${load.sent.size} sent, ${load.consumed.size} consumed, ${load.failures()} calls failed while nobody served`,
    )
  })

  it('wait for a port that another program took meanwhile; doctor says so, and the instance comes back by itself', async () => {
    const client = sdkClient(server.ready)
    const { endpoint, instanceId } = await runningInstance(client)
    const port = Number(endpoint.split(':')[1])
    expect(await server.stop()).toBe(0)
    const thief = createServer()
    await new Promise<void>((resolve, reject) => thief.once('error', reject).listen(port, '127.0.0.1', resolve))
    try {
      server = await home.start(env(24_300))
      const again = sdkClient(server.ready)
      const { data } = (await again.getInstance(instanceId)).body
      expect(data.status).not.toBe('RUNNING')
      expect(data.networkInfo.endpoints[0].endpointUrl, 'it keeps its port').toBe(endpoint)
      const doctor = await run(['doctor', '--home', home.home])
      expect(doctor.code).toBe(1)
      expect(doctor.stdout).toMatch(
        new RegExp(
          `instance ${instanceId} is [A-Z_]+: Port ${port} of instance .* is taken by another program; free 127`,
        ),
      )
      expect(server.log()).toMatch(new RegExp(`Port ${port} of instance ${instanceId}`))
      await new Promise((resolve) => thief.close(resolve))
      await until(
        () => again.getInstance(instanceId),
        (answer: any) => answer.body.data.status === 'RUNNING',
        'the instance runs once its port is free',
      )
      await until(
        () => run(['doctor', '--home', home.home]),
        ({ code }) => code === 0,
        'doctor finds nothing wrong',
      )
    } finally {
      thief.close()
    }
  })
})

it('a hundred instances run again on their ports after a restart', { timeout: 120_000 }, async () => {
  const home = await temporaryHome()
  try {
    let server = await home.start(env(24_400))
    let client = sdkClient(server.ready)
    await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        client.createInstance(instanceRequest({ instanceName: `many-${index}` })),
      ),
    )
    const before = await settled(client)
    expect(before.size).toBe(100)
    expect(await server.stop()).toBe(0)
    const started = performance.now()
    server = await home.start(env(24_400))
    const readyMs = Math.round(performance.now() - started)
    client = sdkClient(server.ready)
    const after = await settled(client)
    const runningMs = Math.round(performance.now() - started)
    console.log(`restart with 100 instances: ready after ${readyMs} ms, all seen running after ${runningMs} ms`)
    expect(after).toEqual(before)
    expect(runningMs).toBeLessThan(20_000)
  } finally {
    await home.close()
  }
})
