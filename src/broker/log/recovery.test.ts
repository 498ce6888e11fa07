/**
 * Recovery after every way to tear or damage the newest segment, hundreds of power cuts, and failing disks. The model
 * is a list of batches: what was acknowledged must be there, in order, whole.
 */
import { describe, expect, it } from 'vitest'
import { SimulatedClock, SimulatedRandom } from '../../world/simulated.ts'
import { type DiskFault, SimulatedDisk } from '../../world/simulated-disk.ts'
import { createRecordCipher } from './cipher.ts'
import type { OpenLogOptions, RecordCipher, SegmentLog } from './contract.ts'
import { segmentOf } from './contract.ts'
import { LogError } from './errors.ts'
import { openLog } from './log.ts'

const directory = '/log'
const firstSegment = `${directory}/0000001.segment`

function world(seed: number, options: { latency?: boolean; capacityBytes?: number; cipher?: RecordCipher } = {}) {
  const random = new SimulatedRandom(seed)
  const clock = new SimulatedClock()
  const disk = new SimulatedDisk({
    random,
    ...(options.latency ? { latency: { clock, minMs: 0, maxMs: 3 } } : {}),
    ...(options.capacityBytes ? { capacityBytes: options.capacityBytes } : {}),
  })
  const open = (more: Partial<OpenLogOptions> = {}) =>
    openLog({
      disk: disk.boot(),
      clock,
      random,
      directory,
      segmentBytes: 4096,
      cipher: options.cipher ?? null,
      ...more,
    })
  return { random, clock, disk, open }
}

async function contents(log: SegmentLog): Promise<string[]> {
  const found: string[] = []
  for await (const { payload } of log.scan(log.first)) found.push(Buffer.from(payload).toString('latin1'))
  return found
}

const batch = (...texts: string[]) => texts.map((text) => Buffer.from(text, 'latin1'))

/** Three commits; the middle one has a batch of three records and a batch of one. */
async function threeCommits(disk: SimulatedDisk, open: ReturnType<typeof world>['open']) {
  const { log } = await open()
  await log.append(batch('one', 'two'))
  log.write(batch('three', 'four'.repeat(20), 'five'))
  await log.write(batch('six')).durable
  await log.append(batch('seven', 'eight'.repeat(30)))
  const lastCommit = log.end - 2 ** 32 - (20 + 5 + 20 + 150)
  await log.close()
  return { bytes: disk.contentOf(firstSegment)!, lastCommit }
}

const batches = [['one', 'two'], ['three', 'four'.repeat(20), 'five'], ['six'], ['seven', 'eight'.repeat(30)]]
const prefixes = batches.map((_, i) => batches.slice(0, i).flat()).concat([batches.flat()])

describe('the newest segment, cut off at every byte', () => {
  it('keeps exactly the whole batches, reports the rest, and goes on', async () => {
    const { disk, open } = world(1)
    const { bytes } = await threeCommits(disk, open)
    const ends = [128]
    for (const records of batches) {
      ends.push(ends.at(-1)! + records.reduce((sum, record) => sum + 20 + record.length, 0))
    }
    for (let cut = 0; cut <= bytes.length; cut++) {
      disk.plant(firstSegment, bytes.subarray(0, cut))
      const whole = ends.findLastIndex((end) => end <= cut)
      const { log, recovery } = await open()
      expect(await contents(log), `cut at ${cut}`).toEqual(whole < 0 ? [] : prefixes[whole])
      expect(recovery.tornBytes, `cut at ${cut}`).toBe(whole < 0 ? 0 : cut - ends[whole]!)
      await log.append(batch('next'))
      await log.close()
      const { log: again } = await open()
      expect(await contents(again), `reopened after a cut at ${cut}`).toEqual([
        ...(whole < 0 ? [] : prefixes[whole]!),
        'next',
      ])
      await again.close()
    }
  })
})

