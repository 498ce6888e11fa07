/** Opening an instance after a restart, a kill and a power cut. */
import { describe, expect, it } from 'vitest'
import { tagHash } from '../core/filters/filter.ts'
import {
  ack,
  broker,
  clock,
  disk,
  HOUR,
  open,
  random,
  receive,
  reported,
  restart,
  send,
  sendMany,
  text,
  topicSpec,
  useBroker,
} from './test-broker.ts'

useBroker()

describe('a restart', () => {
  it.each([
    ['clean', false],
    ['after a kill', true],
  ])('(%s) keeps messages, progress, attempts, handles and deadlines', async (_, killed) => {
    await sendMany(4)
    const first = await receive({ max: 2 })
    await ack(first[0]!)
    await clock.advance(30_000)
    const [again] = await receive({ max: 1 })
    await restart({ killed })
    expect(await ack(first[1]!)).toBe('expired')
    expect((await receive()).map(({ attempt }) => attempt)).toEqual([1, 1])
    expect(await ack(again!)).toBe('done')
    await clock.advance(30_000)
    expect((await receive()).map(({ attempt }) => attempt)).toEqual([2, 2])
  })

  it('counts every delivery that was handed over, also when the power goes right after it', async () => {
    await send()
    const [first] = await receive()
    disk.powerCut()
    await broker.close()
    reported.length = 0
    await open()
    expect(await receive()).toEqual([])
    await clock.advance(30_000)
    const [second] = await receive()
    expect([first!.attempt, second!.attempt, first!.offset === second!.offset]).toEqual([1, 2, true])
    expect(await ack(first!)).toBe('expired')
  })

  it('hands over no delivery that the disk refuses to record, and counts none', async () => {
    await send()
    disk.inject({ operation: 'datasync', error: 'EIO', times: 1_000 })
    await expect(receive()).rejects.toMatchObject({ code: 50001 })
    disk.powerCut()
    disk.healFaults()
    await broker.close()
    reported.length = 0
    await open()
    expect((await receive())[0]!.attempt).toBe(1)
  })

  it('with a clock that was set back does not make time go back', async () => {
    const [before] = await send()
    clock.jump(-HOUR)
    await restart()
    const [after] = await send()
    expect(after!.storeTimeMs).toBeGreaterThanOrEqual(before!.storeTimeMs)
  })

  it('of an encrypted instance needs its key, and its files hold nothing readable', async () => {
    const cipherKey = random.bytes(32)
    await broker.close()
    const place = { directory: '/secret', cipherKey }
    await open(place)
    await broker.administration.ensureTopics([topicSpec('topic')])
    const [receipt] = await send('tag', 'a very secret body')
    await restart(place)
    expect((await receive()).map(text)).toEqual(['a very secret body'])
    await broker.close()
    const [time, hash] = [Buffer.alloc(8), Buffer.alloc(4)]
    time.writeDoubleLE(receipt!.storeTimeMs)
    hash.writeUInt32LE(tagHash('tag'))
    const names = await disk.list('/secret')
    expect(names).toContain('0000001.index')
    for (const name of names) {
      const bytes = Buffer.from(disk.contentOf(`/secret/${name}`)!)
      for (const telling of ['secret body', 'topic', time, hash]) expect(bytes.includes(telling)).toBe(false)
    }
    await expect(open({ directory: '/secret' })).rejects.toThrow(/encrypted/)
    await expect(open({ directory: '/secret', cipherKey: random.bytes(32) })).rejects.toThrow(/key/)
  })
})
