/** The look-up index against a scan of the whole log, over merges, trims, power cuts, and files that are lost or damaged. */
import { crc32 } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { SimulatedClock, SimulatedRandom, settle } from '../../../world/simulated.ts'
import { SimulatedDisk } from '../../../world/simulated-disk.ts'
import type { Disk } from '../../../world/world.ts'
import { createRecordCipher } from '../cipher.ts'
import type { RecordCipher, SegmentLog } from '../contract.ts'
import { openLog } from '../log.ts'
import type { LoopBudget } from '../yield.ts'
import { type LookupIndex, openLookupIndex } from './lookup-index.ts'
import { entriesPerPage, isRunFileName } from './run-file.ts'

const directory = '/log'
/** A record of these tests is a list of numbers below 256, each of them a term; most terms are in many records. */
const readTerms = (record: Uint8Array, _position: number, emit: (high: number, low: number) => void): void => {
  for (const term of record) {
    if (term === unreadable) throw new RangeError('The record ends before its last field.')
    emit(highOf(term), term)
  }
}
/** No term: what lies behind it in a record cannot be read. */
const unreadable = 255
const highOf = (term: number): number => (term * 2_654_435_761) >>> 0

interface SceneOptions {
  readonly cipher?: boolean
  readonly tableEntries?: number
  readonly readableGapBytes?: number
  readonly filterBytes?: number
  turns?: LoopBudget
}

class Scene {
  readonly random: SimulatedRandom
  readonly disk: SimulatedDisk
  readonly reported: unknown[] = []
  readonly cipher: RecordCipher | null
  readonly options: SceneOptions
  log!: SegmentLog
  index!: LookupIndex
  /** What a checkpoint would say: noting goes on from here after a restart. */
  checkpoint = 0
  /** Reads of the files of runs. */
  runReads = 0
  #life = 0

  constructor(seed: number, options: SceneOptions = {}) {
    this.random = new SimulatedRandom(seed)
    this.disk = new SimulatedDisk({ random: this.random })
    this.cipher = options.cipher ? createRecordCipher(new Uint8Array(32).fill(7), this.random) : null
    this.options = options
  }

  async open(): Promise<void> {
    const life = ++this.#life
    const { cipher, random, options } = this
    const disk = this.#countingReads(this.disk.boot())
    const clock = new SimulatedClock()
    this.log = (await openLog({ disk, clock, random, directory, segmentBytes: 4096, cipher })).log
    this.index = await openLookupIndex({
      ...options,
      ...{ disk, directory, log: this.log, cipher },
      terms: () => ({ read: readTerms }),
      // What an index says that a power cut left behind is of no interest.
      report: (error) => void (life === this.#life && this.reported.push(error)),
    })
    const from = Math.max(Math.min(this.checkpoint, this.log.end), this.log.first)
    this.index.start(from)
    for await (const { position, payload } of this.log.scan(from)) this.index.note(payload, position)
    this.index.begin()
  }

  #countingReads(disk: Disk): Disk {
    return {
      ...disk,
      open: async (path, mode) => {
        const file = await disk.open(path, mode)
        if (!isRunFileName(path.slice(path.lastIndexOf('/') + 1))) return file
        return {
          write: (chunks, position) => file.write(chunks, position),
          read: (target, position) => {
            this.runReads++
            return file.read(target, position)
          },
          datasync: () => file.datasync(),
          truncate: (sizeBytes) => file.truncate(sizeBytes),
          size: () => file.size(),
          close: () => file.close(),
        }
      },
    }
  }

  async write(count: number): Promise<void> {
    const records = Array.from({ length: count }, () =>
      Uint8Array.from({ length: this.random.below(6) }, () => this.random.below(unreadable)),
    )
    for (let at = 0; at < count; at += 10) {
      const some = records.slice(at, at + 10)
      const { positions, durable } = this.log.write(some)
      some.forEach((record, i) => {
        this.index.note(record, positions[i]!)
      })
      if (this.random.below(4) === 0) await durable
    }
    await this.log.append([])
  }

  async close(save = true): Promise<void> {
    await this.index.close({ save })
    await this.log.close()
  }

  async runFiles(): Promise<string[]> {
    return (await this.disk.list(directory)).filter(isRunFileName)
  }

