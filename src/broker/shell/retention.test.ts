/** What retention removes, when, and what it keeps. */
import { describe, expect, it } from 'vitest'
import { LogError } from '../log/errors.ts'
import {
  ack,
  broker,
  changeSettings,
  clock,
  disk,
  files,
  HOUR,
  MINUTE,
  receive,
  reported,
  restart,
  send,
  sendMany,
  settings,
  text,
  useBroker,
} from './test-broker.ts'

useBroker()

describe('retention', () => {
  it('takes old segments with their messages, and every group follows', async () => {
    changeSettings({ retentionMs: HOUR })
    await restart({ segmentBytes: 8_192 })
    await sendMany(100)
    const [held] = await receive({ max: 1, invisibleMs: 12 * HOUR })
    await clock.advance(30 * MINUTE)
    await sendMany(100)
    const before = broker.inspection.usage()
    await clock.advance(31 * MINUTE)
    const after = broker.inspection.usage()
    expect(after.messages).toBeLessThan(before.messages - 50)
    expect(after.storedBytes).toBeLessThan(before.storedBytes)
    expect(after.inflight).toBe(0)
    expect(await ack(held!)).toBe('done')
    let left = 0
    for (let got = await receive({ max: 1_000 }); got.length > 0; got = await receive({ max: 1_000 }))
      left += got.length
    expect(left).toBe(100)
    await restart({ segmentBytes: 8_192 })
    expect(broker.inspection.usage()).toMatchObject({ messages: after.messages, inflight: 100 })
  })

  it('gives back everything a quiet instance holds, its only segment too', async () => {
    changeSettings({ retentionMs: 24 * HOUR })
    await restart()
    await sendMany(50)
    await receive({ max: 20, invisibleMs: 12 * HOUR })
    await clock.advance(23 * HOUR)
    expect(broker.inspection.usage()).toMatchObject({ messages: 50 })
    const [before, held] = [files(), broker.inspection.usage().storedBytes]
    await clock.advance(2 * HOUR)
    expect(broker.inspection.usage()).toMatchObject({ messages: 0, inflight: 0 })
    expect(broker.inspection.usage().storedBytes).toBeLessThan(held / 4)
    expect(await files()).toEqual(['0000002.segment', 'checkpoint', 'checkpoint.previous', 'handle.key'])
    expect(await before).toContain('0000001.segment')
    await sendMany(3)
    await restart()
    expect(await receive({ max: 10 })).toHaveLength(3)
  })

  it('a shortened retention takes effect at once', async () => {
    await sendMany(50)
    await clock.advance(30 * HOUR)
    await sendMany(1)
    expect(broker.inspection.usage()).toMatchObject({ messages: 51 })
    changeSettings({ retentionMs: 24 * HOUR })
    broker.administration.configure(settings)
    await clock.advance(MINUTE)
    expect(broker.inspection.usage()).toMatchObject({ messages: 1 })
  })

  it('seals nothing on a full disk, for that would stop the log, and gives back when there is room', async () => {
    changeSettings({ retentionMs: 24 * HOUR })
    await restart()
    await sendMany(50)
    disk.inject({ operation: 'write', error: 'ENOSPC', times: 1_000 })
    await clock.advance(25 * HOUR)
    expect(reported.length).toBeGreaterThan(0)
    reported.length = 0
    disk.healFaults()
    await clock.advance(2 * HOUR)
    expect(broker.inspection.usage()).toMatchObject({ messages: 0 })
    await sendMany(1)
    expect(await receive()).toHaveLength(1)
  })

  it('holds up no receive of what it leaves while it takes segments', async () => {
    changeSettings({ retentionMs: HOUR })
    await restart({ segmentBytes: 8_192 })
    await sendMany(100)
    await clock.advance(30 * MINUTE)
    await sendMany(100)
    let release = () => {}
    const released = new Promise<void>((resolve) => {
      release = resolve
    })
    const boot = disk.boot()
    const unlink = (path: string) =>
      path.endsWith('.index') ? released.then(() => boot.unlink(path)) : boot.unlink(path)
    await restart({ segmentBytes: 8_192, disk: { ...boot, unlink } })
    await clock.advance(31 * MINUTE)
    expect(broker.inspection.usage()).toMatchObject({ messages: 200 })
    expect(await receive({ max: 1_000 })).not.toHaveLength(0)
    release()
    await clock.advance(0)
    expect(broker.inspection.usage().messages).toBeLessThan(150)
  })

  it('that the disk interrupted ends what it began: no queue and no group keeps what is gone', async () => {
    changeSettings({ retentionMs: HOUR })
    await restart({ segmentBytes: 8_192 })
    await sendMany(100)
    await receive({ max: 10, invisibleMs: 12 * HOUR })
    await clock.advance(8 * MINUTE)
    disk.inject({ operation: 'unlink', error: 'EIO', path: '.index' })
    await clock.advance(HOUR)
    expect(reported.splice(0)).toHaveLength(1)
    await clock.advance(2 * HOUR)
    expect(broker.inspection.usage()).toMatchObject({ messages: 0, inflight: 0 })
    await restart({ segmentBytes: 8_192 })
    expect(broker.inspection.usage()).toMatchObject({ messages: 0, inflight: 0 })
  })

  it('does not wait an hour because the log was busy for a moment', async () => {
    changeSettings({ retentionMs: HOUR })
    await restart()
    await sendMany(10)
    await clock.advance(8 * MINUTE)
    const { log } = broker
    const write = log.write.bind(log)
    let refusals = 3
    log.write = (records) => {
      if (refusals > 0 && records.some((record) => record[0] === 10)) {
        refusals--
        throw new LogError('busy', 'bytes wait for the disk')
      }
      return write(records)
    }
    await clock.advance(HOUR + 10_000)
    expect([refusals, broker.inspection.usage().messages]).toEqual([0, 0])
  })

  it('does not deliver what is too old, though its segment is still there', async () => {
    changeSettings({ retentionMs: HOUR })
    await restart()
    await send('tag', 'old')
    await clock.advance(61 * MINUTE)
    await send('tag', 'new')
    expect((await receive()).map(text)).toEqual(['new'])
  })
})
