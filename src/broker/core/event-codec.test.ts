import { expect, it } from 'vitest'
import { decodeEvent, newestEventType } from './event-codec.ts'

/** What a record of this type and nothing else is refused with. */
function refusalOf(type: number): { code?: string } {
  try {
    decodeEvent(Uint8Array.of(type))
  } catch (error) {
    return error as { code?: string }
  }
  throw new Error(`A record of type ${type} alone was read.`)
}

it('knows each type up to the newest, and says of the others that a newer program wrote them', () => {
  for (let type = 1; type < 256; type++)
    expect(refusalOf(type).code, `type ${type}`).toBe(type > newestEventType ? 'newer' : undefined)
  expect(() => decodeEvent(Uint8Array.of(newestEventType + 1))).toThrow(
    /which a newer Gantry wrote; this program knows/,
  )
})