  /** Every term is found where a scan finds it, whole and in parts. */
  async check(): Promise<void> {
    const expected = new Map<number, number[]>()
    for await (const { position, payload } of this.log.scan(this.log.first))
      for (const term of new Set(payload)) expected.set(term, [...(expected.get(term) ?? []), position])
    for (let term = this.random.below(3); term < 256; term += 3) {
      const all = expected.get(term) ?? []
      expect(await this.index.find({ high: highOf(term), low: term }, this.log.first, 1e9)).toEqual(all)
      if (term % 16 > 2) continue
      const from = all[this.random.below(all.length + 1)] ?? this.log.end
      const limit = 1 + this.random.below(4)
      expect(await this.index.find({ high: highOf(term), low: term }, from, limit)).toEqual(
        all.filter((position) => position >= from).slice(0, limit),
      )
    }
  }

  powerCut(): void {
    this.#life++
    this.disk.powerCut()
  }

  checkpointSoon(): void {
    if (this.random.below(2) === 0) this.checkpoint = this.log.end
  }

  /** One of the files loses a bit, anywhere in it. */
  async damageRun(): Promise<void> {
    const files = await this.runFiles()
    if (files.length === 0) return
    const path = `${directory}/${files[this.random.below(files.length)]!}`
    const bytes = Buffer.from(this.disk.contentOf(path)!)
    bytes[this.random.below(bytes.length)]! ^= 1 << this.random.below(8)
    this.disk.plant(path, bytes)
  }
}

