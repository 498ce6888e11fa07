import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { inflate } from './inflate.ts'

const large = gzipSync(Buffer.alloc(1024 * 1024))

/** Inflations that were asked for in this order, by name; in the order in which they were begun. */
async function begun(
  asked: readonly (readonly [owner: object, connection: object, name: string])[],
): Promise<string[]> {
  const order: string[] = []
  await Promise.all(
    asked.map(([owner, connection, name]) =>
      inflate(large, 2 * 1024 * 1024, [owner, connection], () => order.push(name) > 0),
    ),
  )
  return order
}

describe('inflations that wait', () => {
  it('take turns by owner, and within an owner by connection', async () => {
    const [one, two] = [{}, {}]
    const [busy, quiet, other] = [{}, {}, {}]
    const order = await begun([
      ...Array.from({ length: 10 }, (_, n) => [one, busy, `busy ${n}`] as const),
      [one, quiet, 'quiet'],
      [two, other, 'other 0'],
      [two, other, 'other 1'],
    ])
    // Four run at once; the rest waits.
    expect(order).toEqual([
      ...['busy 0', 'busy 1', 'busy 2', 'busy 3'],
      ...['busy 4', 'other 0', 'quiet', 'other 1', 'busy 5', 'busy 6', 'busy 7', 'busy 8', 'busy 9'],
    ])
  })

  it('that nobody wants any more cost nothing and hold nobody up', async () => {
    const asker = [{}, {}] as const
    expect(await inflate(Buffer.from('no gzip'), 10, asker, () => false)).toBeNull()
    await expect(inflate(Buffer.from('no gzip'), 10, asker, () => true)).rejects.toThrow()
    await expect(inflate(large, 10, asker, () => true)).rejects.toMatchObject({ code: 'ERR_BUFFER_TOO_LARGE' })
    expect((await inflate(large, 2 * 1024 * 1024, asker, () => true))?.length).toBe(1024 * 1024)
  })
})