describe('the newest segment, one bit flipped in every byte', () => {
  it('refuses damage to what was durable and changes nothing; drops only the last commit', async () => {
    const { disk, open, random } = world(2)
    const { bytes, lastCommit } = await threeCommits(disk, open)
    for (let at = 0; at < bytes.length; at++) {
      const flipped = bytes.slice()
      flipped[at]! ^= 1 << random.below(8)
      disk.plant(firstSegment, flipped)
      const opened = await open().catch((error: unknown) => error)
      if (at < lastCommit) {
        expect(opened, `flip at ${at}`).toBeInstanceOf(LogError)
        expect((opened as LogError).code).toBe('corrupt')
        expect((opened as LogError).message).toContain(firstSegment)
        expect(Buffer.from(disk.contentOf(firstSegment)!).equals(flipped), `flip at ${at} returned`).toBe(true)
      } else {
        const { log, recovery } = opened as Awaited<ReturnType<typeof open>>
        expect(await contents(log), `flip at ${at}`).toEqual(prefixes[3])
        expect(recovery.tornAt).toEqual({ path: firstSegment, offset: lastCommit })
        await log.close()
      }
    }
  })

  it('refuses even that when a checkpoint knew it durable: on reading, with file and byte', async () => {
    const { disk, open } = world(3)
    const { log } = await open()
    const [position] = await log.append(batch('precious'))
    await log.checkpoint(batch('state')[0]!, log.end)
    await log.close()
    const bytes = disk.contentOf(firstSegment)!
    bytes[bytes.length - 1]! ^= 4
    disk.plant(firstSegment, bytes)
    const { log: again } = await open()
    await expect(again.read(position!)).rejects.toThrow(`${firstSegment} is damaged at byte 128`)
    await expect(contents(again)).rejects.toThrow(`${firstSegment} is damaged at byte 128`)
    await again.close()
    disk.plant(firstSegment, bytes.subarray(0, bytes.length - 1))
    await expect(open()).rejects.toThrow(`${firstSegment} is damaged at byte`)
  })
})

describe('power cuts', () => {
  it('leave no stale record that could show up behind a new one', async () => {
    const { disk, open } = world(4)
    const { log } = await open()
    for (const text of ['one', 'two', 'six']) log.write(batch(text))
    await log.write([]).durable
    await log.close()
    const bytes = disk.contentOf(firstSegment)!
    bytes[128 + 20]! ^= 1
    disk.plant(firstSegment, bytes)
    const { log: again } = await open()
    await again.append(batch('new'))
    await again.close()
    const { log: third } = await open()
    expect(await contents(third)).toEqual(['new'])
    await third.close()
  })

  it('while trimming leave no gap', async () => {
    for (let seed = 0; seed < 60; seed++) {
      const { disk, open, clock, random } = world(seed)
      const { log } = await open()
      for (let i = 0; i < 60; i++) await log.append([Buffer.alloc(500)])
      void log.trim(log.end).catch(() => {})
      for (let turn = random.below(12); turn > 0; turn--) await null
      disk.powerCut()
      await clock.advance(1)
      const { log: again } = await open()
      expect((await contents(again)).length, `seed ${seed}`).toBeGreaterThan(0)
      await again.close()
    }
  })

  it('lose nothing acknowledged, keep no half batch and no other order', async () => {
    for (let seed = 0; seed < 150; seed++) await manyCuts(seed)
  }, 60_000)

  /** Writes, checkpoints and trims while the power fails again and again. */
  async function manyCuts(seed: number): Promise<void> {
    const { random, clock, disk, open } = world(seed, { latency: true })
    const advance = async <T>(task: Promise<T>): Promise<T> => {
      let over = false
      const done = task.finally(() => {
        over = true
      })
      done.catch(() => {})
      while (!over) await clock.advance(1)
      return done
    }
    let number = 0
    /** Every batch that may be there, in order; acknowledged ones must be. */
    let written: { records: string[]; acknowledged: boolean }[] = []
    for (let life = 0; life < 4; life++) {
      const { log, checkpoint } = await advance(open())
      const found = await advance(contents(log))
      written = judge(seed, found, written)
      if (checkpoint) expect(checkpoint.position, `seed ${seed}`).toBeLessThanOrEqual(log.end)
      const works: Promise<unknown>[] = []
      const steps = 1 + random.below(25)
      for (let step = 0; step < steps; step++) {
        const records = Array.from(
          { length: 1 + random.below(3) },
          () => `${number++}.${'x'.repeat(random.below(400))}`,
        )
        const entry = { records, acknowledged: false }
        written.push(entry)
        const { durable } = log.write(records.map((record) => Buffer.from(record)))
        const acknowledge = () => {
          entry.acknowledged = true
        }
        works.push(durable.then(acknowledge))
        if (random.below(10) === 0) works.push(log.checkpoint(Buffer.from('state'), log.end))
        if (random.below(12) === 0) works.push(log.trim(log.durableEnd))
        if (random.below(3) === 0) await clock.advance(random.below(12))
      }
      for (const work of works) work.catch(() => {})
      disk.powerCut()
      await clock.advance(50)
      expect(log.failed === null || log.failed instanceof LogError).toBe(true)
    }
  }

  function judge(
    seed: number,
    found: string[],
    written: { records: string[]; acknowledged: boolean }[],
  ): { records: string[]; acknowledged: boolean }[] {
    const all = written.flatMap((entry) => entry.records)
    // Trimming removes from the front, whole segments; what is left starts somewhere in the list.
    const start = found.length === 0 ? all.length : all.indexOf(found[0]!)
    expect(start, `seed ${seed}: a record nobody wrote`).toBeGreaterThanOrEqual(0)
    expect(found, `seed ${seed}: order`).toEqual(all.slice(start, start + found.length))
    const kept: typeof written = []
    let index = 0
    for (const entry of written) {
      const end = index + entry.records.length
      const there = Math.max(Math.min(end, start + found.length) - Math.max(index, start), 0)
      if (there > 0) {
        expect(there, `seed ${seed}: half a batch`).toBe(entry.records.length)
        kept.push({ records: entry.records, acknowledged: true })
      } else if (entry.acknowledged && found.length > 0) {
        expect(end, `seed ${seed}: an acknowledged batch is lost`).toBeLessThanOrEqual(start)
      }
      index = end
    }
    if (found.length === 0) {
      expect(
        written.some((entry) => entry.acknowledged),
        `seed ${seed}: everything acknowledged is lost`,
      ).toBe(false)
    }
    return kept
  }
})

