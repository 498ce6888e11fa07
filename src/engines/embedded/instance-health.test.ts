/** How reported errors become the health of an instance. */
import { describe, expect, it } from 'vitest'
import { corrupt, LogError } from '../../broker/log/errors.ts'
import { InstanceHealth, whyUnopened } from './instance-health.ts'

const segment = '/home/instances/rmq-1/0000003.segment'
const unreadable = (offset: number, file = segment): LogError => corrupt(file, offset, 'no whole record starts there')

describe('the health of an instance', () => {
  it('is none for what is no damage', () => {
    const health = new InstanceHealth('rmq-1')
    health.note(new Error('a client went away'))
    health.note(new LogError('busy', 'The log is busy'))
    health.note(unreadable(64, '/home/instances/rmq-1/0000003.index'))
    health.note('text')
    expect([health.damage, health.stopped]).toEqual([null, null])
  })

  it('names the file and the first byte, also of a cause, and counts each place once', () => {
    const health = new InstanceHealth('rmq-1')
    health.note(unreadable(4096))
    expect(health.damage).toBe(
      '1 record of instance rmq-1 cannot be read: /home/instances/rmq-1/0000003.segment is damaged at byte 4096. Messages there are not delivered, all others are. Check the disk; what was there comes back only from a copy of the file, put in its place while the server is stopped.',
    )
    health.note(new Error('A message cannot be shown.', { cause: unreadable(128) }))
    health.note(unreadable(4096))
    health.note(unreadable(64, segment.replace('3', '4')))
    expect(health.damage).toMatch(
      /^3 records of instance rmq-1 cannot be read: .*0000003\.segment is damaged at byte 128, and so is one file more\./,
    )
    expect(health.stopped).toBeNull()
  })

  it('is bounded', () => {
    const health = new InstanceHealth('rmq-1')
    for (let place = 0; place < 5000; place++) health.note(unreadable(place * 64))
    expect(health.damage).toMatch(/^1000 or more records of instance rmq-1/)
    const circle = new Error('around') as Error & { cause: unknown }
    circle.cause = circle
    health.note(circle)
  })

  it('keeps the first reason why the log stopped', () => {
    const health = new InstanceHealth('rmq-1')
    health.note(new Error('a checkpoint', { cause: new LogError('failed', 'The disk is full.') }))
    health.note(new LogError('failed', 'Another.'))
    expect(health.stopped).toBe('Instance rmq-1 takes no messages: The disk is full.')
  })
})

describe('an instance that cannot be opened', () => {
  it.each([
    [
      'a damaged segment',
      unreadable(64),
      /byte 64: no whole record starts there\. Nothing was changed; restore the file from a copy, or/,
    ],
    [
      'another key',
      new LogError('wrong-key', 'f cannot be decrypted with the key at hand'),
      /at hand\. Nothing was changed\. Put back/,
    ],
    [
      'a state that ends early',
      new RangeError('The record ends before its last field.'),
      /last field\. What its files hold makes no sense\. .*or delete/,
    ],
    [
      'a full disk',
      Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' }),
      /left on device\.$/,
    ],
  ])('says why and what to do: %s', (_what, error, says) => {
    const reason = whyUnopened('rmq-1', error)
    expect(reason).toMatch(says)
    expect(reason).toMatch(/^The messages of instance rmq-1 cannot be opened: .*[^.]\.$/)
    expect(reason).not.toContain('..')
  })
})
