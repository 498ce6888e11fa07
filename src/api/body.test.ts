import type { IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { SimulatedClock } from '../world/simulated.ts'
import { type BodyResult, readBody } from './body.ts'

const LIMIT = 1_000

function reading(headers: Record<string, string>) {
  const stream = new PassThrough({ highWaterMark: 64 * 1024 })
  const clock = new SimulatedClock()
  const message = Object.assign(stream, { headers }) as unknown as IncomingMessage
  let kept = 0
  const result: Promise<BodyResult> = readBody(message, {
    limitBytes: LIMIT,
    clock,
    onKept: (sizeBytes) => {
      kept += sizeBytes
    },
  })
  return { stream, clock, result, kept: () => kept }
}

describe('a body', () => {
  it('that is not announced is empty, and nothing is waited for', async () => {
    expect(await reading({}).result).toHaveLength(0)
  })

  it.each([0, 1, LIMIT - 1, LIMIT])('of %d bytes arrives whole', async (size) => {
    for (const headers of [{ 'content-length': String(size) }, { 'transfer-encoding': 'chunked' }]) {
      const { stream, result, kept } = reading(headers as Record<string, string>)
      for (let sent = 0; sent < size; sent += 300) stream.write(Buffer.alloc(Math.min(300, size - sent), 1))
      stream.end()
      expect(await result).toHaveLength(size)
      expect(kept()).toBe(size)
    }
  })

  it.each<[string, Record<string, string>, number]>([
    ['declared', { 'content-length': String(LIMIT + 1) }, 0],
    ['chunked', { 'transfer-encoding': 'chunked' }, LIMIT],
  ])('over the limit, %s, is thrown away as it comes', async (_, headers, most) => {
    const { stream, result, kept, clock } = reading(headers)
    for (let i = 0; i < 50; i++) stream.write(Buffer.alloc(1_000))
    stream.end()
    expect(await result).toBe('tooLarge')
    expect(kept()).toBeLessThanOrEqual(most)
    expect(clock.pending).toBe(0)
  })

  it('over the limit is not waited for for ever, neither slow nor endless', async () => {
    const slow = reading({ 'content-length': '99999999999' })
    slow.stream.write('x')
    await slow.clock.advance(2_000)
    expect(await slow.result).toBe('tooLarge')

    const endless = reading({ 'transfer-encoding': 'chunked' })
    const chunk = Buffer.alloc(64 * 1024)
    for (let i = 0; i < 300; i++) endless.stream.write(chunk)
    expect(await endless.result).toBe('tooLarge')
    expect(endless.stream.destroyed).toBe(false)
  })

  it('whose sender goes away is aborted', async () => {
    const { stream, result } = reading({ 'content-length': '10' })
    stream.write('{"a"')
    stream.destroy()
    expect(await result).toBe('aborted')
  })
})