describe('a disk that refuses', () => {
  const faults: (DiskFault & { name: string })[] = [
    { name: 'a full disk', operation: 'write', error: 'ENOSPC', path: '.segment', after: 3, writtenBytes: 7 },
    { name: 'a failing write', operation: 'write', error: 'EIO', path: '.segment', after: 3 },
    { name: 'a failing sync', operation: 'datasync', error: 'EIO', after: 3 },
    { name: 'a failing folder sync', operation: 'syncDirectory', error: 'EIO' },
    { name: 'too many open files', operation: 'open', error: 'EMFILE' },
  ]
  it.each(faults)('$name stops the log for good, with the first error', async (fault) => {
    const { disk, open } = world(5)
    const { log } = await open()
    disk.inject(fault)
    const acknowledged: string[] = []
    let failure: unknown = null
    for (let i = 0; i < 10 && failure === null; i++) {
      await log.append(batch(`r${i}`)).then(
        () => acknowledged.push(`r${i}`),
        (error) => {
          failure = error
        },
      )
    }
    expect(failure).toBeInstanceOf(LogError)
    expect(log.failed).toBe(failure)
    expect((failure as LogError).message).toContain(fault.error)
    disk.healFaults()
    expect(() => log.write(batch('more'))).toThrow(failure as Error)
    await expect(log.append(batch('more'))).rejects.toBe(failure)
    await expect(log.read(log.first)).rejects.toBe(failure)
    await expect(log.checkpoint(batch('x')[0]!, log.first)).rejects.toBe(failure)
    await expect(log.trim(log.first)).rejects.toBe(failure)
    await log.close()

    const { log: again } = await open()
    const found = await contents(again)
    expect(found.slice(0, acknowledged.length)).toEqual(acknowledged)
    await again.append(batch('after'))
    await again.close()
    disk.powerCut()
    const { log: third } = await open()
    expect(await contents(third)).toEqual([...found, 'after'])
    await third.close()
  })

  it('a disk that fills up takes what fits and refuses the rest', async () => {
    const { open } = world(6, { capacityBytes: 3000 })
    const { log } = await open()
    let taken = 0
    const failure = await (async () => {
      for (;;) {
        await log.append([Buffer.alloc(200)])
        taken++
      }
    })().catch((error: unknown) => error as LogError)
    expect(failure.message).toContain('The disk is full')
    await log.close()
    const { log: again } = await open()
    expect((await contents(again)).length).toBe(taken)
    await again.close()
  })

  it('a checkpoint that fails leaves the log at work and the older checkpoint in force', async () => {
    const { disk, open } = world(7)
    const { log } = await open()
    await log.append(batch('a'))
    await log.checkpoint(batch('old')[0]!, log.end)
    disk.inject({ operation: 'write', error: 'ENOSPC', path: 'checkpoint' })
    await expect(log.checkpoint(batch('new')[0]!, log.end)).rejects.toThrow('ENOSPC')
    await log.append(batch('b'))
    await log.close()
    const { log: again, checkpoint } = await open()
    expect(Buffer.from(checkpoint!.blob).toString()).toBe('old')
    expect(await contents(again)).toEqual(['a', 'b'])
    await again.close()
  })

  it.each([
    ['the first', 0],
    ['the second', 1],
  ])('a checkpoint of which %s rename fails is no obstacle for the next ones', async (_, after) => {
    const { disk, open } = world(9)
    const { log } = await open({ segmentBytes: 512 })
    for (const name of ['older', 'old']) {
      await log.append(batch('x'.repeat(300)))
      await log.checkpoint(batch(name)[0]!, log.end)
    }
    disk.inject({ operation: 'rename', error: 'EIO', after })
    await expect(log.checkpoint(batch('new')[0]!, log.end)).rejects.toThrow('EIO')
    await log.append(batch('x'.repeat(300)))
    for (const name of ['next', 'last']) await log.checkpoint(batch(name)[0]!, log.end)
    await log.trim(log.end)
    expect(segmentOf(log.first)).toBe(3)
    await log.close()
    const { log: again, checkpoint } = await open({ segmentBytes: 512 })
    expect(Buffer.from(checkpoint!.blob).toString()).toBe('last')
    await again.close()
  })

  it('a read that fails or comes up short is refused and stops nothing', async () => {
    const { disk, open } = world(8)
    const { log } = await open()
    const [position] = await log.append(batch('a record of some length'))
    await log.close()
    const { log: again } = await open()
    for (const error of ['EIO', 'short-read'] as const) {
      disk.inject({ operation: 'read', error, path: '.segment' })
      await expect(again.read(position!)).rejects.toThrow()
      disk.healFaults()
      expect(Buffer.from(await again.read(position!)).toString()).toBe('a record of some length')
    }
    expect(again.failed).toBe(null)
    await again.close()
  })
})

