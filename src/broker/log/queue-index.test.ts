/** The index against a plain list as its model, over seals, trims, restarts, and lost or damaged files. */
import { describe, expect, it } from 'vitest'
import { SimulatedClock, SimulatedRandom } from '../../world/simulated.ts'
import { SimulatedDisk } from '../../world/simulated-disk.ts'
import { createRecordCipher } from './cipher.ts'
import type { RecordCipher, SegmentLog } from './contract.ts'
import { positionOf, segmentOf } from './contract.ts'
import { openLog } from './log.ts'
import { type DecodedEntry, openQueueIndex, type PersistentQueueIndex } from './queue-index.ts'

const directory = '/log'
const decode = (payload: Uint8Array): DecodedEntry[] => {
  const read = JSON.parse(Buffer.from(payload).toString()) as DecodedEntry & { pad: string }
  return read.queueKey < 0 ? [] : [read]
}

interface Row {
  readonly position: number
  readonly tagHash: number
  readonly storeTimeMs: number
}

/** What the index must answer. */
class Model {
  readonly queues = new Map<number, { min: number; first: number; rows: Row[] }>()

  add(queueKey: number, row: Row): void {
    this.queues.get(queueKey)!.rows.push(row)
  }

  next(queueKey: number): number {
    let queue = this.queues.get(queueKey)
    if (!queue) {
      queue = { min: 0, first: 0, rows: [] }
      this.queues.set(queueKey, queue)
    }
    return queue.first + queue.rows.length
  }

  trim(position: number): Map<number, number> {
    const changed = new Map<number, number>()
    for (const [queueKey, queue] of this.queues) {
      const min = queue.first + queue.rows.filter((row) => row.position < position).length
      if (min > queue.min) {
        queue.min = min
        changed.set(queueKey, min)
      }
    }
    return changed
  }
}

class Scene {
  readonly random: SimulatedRandom
  readonly clock = new SimulatedClock()
  readonly disk: SimulatedDisk
  readonly model = new Model()
  log!: SegmentLog
  index!: PersistentQueueIndex
  #sealing: Promise<void>[] = []
  time = 1_000
  trimmedBelow = 0
  seals = true

  /** Every other scene is encrypted. */
  readonly cipher: RecordCipher | null

  constructor(seed: number) {
    this.random = new SimulatedRandom(seed)
    this.disk = new SimulatedDisk({ random: this.random })
    this.cipher = seed % 2 === 0 ? null : createRecordCipher(new Uint8Array(32).fill(seed), this.random)
  }

