/** Encrypted at rest: unreadable without the key, refused with the wrong one, no nonce twice. */
import { describe, expect, it } from 'vitest'
import { SimulatedClock, SimulatedRandom } from '../../world/simulated.ts'
import { SimulatedDisk } from '../../world/simulated-disk.ts'
import { createRecordCipher } from './cipher.ts'
import { openLog } from './log.ts'

const key = (fill: number) => new Uint8Array(32).fill(fill)

function world() {
  const random = new SimulatedRandom(1)
  const disk = new SimulatedDisk({ random })
  const open = (fill: number | null) =>
    openLog({
      disk,
      clock: new SimulatedClock(),
      random,
      directory: '/log',
      segmentBytes: 4096,
      cipher: fill === null ? null : createRecordCipher(key(fill), random),
    })
  return { disk, random, open }
}

describe('an encrypted log', () => {
  it('reads back over restarts, and shows nothing on the disk', async () => {
    const { disk, open } = world()
    const { log } = await open(1)
    const positions: number[] = []
    for (let i = 0; i < 60; i++) positions.push(...(await log.append([Buffer.from(`a secret, number ${i}`)])))
    await log.checkpoint(Buffer.from('a secret state'), log.end)
    await log.close()
    for (const name of await disk.list('/log')) {
      expect(Buffer.from(disk.contentOf(`/log/${name}`)!).includes('secret'), name).toBe(false)
    }
    const { log: again, checkpoint } = await open(1)
    expect(Buffer.from(checkpoint!.blob).toString()).toBe('a secret state')
    const read = await again.readMany(positions)
    expect(read.map((bytes) => Buffer.from(bytes).toString())).toEqual(positions.map((_, i) => `a secret, number ${i}`))
    await again.close()
  })

  it('is refused with another key, without one, and in clear with one', async () => {
    const { open, disk } = world()
    const { log } = await open(1)
    await log.append([Buffer.from('x')])
    await log.close()
    const wrongKey = expect.objectContaining({ code: 'wrong-key' })
    await expect(open(2)).rejects.toThrow('/log/0000001.segment cannot be decrypted with the key at hand')
    await expect(open(2)).rejects.toThrow(wrongKey)
    await expect(open(null)).rejects.toThrow('is encrypted, and the log was opened without a key')
    const { log: fine } = await open(1)
    await fine.checkpoint(Buffer.from('state'), fine.end)
    await fine.close()
    await expect(open(2)).rejects.toThrow('/log/checkpoint cannot be decrypted with the key at hand')
    await expect(open(null)).rejects.toThrow(wrongKey)
    await disk.removeDirectory('/log')
    const { log: clear } = await open(null)
    await clear.append([Buffer.from('x')])
    await clear.close()
    await expect(open(1)).rejects.toThrow('is not encrypted, and the log was opened with a key')
  })
})

describe('the record cipher', () => {
  it('uses no nonce twice with one key, also over runs', () => {
    const random = new SimulatedRandom(2)
    const seen = new Set<string>()
    for (let run = 0; run < 20; run++) {
      const cipher = createRecordCipher(key(1), random)
      for (let i = 0; i < 50; i++) seen.add(Buffer.from(cipher.seal(new Uint8Array(5)).subarray(0, 18)).toString('hex'))
    }
    expect(seen.size).toBe(1000)
  })

  it('opens nothing that was changed in any byte', () => {
    const cipher = createRecordCipher(key(1), new SimulatedRandom(3))
    const sealed = cipher.seal(Buffer.from('hello'))
    expect(Buffer.from(cipher.open(sealed)).toString()).toBe('hello')
    expect(Buffer.from(cipher.open(cipher.seal(new Uint8Array(0)))).length).toBe(0)
    for (let at = 0; at < sealed.length; at++) {
      const changed = Uint8Array.from(sealed)
      changed[at]! ^= 1
      expect(() => cipher.open(changed), `byte ${at}`).toThrow()
    }
    expect(() => cipher.open(new Uint8Array(10))).toThrow()
  })

  it('wants a key of 32 bytes', () => {
    expect(() => createRecordCipher(new Uint8Array(16), new SimulatedRandom(4))).toThrow('32 bytes')
  })
})
