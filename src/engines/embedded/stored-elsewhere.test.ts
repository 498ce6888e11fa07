import { expect, it } from 'vitest'
import { segmentFileName } from '../../broker/log/format.ts'
import { SimulatedClock, SimulatedRandom } from '../../world/simulated.ts'
import { SimulatedDisk } from '../../world/simulated-disk.ts'
import type { Disk } from '../../world/world.ts'
import { DiskMarks } from './disk-marks.ts'
import { storedElsewhere } from './stored-elsewhere.ts'

const directory = '/home/instances'

async function write(disk: Disk, path: string, bytes: number): Promise<void> {
  await disk.makeDirectory(path.slice(0, path.lastIndexOf('/')))
  const file = await disk.open(path, 'create').catch(() => disk.open(path, 'write'))
  await file.write([new Uint8Array(bytes)], 0)
  await file.close()
}

it('adds up the segments of all instances but the own, and looks at complete ones once', async () => {
  const real = new SimulatedDisk({ random: new SimulatedRandom(1) }).boot()
  const opened: string[] = []
  const disk: Disk = {
    ...real,
    open: (path, mode) => {
      opened.push(path)
      return real.open(path, mode)
    },
  }
  for (const [path, bytes] of [
    [`a/${segmentFileName(1)}`, 1_000],
    [`a/${segmentFileName(2)}`, 500],
    ['a/checkpoint', 7_000],
    [`own/${segmentFileName(1)}`, 9_000],
    [`b/${segmentFileName(4)}`, 30],
    [`c.removed/${segmentFileName(1)}`, 9_000],
    ['empty/lock', 1],
  ] as const)
    await write(real, `${directory}/${path}`, bytes)
  const look = storedElsewhere(disk, directory)
  const own = new Set(['own'])
  expect(await look(own)).toEqual([
    { instanceId: 'a', storedBytes: 1_500 },
    { instanceId: 'b', storedBytes: 30 },
  ])
  await write(real, `${directory}/a/${segmentFileName(2)}`, 800)
  opened.length = 0
  expect((await look(own))[0]).toEqual({ instanceId: 'a', storedBytes: 1_800 })
  expect(opened).toEqual([`${directory}/a/${segmentFileName(2)}`, `${directory}/b/${segmentFileName(4)}`])
})

it('lets each process of a home know whose messages fill the disk that they share', async () => {
  const MB = 2 ** 20
  const shared = new SimulatedDisk({ random: new SimulatedRandom(1), capacityBytes: 100 * MB })
  const disk = shared.boot()
  const sizes = { large: 60 * MB, small: 10 * MB, own: 21 * MB }
  for (const [instanceId, bytes] of Object.entries(sizes))
    await write(disk, `${directory}/${instanceId}/${segmentFileName(1)}`, bytes)
  const processOf = (...ids: Array<keyof typeof sizes>) =>
    new DiskMarks({
      ...{ disk, clock: new SimulatedClock(), directory, report: () => {} },
      instances: () => ids.map((instanceId) => ({ instanceId, storedBytes: sizes[instanceId] })),
      elsewhere: storedElsewhere(disk, directory),
      changed: () => {},
    })
  const [pool, dedicated] = [processOf('large', 'small'), processOf('own')]
  const paused = async () => {
    await Promise.all([pool.look(), dedicated.look()])
    return [pool.pauseOf('large'), pool.pauseOf('small'), dedicated.pauseOf('own')].map((pause) => pause !== null)
  }
  // Nine MiB are free: less than the high mark of ten.
  expect(await paused()).toEqual([true, false, false])
  await write(disk, '/home/instances/filler', 5 * MB)
  expect(await paused()).toEqual([true, true, true])
  pool.close()
  dedicated.close()
})

it('is nothing where there is no folder', async () => {
  const disk = new SimulatedDisk({ random: new SimulatedRandom(1) }).boot()
  expect(await storedElsewhere(disk, directory)(new Set())).toEqual([])
})
