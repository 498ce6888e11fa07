/**
 * Receipt handles: opaque text to clients (data-plane.md §3.3) that names a delivery.
 *
 * A handle names one delivery: subscription (a group's subscription to one incarnation of a topic), queue, offset,
 * attempt, and the session of the broker that made it. The session is a random number drawn at each start: a delivery
 * whose record a power cut took back cannot be mistaken for a later one. Changing the invisible time keeps the delivery,
 * hence the handle.
 *
 * Its last part is a MAC over the rest with a key of the instance, so that a message that was not delivered to the group
 * cannot be acknowledged: from one handle no other can be made. The client is not in it, for the delivery says whose it
 * is: shown by another client the handle names nothing (Apache takes it from any member of the group).
 */
import { sipHash } from '../structures/siphash.ts'

export interface DeliveryName {
  readonly subscriptionId: number
  readonly queueId: number
  readonly offset: number
  readonly attempt: number
  readonly session: number
}

export interface HandleKey {
  /** Four words of 32 bits. */
  readonly words: Uint32Array
  /** Sessions of a program whose handles had no MAC: theirs are taken without one. Empty but after that program, while its deliveries last. */
  readonly unsigned: ReadonlySet<number>
}

/** Of a state that was not opened from a disk. */
export const noHandleKey: HandleKey = { words: new Uint32Array(4), unsigned: new Set() }

const PREFIX = 'g2'
/** Of handles without a MAC. */
const UNSIGNED_PREFIX = 'g1'
const SEPARATOR = 0x2e
/** Numbers in a handle, the two of the MAC included. */
const NAME_PARTS = 5
const SIGNED_PARTS = 7
/** Longer than any handle: 11 + 4 + 11 + 4 + 7 + 7 + 7 digits, the prefix and the separators. */
const LONGEST = 64

export function formatHandle(name: DeliveryName, key: HandleKey): string {
  const [low, high] = macOf(name, key)
  return `${formatName(name)}.${digitsOf(low)}.${digitsOf(high)}`
}

/** The handle without its MAC: what a trace may show of it, for nothing can be acknowledged with it. */
export function formatName({ subscriptionId, queueId, offset, attempt, session }: DeliveryName): string {
  return `${PREFIX}.${subscriptionId.toString(36)}.${queueId.toString(36)}.${offset.toString(36)}.${attempt.toString(36)}.${digitsOf(session)}`
}

/** Null for anything `formatHandle` did not make with this key. */
export function parseHandle(handle: string, key: HandleKey): DeliveryName | null {
  const signed = handle.startsWith(PREFIX)
  if (!(signed || handle.startsWith(UNSIGNED_PREFIX)) || handle.length > LONGEST) return null
  const parts = numbersOf(handle, PREFIX.length, signed ? SIGNED_PARTS : NAME_PARTS)
  if (!parts) return null
  const [subscriptionId = 0, queueId = 0, offset = 0, attempt = 0, session = 0, low = 0, high = 0] = parts
  // The MAC is made of words of 32 bits: a number that is cut to one would be another name of the same delivery.
  for (const word of [queueId, attempt, session, low, high]) if (word > 0xffffffff) return null
  const name = { subscriptionId, queueId, offset, attempt, session }
  if (!signed) return key.unsigned.has(session) ? name : null
  const mac = macOf(name, key)
  // Both words are compared in any case: the time taken does not tell how much of a guess was right.
  return ((mac[0] ^ low) | (mac[1] ^ high)) === 0 ? name : null
}

/** The numbers behind `from`, each after a separator, to the end; null unless there are `count` safe ones. */
function numbersOf(handle: string, from: number, count: number): number[] | null {
  const numbers: number[] = []
  let at = from
  while (at < handle.length) {
    if (handle.charCodeAt(at++) !== SEPARATOR || numbers.length === count) return null
    const first = at
    let value = 0
    for (; at < handle.length; at++) {
      const digit = digitAt(handle, at)
      if (digit < 0) break
      value = value * 36 + digit
    }
    if (at === first || !Number.isSafeInteger(value)) return null
    numbers.push(value)
  }
  return numbers.length === count ? numbers : null
}

/** -1 for what is no digit of base 36. */
function digitAt(text: string, at: number): number {
  const code = text.charCodeAt(at)
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  return code >= 0x61 && code <= 0x7a ? code - 0x61 + 10 : -1
}

/** Two digits of base 36 each. */
const pairs = Array.from({ length: 36 * 36 }, (_, value) => value.toString(36).padStart(2, '0'))

/** Of a word of 32 bits, seven digits; a fifth of the time that `toString` takes beyond 2^31. */
function digitsOf(word: number): string {
  const low = word % 36 ** 4
  const high = (word - low) / 36 ** 4
  return (
    pairs[(high / (36 * 36)) | 0]!.charAt(1) +
    pairs[high % (36 * 36)]! +
    pairs[(low / (36 * 36)) | 0]! +
    pairs[low % (36 * 36)]!
  )
}

function macOf(name: DeliveryName, { words }: HandleKey): readonly [low: number, high: number] {
  const { subscriptionId, queueId, offset, attempt, session } = name
  const above = 2 ** 32
  return sipHash(words, [
    subscriptionId | 0,
    subscriptionId / above,
    offset | 0,
    offset / above,
    session,
    queueId,
    attempt,
    0,
  ])
}
