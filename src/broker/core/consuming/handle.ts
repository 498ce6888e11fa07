/**
 * Receipt handles: opaque text to clients (data-plane §3.3), self-describing to us.
 *
 * A handle names one delivery: subscription (a group's subscription to one incarnation of a topic), queue,
 * offset, attempt, and the session of the broker that made it. The session is a random number drawn at
 * each start: a delivery whose record a power cut took back cannot be mistaken for a later one.
 * Changing the invisible time keeps the delivery, hence the handle.
 */
export interface DeliveryName {
  readonly subscriptionId: number
  readonly queueId: number
  readonly offset: number
  readonly attempt: number
  readonly session: number
}

const PREFIX = 'g1'
const SHAPE = /^g1\.([0-9a-z]{1,11})\.([0-9a-z]{1,4})\.([0-9a-z]{1,11})\.([0-9a-z]{1,4})\.([0-9a-z]{1,7})$/

export function formatHandle(name: DeliveryName): string {
  return `${PREFIX}.${name.subscriptionId.toString(36)}.${name.queueId.toString(36)}.${name.offset.toString(36)}.${name.attempt.toString(36)}.${name.session.toString(36)}`
}

/** Null for anything `formatHandle` did not make. */
export function parseHandle(handle: string): DeliveryName | null {
  const parts = SHAPE.exec(handle)
  if (!parts) return null
  const name = {
    subscriptionId: Number.parseInt(parts[1]!, 36),
    queueId: Number.parseInt(parts[2]!, 36),
    offset: Number.parseInt(parts[3]!, 36),
    attempt: Number.parseInt(parts[4]!, 36),
    session: Number.parseInt(parts[5]!, 36),
  }
  return Number.isSafeInteger(name.subscriptionId) && Number.isSafeInteger(name.offset) ? name : null
}