describe('checkpoints', () => {
  it('fall back to the one before when the newest is damaged, and say so', async () => {
    const { disk, open } = world(9)
    const { log } = await open()
    await log.append(batch('a'))
    const old = log.end
    await log.checkpoint(batch('old')[0]!, old)
    for (let i = 0; i < 40; i++) await log.append([Buffer.alloc(500)])
    await log.checkpoint(batch('new')[0]!, log.end)
    // The older checkpoint needs the first segment, so trimming keeps it.
    await log.trim(log.end)
    expect(log.first).toBe(2 ** 32 + 128)
    await log.close()
    const bytes = disk.contentOf(`${directory}/checkpoint`)!
    bytes[60]! ^= 1
    disk.plant(`${directory}/checkpoint`, bytes)
    const { log: again, checkpoint, recovery } = await open()
    expect(Buffer.from(checkpoint!.blob).toString()).toBe('old')
    expect(checkpoint!.position).toBe(old)
    expect(recovery.damagedCheckpoints).toEqual([`${directory}/checkpoint`])
    // A damaged file never takes the place of the good older one.
    await again.checkpoint(batch('third')[0]!, again.end)
    expect(Buffer.from(disk.contentOf(`${directory}/checkpoint.previous`)!).includes('old')).toBe(true)
    await again.checkpoint(batch('fourth')[0]!, again.end)
    await again.trim(again.end)
    expect(again.segments()).toEqual([])
    await again.close()
    const { log: last, checkpoint: newest } = await open()
    expect(Buffer.from(newest!.blob).toString()).toBe('fourth')
    await last.close()
  })

  it.each([
    ['in clear', null],
    ['encrypted', createRecordCipher(Buffer.alloc(32, 1), new SimulatedRandom(1))],
  ])('are looked through in portions, %s', async (_, cipher) => {
    const { open } = world(10, cipher ? { cipher } : {})
    const { log } = await open()
    const blob = Buffer.concat(Array.from({ length: 4_096 }, (__, i) => Buffer.alloc(1_024, i)))
    await log.append(batch('a'))
    await log.checkpoint(
      Array.from({ length: 64 }, (__, i) => blob.subarray(i * 65_536, (i + 1) * 65_536)),
      log.end,
    )
    await log.close()
    let pauses = 0
    const turns = {
      isSpent: true,
      pause: async () => {
        pauses++
      },
    }
    const { log: again, checkpoint } = await open({ turns })
    expect(Buffer.compare(checkpoint!.blob, blob)).toBe(0)
    // 4 MiB for the checksum and once more for the pieces, 256 KiB at a time.
    expect(pauses).toBeGreaterThan(30)
    await again.close()
  })

  it('are refused when the records they need are gone', async () => {
    const { disk, open } = world(10)
    const { log } = await open()
    await log.append(batch('a'))
    await log.checkpoint(batch('old')[0]!, log.first)
    for (let i = 0; i < 40; i++) await log.append([Buffer.alloc(500)])
    await log.close()
    await disk.unlink(firstSegment)
    await expect(open()).rejects.toThrow(`${firstSegment} is missing`)
  })

  it('refuse a gap between segments', async () => {
    const { disk, open } = world(11)
    const { log } = await open()
    for (let i = 0; i < 40; i++) await log.append([Buffer.alloc(500)])
    await log.close()
    await disk.unlink(`${directory}/0000002.segment`)
    await expect(open()).rejects.toThrow('0000002.segment is missing')
  })
})

