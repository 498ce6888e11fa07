/** What the disk's marks mean for instances that open, reopen and change, over a simulated disk. */
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { BrokerEndpoint } from '../../broker/calls/endpoint.ts'
import { Gateway } from '../../gateway/gateway.ts'
import type { InstanceSpec } from '../../model/instances.ts'
import { SimulatedClock, SimulatedRandom, settle } from '../../world/simulated.ts'
import { SimulatedDisk } from '../../world/simulated-disk.ts'
import { DiskMarks } from './disk-marks.ts'
import { HostedInstances } from './hosted-instances.ts'

const MB = 2 ** 20
const instanceId = 'rmq-cn-one'
const spec: InstanceSpec = {
  ...{
    instanceId,
    generation: 1,
    serving: true,
    listen: [],
    ipWhitelist: ['0.0.0.0/0'],
    accounts: [],
    aclTypes: ['default'],
    grants: [],
  },
  ...{ vpcAuthFree: true, retentionHours: 72, sendTps: 1e6, receiveTps: 1e6, elasticity: null, maxConnections: 10 },
  ...{ maxDelayMs: 1_000, maxGroupsMadeByUse: 10, dedicated: false, encryptionKeyId: null },
}
const topic = { topicName: 'topic', generation: 1, messageType: 'NORMAL', maxSendTps: null } as const

let disk: SimulatedDisk
let marks: DiskMarks
let instances: HostedInstances
let reported: unknown[]
/** What an address that is opened waits for. */
let listening: Promise<void>

beforeEach(() => {
  const [clock, random] = [new SimulatedClock(), new SimulatedRandom(1)]
  disk = new SimulatedDisk({ random, capacityBytes: 100 * MB })
  reported = []
  listening = Promise.resolve()
  const booted = disk.boot()
  const report = (error: unknown) => void reported.push(error)
  const gateway = new Gateway<BrokerEndpoint>({ clock, protocols: [], onError: report })
  gateway.listen = async () => {
    await listening
    throw Object.assign(new Error('There are no ports here.'), { code: 'EACCES' })
  }
  marks = new DiskMarks({
    ...{ disk: booted, clock, directory: '/instances', report },
    instances: () =>
      instances.list().map(({ instanceId: id, broker }) => ({
        instanceId: id,
        storedBytes: broker.inspection.storedBytes(),
      })),
    elsewhere: async () => [],
    changed: (id) => instances.get(id)?.pause(marks.pauseOf(id)),
  })
  instances = new HostedInstances({
    ...{ world: { clock, random, disk: booted }, directory: '/instances', gateway, report },
    diskMarks: { pauseOf: (id) => marks.pauseOf(id), start: () => {} },
    lock: async () => ({ release: async () => {}, forget: async () => {} }),
  })
})

afterEach(() => instances.closeAll())

const send = async () => {
  const payload = Buffer.alloc(10)
  const messages = [{ messageId: 'M', tag: null, payload, bodyBytes: 10 }]
  return instances.present(instanceId).broker.producing.send({ topic: 'topic', messages })
}

async function open(): Promise<void> {
  await instances.ensure(spec, null)
  await instances.change(instanceId, ({ broker }) => broker.administration.ensureTopics([topic]))
  await send()
}

/** Of a reserve of 5 MiB four are left. */
async function fillDisk(): Promise<void> {
  const file = await disk.boot().open('/instances/filler', 'create')
  await file.write([new Uint8Array(96 * MB - disk.usedBytes)], 0)
  await marks.look()
}

it('one that is opened anew takes no messages while the disk is nearly full, without another look at it', async () => {
  await open()
  await fillDisk()
  await expect(send()).rejects.toThrow('takes no messages for now')
  await instances.release(instanceId)
  await instances.ensure(spec, null)
  await expect(send()).rejects.toThrow('takes no messages for now')
})

it('so it is after the disk refused a write, which stopped the log', async () => {
  await open()
  await fillDisk()
  disk.inject({ operation: 'datasync', error: 'EIO', path: '.segment' })
  const another = { ...topic, topicName: 'another' }
  await expect(
    instances.change(instanceId, ({ broker }) => broker.administration.ensureTopics([another])),
  ).rejects.toThrow()
  expect(instances.present(instanceId).health.stopped).toMatch(/takes no messages/)
  const stopped = instances.present(instanceId)
  await instances.ensure(spec, null)
  expect(instances.present(instanceId)).not.toBe(stopped)
  await expect(send()).rejects.toThrow('takes no messages for now')
  expect(reported.length).toBeGreaterThan(0)
})

it('a pause that falls into a change leaves what is being applied', async () => {
  await open()
  let go = () => {}
  listening = new Promise((resolve) => {
    go = resolve
  })
  const listen = [{ kind: 'vpc', host: '127.0.0.1', port: 1, allow: [], bandwidthMbps: null }] as const
  const changing = instances.ensure({ ...spec, generation: 2, maxDelayMs: 2_000, listen }, null)
  const { broker } = instances.present(instanceId)
  await settle()
  expect(broker.metadata.maxDelayMs).toBe(2_000)
  await fillDisk()
  expect(broker.metadata.maxDelayMs).toBe(2_000)
  go()
  await changing
  expect(broker.metadata.maxDelayMs).toBe(2_000)
  await expect(send()).rejects.toThrow('takes no messages for now')
})
