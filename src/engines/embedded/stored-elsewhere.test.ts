import { expect, it } from 'vitest'
import { segmentFileName } from '../../broker/log/format.ts'
import { SimulatedRandom } from '../../world/simulated.ts'
import { SimulatedDisk } from '../../world/simulated-disk.ts'
import type { Disk } from '../../world/world.ts'
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

it('is nothing where there is no folder', async () => {
  const disk = new SimulatedDisk({ random: new SimulatedRandom(1) }).boot()
  expect(await storedElsewhere(disk, directory)(new Set())).toEqual([])
})
