/** The log over the machine's own disk: what was acknowledged is there when it is opened again. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { realClock, realRandom } from '../../world/real.ts'
import { createRealDisk } from '../../world/real-disk.ts'
import type { OpenLogOptions } from './contract.ts'
import { openLog } from './log.ts'

const disk = createRealDisk()
let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gantry-log-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const open = (options: Partial<OpenLogOptions> = {}) =>
  openLog({ disk, clock: realClock, random: realRandom, directory: `${directory}/log`, ...options })
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString()

describe('the log on the real disk', () => {
  it('gives back what was appended, from memory, from the disk and by scanning', async () => {
    const { log } = await open({ segmentBytes: 4096 })
    const written: { position: number; text: string }[] = []
    for (let i = 0; i < 200; i++) {
      const words = [`first of ${i}`, `second of ${i} ${'x'.repeat(i)}`]
      const positions = await log.append(words.map((word) => Buffer.from(word)))
      words.forEach((word, j) => void written.push({ position: positions[j]!, text: word }))
    }
    const positions = written.map((record) => record.position)
    expect((await log.readMany(positions)).map(text)).toEqual(written.map((record) => record.text))
    await log.close()

    const { log: again, recovery } = await open({ segmentBytes: 4096 })
    expect(recovery.tornBytes).toBe(0)
    expect(again.segments().length).toBeGreaterThan(5)
    expect((await again.readMany(positions)).map(text)).toEqual(written.map((record) => record.text))
    const scanned: { position: number; text: string }[] = []
    for await (const { position, payload } of again.scan(again.first)) scanned.push({ position, text: text(payload) })
    expect(scanned).toEqual(written)
    expect(text(await again.read(positions[7]!))).toBe(written[7]!.text)
    await again.close()
  })

  it('keeps a checkpoint and trims below it', async () => {
    const { log } = await open({ segmentBytes: 4096 })
    let last = 0
    for (let i = 0; i < 50; i++) last = (await log.append([Buffer.alloc(500, i)]))[0]!
    await log.checkpoint(Buffer.from('state'), log.end)
    await log.trim(last)
    expect(log.segments()).toEqual([])
    await log.close()
    const { log: again, checkpoint, recovery } = await open({ segmentBytes: 4096 })
    expect(text(checkpoint!.blob)).toBe('state')
    expect(checkpoint!.position).toBe(again.end)
    expect(recovery.scannedBytes).toBe(0)
    expect((await again.read(last))[0]).toBe(49)
    await again.close()
  })
})
