import { createServer, type Server } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { createPortSource } from './ports.ts'

const servers: Server[] = []
const listen = (port = 0): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    servers.push(server)
    server.listen(port, '127.0.0.1', () => resolve((server.address() as { port: number }).port))
  })
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))))
})

const source = (busy: readonly number[] = [], last = 7810) =>
  createPortSource({ base: 7801, last, host: '127.0.0.1', isFree: async (port) => !busy.includes(port) })

describe('the port source', () => {
  it('gives the lowest port that neither the ledger nor another program holds', async () => {
    const ports = source([7803])
    ports.restore({ held: [7801, 7804], resting: [] })
    expect([await ports.reserve(), await ports.reserve(), await ports.reserve()]).toEqual([7802, 7805, 7806])
  })

  it('gives one port to one caller, also when all ask at once', async () => {
    const ports = source([7802])
    const given = await Promise.all(Array.from({ length: 9 }, () => ports.reserve()))
    expect(given.sort()).toEqual([7801, 7803, 7804, 7805, 7806, 7807, 7808, 7809, 7810])
  })

  it('tries a busy port again later', async () => {
    const busy = [7801]
    const ports = source(busy)
    expect([await ports.reserve(), await ports.reserve()]).toEqual([7802, 7803])
    busy.pop()
    expect([await ports.reserve(), await ports.reserve()]).toEqual([7801, 7804])
  })

  it('lets the port of a dead instance rest: unused ones come first, then the one that has rested longest', async () => {
    const ports = source([], 7804)
    const [first, second] = [await ports.reserve(), await ports.reserve()]
    ports.rest([second!])
    ports.rest([first!])
    expect([await ports.reserve(), await ports.reserve()]).toEqual([7803, 7804])
    expect([await ports.reserve(), await ports.reserve()]).toEqual([second, first])
  })

  it('knows after a restart which ports rest, and in what order', async () => {
    const ports = source([], 7804)
    ports.restore({ held: [7801], resting: [7803, 7802] })
    expect([await ports.reserve(), await ports.reserve(), await ports.reserve()]).toEqual([7804, 7803, 7802])
    ports.rest([7802])
    await expect(ports.reserve()).resolves.toBe(7802)
  })

  it('gives a port again at once when nobody was told it', async () => {
    const ports = source()
    expect([await ports.reserve(), await ports.reserve()]).toEqual([7801, 7802])
    ports.release([7801])
    expect(await ports.reserve()).toBe(7801)
  })

  it('gives a resting port to one caller, also when all ask at once', async () => {
    const ports = source([], 7804)
    ports.restore({ held: [], resting: [7804, 7803, 7802, 7801] })
    const given = await Promise.all(Array.from({ length: 4 }, () => ports.reserve()))
    expect(given.sort()).toEqual([7801, 7802, 7803, 7804])
  })

  it('says what to do when there is none left', async () => {
    const ports = source([], 7802)
    await ports.reserve()
    await ports.reserve()
    await expect(ports.reserve()).rejects.toThrow(
      'No free port is left on 127.0.0.1 from 7801 to 7802: stop what listens there, delete instances that are not needed, or set a higher last port (GANTRY_LAST_INSTANCE_PORT).',
    )
    ports.release([7801])
    expect(await ports.reserve()).toBe(7801)
  })

  it('asks the machine: skips a port something listens on, and leaves the one it gives free', async () => {
    const taken = await listen()
    const ports = createPortSource({ base: taken, host: '127.0.0.1' })
    const given = await ports.reserve()
    expect(given).toBeGreaterThan(taken)
    expect(await listen(given)).toBe(given)
  })

  it('does not try every port of a host that is not here', async () => {
    const ports = createPortSource({ base: 7801, host: '192.0.2.1' })
    await expect(ports.reserve()).rejects.toThrow('Cannot listen on 192.0.2.1')
  })
})