describe('limits', () => {
  it('refuses what fits in no segment, and what the disk has not kept up with, and takes nothing of it', async () => {
    const { open } = world(12)
    const { log } = await open({ maxWaitingBytes: 1000 })
    expect(() => log.write([Buffer.alloc(4000)])).toThrow('does not fit in a segment')
    log.write([Buffer.alloc(600)])
    expect(() => log.write([Buffer.alloc(600)])).toThrow(expect.objectContaining({ code: 'busy' }))
    await log.append([])
    await log.append([Buffer.alloc(600)])
    expect((await contents(log)).length).toBe(2)
    await log.close()
    expect(() => log.write(batch('x'))).toThrow(expect.objectContaining({ code: 'closed' }))
    await log.close()
  })

  it('answers a position that is no record with a refusal', async () => {
    const { open } = world(13)
    const { log } = await open()
    await log.append(batch('x'))
    for (const position of [0, 5, 2 ** 32 + 10_000, 9 * 2 ** 32 + 128]) {
      await expect(log.read(position)).rejects.toBeInstanceOf(LogError)
    }
    await log.close()
  })

  it('touches the disk little for an idle instance, and makes nothing for one without messages', async () => {
    const { disk, open } = world(14)
    const { log } = await open()
    await log.close()
    expect(await disk.list(directory)).toEqual([])
    const { log: used } = await open()
    for (let i = 0; i < 40; i++) await used.append([Buffer.alloc(500)])
    await used.checkpoint(batch('state')[0]!, used.end)
    await used.close()
    disk.calls.clear()
    const { log: idle, recovery } = await open()
    const calls = [...disk.calls.values()].reduce((sum, count) => sum + count, 0)
    expect(recovery).toEqual({ scannedBytes: 0, tornBytes: 0, tornAt: null, damagedCheckpoints: [] })
    expect(calls, JSON.stringify([...disk.calls])).toBeLessThanOrEqual(9)
    await idle.close()
  })
})
