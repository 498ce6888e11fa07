/**
 * The properties of a kept message (`stored-message.ts`) as an SQL92 expression sees them: the user's, and of the
 * system's what Apache keeps among them, all as text. Only the names asked for are looked up, and a body is
 * stepped over: an expression may be asked of a million messages.
 */
import * as gen from '../../grpc/gen/rocketmq.js'
import { systemStartOf } from './stored-message.ts'
import { millisecondsOf } from './time.ts'

/** Apache joins a message's keys with blanks. */
const keySeparator = ' '

const fromSystem: Readonly<Record<string, (system: gen.SystemProperties) => string | null>> = {
  TAGS: ({ tag }) => tag || null,
  KEYS: ({ keys }) => (keys.length === 0 ? null : keys.join(keySeparator)),
  UNIQ_KEY: ({ messageId }) => messageId,
  __SHARDINGKEY: ({ messageGroup }) => messageGroup || null,
  TRACE_CONTEXT: ({ traceContext }) => traceContext || null,
  BORN_TIMESTAMP: ({ bornTimestamp }) => textOf(bornTimestamp),
  TIMER_DELIVER_MS: ({ deliveryTimestamp }) => textOf(deliveryTimestamp),
  __BORNHOST: ({ bornHost }) => bornHost || null,
}

export type PropertyReader = (payload: Uint8Array) => (name: string) => string | null

/** How to read these names from kept messages. */
export function readerOf(names: ReadonlySet<string>): PropertyReader {
  const system = [...names].filter((name) => Object.hasOwn(fromSystem, name))
  const user = new Set([...names].filter((name) => !Object.hasOwn(fromSystem, name)))
  /** In bytes. A key of another length need not be read. */
  const lengths = new Set([...user].map((name) => Buffer.byteLength(name)))
  return (payload) => {
    const kept = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
    const systemStart = systemStartOf(kept)
    const systemEnd = systemStart + kept.readUInt32BE(1)
    const found = new Map<string, string>()
    if (user.size > 0) findUser(kept, systemEnd, { names: user, lengths }, found)
    if (system.length > 0) {
      const properties = gen.SystemProperties.decode(kept.subarray(systemStart, systemEnd))
      for (const name of system) {
        const value = fromSystem[name]!(properties)
        if (value !== null) found.set(name, value)
      }
    }
    return (name) => found.get(name) ?? null
  }
}

const userPropertiesTag = (2 << 3) | 2
const keyTag = (1 << 3) | 2
const valueTag = (2 << 3) | 2

/** Steps through the fields of apache.rocketmq.v2.Message: a map is a message of key and value for each entry. */
function findUser(
  kept: Buffer,
  from: number,
  wanted: { readonly names: ReadonlySet<string>; readonly lengths: ReadonlySet<number> },
  found: Map<string, string>,
): void {
  const place = { at: from }
  while (place.at < kept.length) {
    const tag = varint(kept, place)
    const end = varint(kept, place) + place.at
    if (tag === userPropertiesTag) {
      let keyAt = place.at
      let keyEnd = keyAt
      let valueAt = place.at
      let valueEnd = valueAt
      while (place.at < end) {
        const field = varint(kept, place)
        const fieldEnd = varint(kept, place) + place.at
        if (field === keyTag) [keyAt, keyEnd] = [place.at, fieldEnd]
        else if (field === valueTag) [valueAt, valueEnd] = [place.at, fieldEnd]
        place.at = fieldEnd
      }
      if (wanted.lengths.has(keyEnd - keyAt)) {
        const key = kept.toString('utf8', keyAt, keyEnd)
        if (wanted.names.has(key)) found.set(key, kept.toString('utf8', valueAt, valueEnd))
      }
    }
    place.at = end
  }
}

/** Every field of a kept message's second part is of variable length, so its first two numbers are tag and length. */
function varint(bytes: Buffer, place: { at: number }): number {
  let value = 0
  for (let scale = 1; ; scale *= 128) {
    const byte = bytes[place.at++]!
    value += (byte & 127) * scale
    if (!(byte >= 128)) return value
  }
}

function textOf(time: gen.Timestamp | null): string | null {
  return time === null ? null : String(millisecondsOf(time))
}