  async open(): Promise<void> {
    const { disk, clock, random, cipher } = this
    this.log = (await openLog({ disk: disk.boot(), clock, random, directory, segmentBytes: 8192, cipher })).log
    const { index, sealedBelow } = await openQueueIndex({ disk: disk.boot(), directory, log: this.log, decode, cipher })
    this.index = index
    for await (const { position, payload } of this.log.scan(sealedBelow)) {
      for (const entry of decode(payload)) {
        index.add(entry.queueKey, entry.offset, position, entry.tagHash, entry.storeTimeMs)
      }
    }
    if (this.seals) this.log.onSealed((segment) => void this.#sealing.push(index.seal(segment)))
    // Trimming within a segment is the shell's to remember.
    await index.trimBelow(this.trimmedBelow)
  }

  async write(queueKey: number): Promise<void> {
    const { model, random } = this
    const offset = model.next(queueKey)
    this.time += random.below(3)
    const entry = { queueKey, offset, tagHash: random.below(2 ** 32), storeTimeMs: this.time }
    const payload = Buffer.from(JSON.stringify({ ...entry, pad: 'x'.repeat(random.below(120)) }))
    const { positions, durable } = this.log.write([payload])
    this.index.add(queueKey, offset, positions[0]!, entry.tagHash, entry.storeTimeMs)
    model.add(queueKey, { position: positions[0]!, ...entry })
    if (random.below(5) === 0) await durable
  }

  async settle(): Promise<void> {
    await this.log.write([]).durable
    await Promise.all(this.#sealing.splice(0))
  }

  async close(): Promise<void> {
    await this.settle()
    await this.index.close()
    await this.log.close()
  }

  async check(): Promise<void> {
    for (const [queueKey, queue] of this.model.queues) {
      const end = queue.first + queue.rows.length
      if (queue.min === end) continue
      expect(this.index.minimumOffset(queueKey)).toBe(queue.min)
      for (const [from, count] of [
        [0, 10_000],
        [queue.min + this.random.below(end - queue.min), 1 + this.random.below(40)],
        [end, 5],
      ] as const) {
        const found = await this.index.lookup(queueKey, from, count)
        const start = Math.max(from, queue.min)
        const rows = queue.rows.slice(start - queue.first, start - queue.first + count)
        expect(found.from).toBe(start)
        expect(read(found)).toEqual(
          rows.map(({ position, tagHash, storeTimeMs }) => ({ position, tagHash, storeTimeMs })),
        )
      }
      const timeMs = 990 + this.random.below(this.time - 980)
      const at = queue.rows.findIndex((row, i) => queue.first + i >= queue.min && row.storeTimeMs >= timeMs)
      expect(await this.index.offsetAtTime(queueKey, timeMs)).toBe(at < 0 ? end : queue.first + at)
    }
  }
}

function read(found: Awaited<ReturnType<PersistentQueueIndex['lookup']>>): Row[] {
  return Array.from({ length: found.count }, (_, i) => ({
    position: found.position(i),
    tagHash: found.tagHash(i),
    storeTimeMs: found.storeTimeMs(i),
  }))
}

describe('the queue index', () => {
  it('answers as the list does', async () => {
    for (let seed = 0; seed < 40; seed++) {
      const scene = new Scene(seed)
      const { random } = scene
      await scene.open()
      for (let round = 0; round < 12; round++) {
        for (let writes = random.below(120); writes > 0; writes--) await scene.write(random.below(4))
        const luck = random.below(6)
        if (luck === 0) await scene.check()
        if (luck === 1) await trim(scene)
        if (luck === 2) await reopen(scene, { flush: random.below(2) === 0 })
        if (luck === 3) await damageIndexFile(scene)
        if (luck === 4) {
          await damageIndexFile(scene)
          await trim(scene)
        }
        await scene.settle()
        await scene.check()
      }
      await scene.close()
    }
  }, 60_000)

  async function trim(scene: Scene): Promise<void> {
    await scene.settle()
    const { random, log, index, model } = scene
    const segments = log.segments()
    if (segments.length === 0) return
    const segment = segments[random.below(segments.length)]!
    const position = random.below(2) === 0 ? segment.end : segment.first + random.below(segment.bytes)
    const expected = model.trim(position)
    expect([...(await index.trimBelow(position))].sort()).toEqual([...expected].sort())
    scene.trimmedBelow = Math.max(scene.trimmedBelow, position)
    await log.trim(position)
  }

  async function reopen(scene: Scene, { flush }: { flush: boolean }): Promise<void> {
    await scene.settle()
    if (flush) await scene.index.flush()
    await scene.close()
    await scene.open()
  }

  async function damageIndexFile(scene: Scene): Promise<void> {
    await scene.settle()
    const { random, disk } = scene
    const names = (await disk.list(directory)).filter((name) => name.endsWith('.index'))
    if (names.length === 0) return
    const path = `${directory}/${names[random.below(names.length)]}`
    const bytes = disk.contentOf(path)!
    const restart = random.below(2) === 0
    if (restart) await scene.close()
    if (restart && random.below(2) === 0) await disk.unlink(path)
    else {
      bytes[random.below(bytes.length)]! ^= 1 << random.below(8)
      disk.plant(path, random.below(3) === 0 ? bytes.subarray(0, random.below(bytes.length)) : bytes)
    }
    if (restart) await scene.open()
  }

  it('answers at once from memory, and after a flush needs nothing added again', async () => {
    const scene = new Scene(1)
    await scene.open()
    for (let i = 0; i < 20; i++) await scene.write(7)
    expect(scene.index.lookup(7, 3, 4)).not.toBeInstanceOf(Promise)
    await scene.settle()
    await scene.index.flush()
    await scene.close()
    const { disk, clock, random, cipher } = scene
    const { log } = await openLog({ disk, clock, random, directory, segmentBytes: 8192, cipher })
    const { index, sealedBelow } = await openQueueIndex({ disk, directory, log, decode, cipher })
    expect(sealedBelow).toBe(log.end)
    const found = await index.lookup(7, 0, 100)
    expect(read(found).map((row) => row.position)).toEqual(scene.model.queues.get(7)!.rows.map((row) => row.position))
    await log.close()
  })

  it('keeps little memory for what is sealed, however much that is', async () => {
    const scene = new Scene(2)
    await scene.open()
    for (let i = 0; i < 3000; i++) await scene.write(i % 3)
    await scene.settle()
    const sealed = scene.log.segments().length
    expect(sealed).toBeGreaterThan(40)
    expect(scene.index.memoryBytes()).toBeLessThan(3000 + sealed * (3 * 32 + 100) + 3000)
    await scene.close()
  })

  it('stays right while it is trimmed and made again under a lookup', async () => {
    for (let seed = 0; seed < 20; seed++) {
      const scene = new Scene(seed)
      await scene.open()
      for (let i = 0; i < 900; i++) await scene.write(i % 2)
      await scene.settle()
      await scene.close()
      await scene.open()
      const segments = scene.log.segments()
      const damaged = `${directory}/000000${segments[4]!.segment}.index`
      const bytes = scene.disk.contentOf(damaged)!
      bytes[4096 + 3]! ^= 1
      scene.disk.plant(damaged, bytes)
      scene.index.drop(0)
      const before = scene.model.queues.get(1)!
      const lookups = Array.from({ length: 6 }, async () => {
        const from = scene.random.below(before.rows.length)
        const found = await scene.index.lookup(1, from, 60)
        expect(found.from).toBeGreaterThanOrEqual(from)
        expect(read(found)).toEqual(
          before.rows
            .slice(found.from, found.from + 60)
            .map(({ position, tagHash, storeTimeMs }) => ({ position, tagHash, storeTimeMs })),
        )
      })
      await scene.index.trimBelow(segments[scene.random.below(3)]!.end)
      await Promise.all(lookups)
      await scene.close()
    }
  })

  it('stays right when a queue was dropped between the writing of a segment and its sealing, and the file is made again', async () => {
    for (let seed = 0; seed < 20; seed++) {
      const scene = new Scene(seed)
      await scene.open()
      for (let i = 0; i < 12; i++) await scene.write(i % 3)
      scene.index.drop(0)
      scene.model.queues.delete(0)
      for (let i = 0; i < 300; i++) await scene.write(1 + (i % 2))
      await scene.settle()
      const path = `${directory}/0000001.index`
      const bytes = scene.disk.contentOf(path)!
      bytes[4096 + 3]! ^= 1
      scene.disk.plant(path, bytes)
      await Promise.all([scene.check(), scene.check(), scene.check()])
      await scene.check()
      await scene.close()
    }
  })

  it('makes a file again that covers only part of its segment, because a crash came before sealing', async () => {
    const scene = new Scene(6)
    scene.seals = false
    await scene.open()
    for (let i = 0; i < 20; i++) await scene.write(i % 2)
    await scene.settle()
    await scene.index.flush()
    for (let i = 0; i < 200; i++) await scene.write(i % 2)
    await scene.log.write([]).durable
    await scene.log.close()
    await scene.open()
    await scene.check()
    await scene.close()
  })

  it('does not believe a file that knows more than the log', async () => {
    const scene = new Scene(7)
    await scene.open()
    for (let i = 0; i < 20; i++) await scene.write(0)
    await scene.settle()
    await scene.index.flush()
    await scene.close()
    const path = `${directory}/0000001.segment`
    scene.disk.plant(
      path,
      scene.disk.contentOf(path)!.subarray(0, scene.model.queues.get(0)!.rows[9]!.position - 2 ** 32),
    )
    const { disk, clock, random, cipher } = scene
    const { log } = await openLog({ disk, clock, random, directory, segmentBytes: 8192, cipher })
    const { index, sealedBelow } = await openQueueIndex({ disk, directory, log, decode, cipher })
    expect(sealedBelow).toBe(2 ** 32)
    expect((await index.lookup(0, 0, 100)).count).toBe(0)
    await log.close()
  })

  it('keeps the entries when a file cannot be written, and writes it with the next', async () => {
    const scene = new Scene(3)
    await scene.open()
    scene.disk.inject({ operation: 'write', error: 'ENOSPC', path: 'index.new' })
    const refusals: unknown[] = []
    scene.log.onSealed((segment) => void scene.index.seal(segment).catch((error: unknown) => refusals.push(error)))
    for (let i = 0; i < 300; i++) await scene.write(0)
    await scene.settle().catch(() => {})
    // After all that was sealed before.
    await scene.index.trimBelow(0)
    await scene.check()
    const names = (await scene.disk.list(directory)).filter((name) => name.endsWith('.index'))
    expect(names.length).toBe(scene.log.segments().length)
    await scene.log.close()
  })

  it('trims a great many queues in portions, reads no file for it, and looks up none that lies behind', async () => {
    const scene = new Scene(6)
    await scene.open()
    await scene.write(0)
    await scene.settle()
    const many = 20_000
    const [old, recent] = [positionOf(3, 64), positionOf(4, 64)]
    for (let key = 1; key <= many; key++) scene.index.add(key, 0, key % 2 === 0 ? old : recent, 0, 0)
    let turns = 0
    let on = true
    const turn = (): void => {
      turns++
      if (on) setImmediate(turn)
    }
    setImmediate(turn)
    const moved = await scene.index.trimBelow(positionOf(4, 0))
    on = false
    expect(moved.size).toBe(many / 2 + 1)
    expect(turns).toBeGreaterThanOrEqual(Math.floor(many / 2_048))
    expect((await scene.index.trimBelow(positionOf(4, 0))).size).toBe(0)
    await scene.log.close()
  })

  it('refuses a gap and an entry in a sealed segment', async () => {
    const scene = new Scene(4)
    await scene.open()
    for (let i = 0; i < 300; i++) await scene.write(0)
    await scene.settle()
    const next = scene.model.next(0)
    expect(() => scene.index.add(0, next + 1, scene.log.end, 0, 0)).toThrow('does not follow')
    expect(() => scene.index.add(9, 0, scene.log.first, 0, 0)).toThrow('is sealed')
    expect(segmentOf(scene.log.first)).toBe(1)
    await scene.close()
  })

  it('knows nothing of an unknown or dropped queue', async () => {
    const scene = new Scene(5)
    await scene.open()
    await scene.write(0)
    scene.index.drop(0)
    const found = await scene.index.lookup(0, 5, 10)
    expect([found.from, found.count, scene.index.minimumOffset(0)]).toEqual([5, 0, 0])
    expect(await scene.index.offsetAtTime(0, 0)).toBe(0)
    await scene.close()
  })
})
