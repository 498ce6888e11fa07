/**
 * Receipt handles: opaque text to clients (data-plane.md §3.3), self-describing to us.
 *
 * A handle names one delivery: subscription (a group's subscription to one incarnation of a topic), queue, offset,
 * attempt, and the session of the broker that made it. The session is a random number drawn at each start: a delivery
 * whose record a power cut took back cannot be mistaken for a later one. Changing the invisible time keeps the delivery,
 * hence the handle.
 *
 * Its last part is a MAC over the rest with a key of the instance, so that nobody acknowledges what was not delivered to
 * the group: whoever has one handle can make no other. It is not bound to the client: as with Apache, any member of the
 * group may acknowledge with it, also one that got it from another.
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
  /** Sessions of a program whose handles had no MAC: theirs are taken without one. Empty, but once after that program. */
  readonly unsigned: ReadonlySet<number>
}

/** Of a state that nobody opened from a disk. */
export const noHandleKey: HandleKey = { words: new Uint32Array(4), unsigned: new Set() }

const PREFIX = 'g2'
const NAME = '([0-9a-z]{1,11})\\.([0-9a-z]{1,4})\\.([0-9a-z]{1,11})\\.([0-9a-z]{1,4})\\.([0-9a-z]{1,7})'
const SHAPE = new RegExp(`^(?:g1\\.${NAME}|${PREFIX}\\.${NAME}\\.([0-9a-z]{1,7})\\.([0-9a-z]{1,7}))$`)

export function formatHandle(name: DeliveryName, key: HandleKey): string {
  const [low, high] = macOf(name, key)
  return `${formatName(name)}.${low.toString(36)}.${high.toString(36)}`
}

/** The handle without its MAC: what a trace may show of it, for nothing can be acknowledged with it. */
export function formatName({ subscriptionId, queueId, offset, attempt, session }: DeliveryName): string {
  return `${PREFIX}.${subscriptionId.toString(36)}.${queueId.toString(36)}.${offset.toString(36)}.${attempt.toString(36)}.${session.toString(36)}`
}

/** Null for anything `formatHandle` did not make with this key. */
export function parseHandle(handle: string, key: HandleKey): DeliveryName | null {
  const parts = SHAPE.exec(handle)
  if (!parts) return null
  const signed = parts[6] !== undefined
  const at = signed ? 6 : 1
  const name = {
    subscriptionId: Number.parseInt(parts[at]!, 36),
    queueId: Number.parseInt(parts[at + 1]!, 36),
    offset: Number.parseInt(parts[at + 2]!, 36),
    attempt: Number.parseInt(parts[at + 3]!, 36),
    session: Number.parseInt(parts[at + 4]!, 36),
  }
  if (!Number.isSafeInteger(name.subscriptionId) || !Number.isSafeInteger(name.offset)) return null
  if (!signed) return key.unsigned.has(name.session) ? name : null
  const [low, high] = macOf(name, key)
  // Both are compared whatever the first says: how far a guess was right takes no longer to say.
  const wrong = (low ^ Number.parseInt(parts[11]!, 36)) | (high ^ Number.parseInt(parts[12]!, 36))
  return wrong === 0 ? name : null
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
