/** The message that `gantry send` makes of its options. */
import { describe, expect, it } from 'vitest'
import { messageOf } from './send.ts'

describe('a delay', () => {
  it('counts from when the message is sent, not from when the command began', () => {
    const dueOf = (atMs: number) => messageOf('later', { delay: '10s' }, atMs)
    expect(dueOf(1_000)).toMatchObject({ deliveryTimestamp: new Date(11_000) })
    expect(dueOf(70_000)).toMatchObject({ deliveryTimestamp: new Date(80_000) })
  })
})