describe('the look-up index', () => {
  it.each(Array.from({ length: 24 }, (_, seed) => [seed]))(
    'answers as a scan of the log does: seed %i',
    async (seed) => {
      const scene = new Scene(seed, { cipher: seed % 3 === 0, tableEntries: 32 + 64 * (seed % 4) })
      await scene.open()
      for (let step = 0; step < 14; step++) {
        const kind = scene.random.below(8)
        if (kind <= 2) await scene.write(1 + scene.random.below(300))
        else if (kind === 3) {
          const segments = scene.log.segments()
          const below = segments[scene.random.below(segments.length + 1)]?.end ?? 0
          await scene.log.trim(below)
          await scene.index.trimmed()
        } else if (kind === 4) {
          scene.checkpointSoon()
          await scene.close(scene.random.below(2) === 0)
          await scene.open()
        } else if (kind === 5) {
          scene.checkpointSoon()
          scene.disk.powerCut()
          await scene.open()
        } else if (kind === 6) {
          await scene.close()
          await scene.damageRun()
          await scene.open()
        } else {
          await scene.close()
          for (const name of await scene.runFiles())
            if (scene.random.below(3) === 0) await scene.disk.unlink(`${directory}/${name}`)
          await scene.open()
        }
        if (scene.random.below(2) === 0) await scene.index.settled()
        await scene.check()
      }
      await scene.index.settled()
      await scene.check()
      expect(scene.index.view().gaps).toEqual([])
      await scene.close()
      expect(scene.reported).toEqual([])
    },
  )

  it('asks a number of files that grows with the logarithm of what there is, and keeps memory bounded', async () => {
    const scene = new Scene(1, { tableEntries: 64 })
    await scene.open()
    const counts: number[] = []
    for (let size = 0; size < 5; size++) {
      await scene.write(250 * 4 ** size)
      await scene.index.settled()
      counts.push(scene.index.view().runs.length)
      expect(scene.index.memoryBytes()).toBeLessThan(20_000)
    }
    expect(Math.max(...counts)).toBeLessThan(16)
    expect(scene.index.view().runs.reduce((sum, { entries }) => sum + entries, 0)).toBeGreaterThan(100 * entriesPerPage)
    await scene.close()
  })

  it('reads of no run that does not have the term, as far as there is memory to know it', async () => {
    const pagesRead = async (filterBytes: number): Promise<number> => {
      const scene = new Scene(1, { tableEntries: 64, filterBytes })
      await scene.open()
      // Somebody looks something up: from then on filters are kept, those of merged runs too.
      await scene.write(100)
      await scene.index.find({ high: 1, low: 1 }, scene.log.first, 1)
      await scene.write(4_000)
      await scene.index.settled()
      expect(scene.index.memoryBytes()).toBeLessThan(filterBytes + 10_000)
      scene.runReads = 0
      for (let term = 0; term < 100; term++)
        await scene.index.find({ high: highOf(term) ^ 0x5a5a5a5a, low: term }, scene.log.first, 1)
      const read = scene.runReads
      await scene.check()
      await scene.close()
      return read
    }
    const [without, withSome, withAll] = [await pagesRead(0), await pagesRead(5_000), await pagesRead(2 ** 20)]
    expect(withSome).toBeLessThan(without)
    expect(withAll).toBeLessThan(withSome)
  })

  it('finds a term that a hundred thousand records name, part by part', async () => {
    const scene = new Scene(2, { tableEntries: 1024 })
    await scene.open()
    const record = Uint8Array.of(9)
    const all: number[] = []
    for (let batch = 0; batch < 100; batch++) {
      const records = Array.from({ length: 100 }, () => record)
      const { positions } = scene.log.write(records)
      positions.forEach((position) => {
        scene.index.note(record, position)
      })
      all.push(...positions)
      await scene.log.append([])
    }
    await scene.index.settled()
    const found: number[] = []
    const term = { high: highOf(9), low: 9 }
    for (let from = 0; ; from = found.at(-1)! + 1) {
      const page = await scene.index.find(term, from, 777)
      if (page.length === 0) break
      found.push(...page)
    }
    expect(found).toEqual(all)
    await scene.close()
  })

  it('knows everything of a home that an older program wrote, in the background, and reads the log until then', async () => {
    const scene = new Scene(3, { tableEntries: 64 })
    await scene.open()
    await scene.write(800)
    await scene.close()
    for (const name of await scene.runFiles()) await scene.disk.unlink(`${directory}/${name}`)
    scene.checkpoint = Number.MAX_SAFE_INTEGER
    await scene.open()
    expect(scene.index.view().gaps).not.toEqual([])
    await scene.check()
    await scene.index.settled()
    expect(scene.index.view().gaps).toEqual([])
    await scene.check()
    await scene.close()
  })

  it('says that it is being made while more is left than a look-up may read', async () => {
    const scene = new Scene(4, { tableEntries: 64, readableGapBytes: 0 })
    await scene.open()
    await scene.write(800)
    await scene.close()
    for (const name of await scene.runFiles()) await scene.disk.unlink(`${directory}/${name}`)
    scene.checkpoint = Number.MAX_SAFE_INTEGER
    await scene.open()
    await expect(scene.index.find({ high: 1, low: 1 }, 0, 1)).rejects.toMatchObject({ code: 'busy' })
    await scene.index.settled()
    await scene.check()
    await scene.close()
  })

  it('goes on when the disk refuses, and writes what it missed when the disk takes it', async () => {
    const scene = new Scene(5, { tableEntries: 32 })
    await scene.open()
    scene.disk.inject({ operation: 'write', error: 'ENOSPC', path: 'lookup.new', times: 3 })
    await scene.write(600)
    await scene.check()
    for (let more = 0; more < 20; more++) await scene.write(100)
    // A look-up that finds a gap lets the disk be tried again; it refuses three times.
    for (let tries = 0; tries < 4; tries++) {
      await scene.check()
      await scene.index.settled()
    }
    expect(scene.index.view().gaps).toEqual([])
    expect(scene.reported.length).toBeGreaterThan(0)
    await scene.close()
  })

  it('leaves no term of encrypted records in clear', async () => {
    const scene = new Scene(6, { cipher: true, tableEntries: 64 })
    await scene.open()
    const record = Uint8Array.of(200)
    const { positions } = scene.log.write([record])
    scene.index.note(record, positions[0]!)
    await scene.log.append([])
    await scene.close()
    const hash = Buffer.alloc(4)
    hash.writeUInt32LE(highOf(200))
    const [file] = await scene.runFiles()
    expect(Buffer.from(scene.disk.contentOf(`${directory}/${file}`)!).includes(hash)).toBe(false)
  })

  it('removes the files of segments that are gone', async () => {
    const scene = new Scene(7, { tableEntries: 16 })
    await scene.open()
    await scene.write(500)
    await scene.index.settled()
    await scene.log.seal()
    await scene.log.trim(scene.log.end)
    await scene.index.trimmed()
    await scene.index.settled()
    expect(scene.index.view().runs.every(({ to }) => to > scene.log.first)).toBe(true)
    await scene.close()
    expect((await scene.runFiles()).length).toBeLessThanOrEqual(1)
  })

  it('says once a table that a record cannot be read, and finds all the others', async () => {
    const scene = new Scene(11, { tableEntries: 512 })
    await scene.open()
    await scene.write(20)
    const bad = Uint8Array.from([7, unreadable, 8])
    for (let i = 0; i < 30; i++) {
      const { positions } = scene.log.write([bad])
      scene.index.note(bad, positions[0]!)
      await scene.write(1)
    }
    await scene.index.settled()
    expect(scene.reported).toHaveLength(1)
    expect(scene.index.view().gaps).toEqual([])
    const positions: number[] = []
    for await (const { position, payload } of scene.log.scan(scene.log.first))
      if (!payload.includes(unreadable) && payload.includes(9)) positions.push(position)
    expect(await scene.index.find({ high: highOf(9), low: 9 }, scene.log.first, 1e9)).toEqual(positions)
    await scene.write(1_000)
    const { positions: last } = scene.log.write([bad])
    scene.index.note(bad, last[0]!)
    expect(scene.reported).toHaveLength(2)
    await scene.close()
  })

  it('lets one look-up at a time read what is not indexed, others run meanwhile, and refuses too many', async () => {
    const scene = new Scene(12)
    await scene.open()
    await scene.write(2_000)
    await scene.close(false)
    let pauses = 0
    scene.options.turns = {
      isSpent: true,
      pause: async () => {
        pauses++
      },
    }
    await scene.open()
    // Nothing is indexed, and nothing is done in the background.
    const { log } = scene
    const scanned = { now: 0, most: 0 }
    async function* scanChunks(from: number, to: number) {
      scanned.most = Math.max(scanned.most, ++scanned.now)
      try {
        for await (const records of log.scanChunks(from, to)) {
          await settle()
          yield records
        }
      } finally {
        scanned.now--
      }
    }
    const watched = new Proxy(log, {
      get(target, name) {
        if (name === 'scanChunks') return scanChunks
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
    for (const path of await scene.runFiles()) await scene.disk.unlink(`${directory}/${path}`)
    const index = await openLookupIndex({
      ...{ disk: scene.disk.boot(), directory, log: watched, cipher: null, turns: scene.options.turns },
      terms: () => ({ read: readTerms }),
      report: (error) => scene.reported.push(error),
    })
    index.start(log.end)
    const term = { high: highOf(3), low: 3 }
    const looks = await Promise.allSettled(Array.from({ length: 20 }, () => index.find(term, log.first, 1e9)))
    expect(looks.map(({ status }) => status).filter((status) => status === 'rejected')).toHaveLength(4)
    expect(scanned.most).toBe(1)
    expect(pauses).toBeGreaterThan(16 * (2_000 / 64))
    expect(await index.find(term, log.first, 1e9)).toEqual(await scene.index.find(term, log.first, 1e9))
    await index.close({ save: false })
    await scene.close()
  })

  it('finds what an older program named otherwise, also when its runs were merged with newer ones', async () => {
    const scene = new Scene(13, { tableEntries: 64 })
    await scene.open()
    const write = async (term: number, count: number): Promise<number[]> => {
      const written: number[] = []
      for (let i = 0; i < count; i++) {
        const { positions } = scene.log.write([Uint8Array.of(term)])
        scene.index.note(Uint8Array.of(term), positions[0]!)
        written.push(...positions)
      }
      await scene.log.append([])
      return written
    }
    const before = await write(1, 100)
    await scene.close()
    // As such a program wrote it.
    for (const name of await scene.runFiles()) {
      const bytes = Buffer.from(scene.disk.contentOf(`${directory}/${name}`)!)
      bytes.writeUInt32LE(bytes.readUInt32LE(12) & ~2, 12)
      bytes.writeUInt32LE(crc32(bytes.subarray(0, 44)), 44)
      scene.disk.plant(`${directory}/${name}`, bytes)
    }
    scene.checkpoint = scene.log.end
    await scene.open()
    const wanted = { high: highOf(2), low: 2, before: { high: highOf(1), low: 1 } }
    expect(await scene.index.find(wanted, scene.log.first, 1e9)).toEqual(before)
    const since = await write(2, 400)
    const other = await write(1, 50)
    await scene.index.settled()
    expect(scene.index.view().runs.some(({ hasCurrentTerms }) => !hasCurrentTerms)).toBe(true)
    const found = await scene.index.find(wanted, scene.log.first, 1e9)
    expect(found.filter((position) => !other.includes(position))).toEqual([...before, ...since])
    await scene.close()
  })
})
