/** Stored messages as the index names them. */
import { decodeEvent } from '../core/event-codec.ts'
import type { MessageEvent } from '../core/events.ts'

export function messageOf(record: Uint8Array): MessageEvent {
  const event = decodeEvent(record)
  if (event.type !== 'message') throw new Error(`The index names a record that is a ${event.type}, not a message.`)
  return event
}
