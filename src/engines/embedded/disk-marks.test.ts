import { describe, expect, it } from 'vitest'
import { SimulatedClock } from '../../world/simulated.ts'
import type { DiskSpace } from '../../world/world.ts'
import { DiskMarks, type Pressure, pressureOf, type Stored, whoGivesWay } from './disk-marks.ts'

const MB = 1024 * 1024
const GB = 1024 * MB

describe('the pressure of a disk', () => {
  const space = (freeMB: number, totalMB = 1000): DiskSpace => ({ totalBytes: totalMB * MB, freeBytes: freeMB * MB })
  const rows: ReadonlyArray<readonly [string, DiskSpace, Pressure, string]> = [
    ['is none with room', space(500), 'none', 'none'],
    ['is none at the high mark', space(100), 'none', 'none'],
    ['is high below twice the reserve', space(99), 'none', 'high'],
    ['stays high until a quarter more is free', space(120), 'high', 'high'],
    ['ends then', space(126), 'high', 'none'],
    ['reaches the reserve', space(49), 'high', 'reserve'],
    ['stays there until a quarter more is free', space(60), 'reserve', 'reserve'],
    ['is high again then', space(63), 'reserve', 'high'],
    ['ends at once with much room', space(700), 'reserve', 'none'],
    ['keeps at most a gibibyte in reserve on a large disk', space(2_100, 1_000_000), 'none', 'none'],
    ['and twice that for the largest', space(2_000, 1_000_000), 'none', 'high'],
    ['is for what frees space alone below half the reserve', space(24), 'reserve', 'last'],
    ['stays so until a quarter more is free', space(31), 'last', 'last'],
    ['is the reserve again then', space(32), 'last', 'reserve'],
    ['is so on a full disk', space(0), 'none', 'last'],
  ]
  it.each(rows)('%s', (_, now, before, expected) => expect(pressureOf(now, before)).toBe(expected))
})

describe('who gives way', () => {
  const stored = (...sizes: number[]): Stored[] =>
    sizes.map((size, i) => ({ instanceId: `rmq-${i}`, storedBytes: size * MB }))
  const rows: ReadonlyArray<readonly [string, Pressure, Stored[], string[]]> = [
    ['nobody with room', 'none', stored(900, 1), []],
    ['who holds the most', 'high', stored(900, 10, 10), ['rmq-0']],
    ['all who hold the same', 'high', stored(100, 100), ['rmq-0', 'rmq-1']],
    ['nobody who holds less than the reserve: others fill the disk', 'high', stored(10, 10), []],
    ['everybody when only the reserve is left', 'reserve', stored(900, 0), ['rmq-0', 'rmq-1']],
    ['everybody when half of that is left', 'last', stored(900, 0), ['rmq-0', 'rmq-1']],
    ['nobody where there is nobody', 'high', [], []],
  ]
  it.each(rows)('%s', (_, pressure, instances, expected) =>
    expect([...whoGivesWay(pressure, instances, 50 * MB)]).toEqual(expected),
  )
})

describe('the disk marks', () => {
  const bench = () => {
    const clock = new SimulatedClock()
    const space: { totalBytes: number; freeBytes: number } = { totalBytes: 10 * GB, freeBytes: 9 * GB }
    const instances: Stored[] = [
      { instanceId: 'large', storedBytes: 8 * GB },
      { instanceId: 'small', storedBytes: 10 * MB },
    ]
    const others: Stored[] = []
    const told: string[] = []
    let looks = 0
    const marks = new DiskMarks({
      disk: {
        space: async () => {
          looks++
          return { ...space }
        },
      },
      ...{ clock, directory: '/home', report: () => {} },
      instances: () => instances,
      elsewhere: async () => others,
      changed: (instanceId) => {
        const pause = marks.pauseOf(instanceId)
        told.push(`${instanceId} ${pause === null ? 'goes on' : pause.writes === null ? 'waits' : 'only frees'}`)
      },
    })
    return { clock, space, instances, others, told, marks, looks: () => looks }
  }

  it('tell an instance once when it is to stop, and once when it may go on', async () => {
    const { space, told, marks } = bench()
    await marks.look()
    space.freeBytes = 0.9 * GB
    await marks.look()
    await marks.look()
    expect(told).toEqual(['large waits'])
    space.freeBytes = 0.4 * GB
    await marks.look()
    expect(told).toEqual(['large waits', 'small waits'])
    space.freeBytes = 0.2 * GB
    await marks.look()
    await marks.look()
    expect(told.slice(2)).toEqual(['large only frees', 'small only frees'])
    space.freeBytes = 5 * GB
    await marks.look()
    expect(told.slice(4).sort()).toEqual(['large goes on', 'small goes on'])
  })

  it('compare the instances of all processes, not those of one', async () => {
    const { space, instances, others, told, marks, clock } = bench()
    // The one that this process has to itself is far from being the largest.
    instances.splice(0, 2, { instanceId: 'own', storedBytes: 2 * GB })
    others.push({ instanceId: 'huge', storedBytes: 6 * GB })
    space.freeBytes = 0.9 * GB
    await marks.look()
    expect(told).toEqual([])
    await clock.advance(2_000)
    others.pop()
    await marks.look()
    expect(told).toEqual(['own waits'])
  })

  it('give a reason that names no path and says when sends go on', async () => {
    const { space, marks } = bench()
    space.freeBytes = 0
    await marks.look()
    const { sends, writes } = marks.pauseOf('large')!
    expect(sends).toMatch(/^Instance large takes no messages for now: .*sends go on by themselves/)
    expect(writes).toMatch(/^Instance large writes nothing for now but acknowledgements and deletions/)
    expect(sends + writes).not.toContain('/')
  })

  it('look every two seconds, more often where little is free, and not at all without instances', async () => {
    const { clock, space, instances, marks, looks } = bench()
    marks.start()
    marks.start()
    const looksAfter = async (ms: number): Promise<number> => {
      await clock.advance(ms)
      for (let turn = 0; turn < 5; turn++) await Promise.resolve()
      return looks()
    }
    expect(await looksAfter(0)).toBe(1)
    expect(await looksAfter(1_999)).toBe(1)
    space.freeBytes = 1.5 * GB
    expect(await looksAfter(1)).toBe(2)
    expect(await looksAfter(200)).toBe(3)
    instances.length = 0
    await looksAfter(200)
    const before = looks()
    expect(await looksAfter(60_000)).toBe(before)
  })

  it('forget an instance that was closed', async () => {
    const { space, instances, marks } = bench()
    space.freeBytes = 0
    await marks.look()
    instances.pop()
    await marks.look()
    expect(marks.pauseOf('small')).toBeNull()
  })
})
