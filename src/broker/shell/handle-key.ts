/**
 * The key of an instance's receipt handles: 16 random bytes in its folder, made once and durable before the first handle
 * is given out, so that a delivery can be acknowledged across a restart. A lost or damaged file is made anew: handles
 * given out before acknowledge nothing then, and their messages come again.
 *
 * Behind the key stand the sessions, of 4 bytes each, whose handles have no MAC: those of a program that made none, found
 * when its folder was opened first. They are good until the deliveries of those sessions end.
 */
import type { Disk } from '../../world/world.ts'
import type { HandleKey } from '../core/consuming/handle.ts'
import type { BrokerState } from '../core/state.ts'

const name = 'handle.key'
const keyBytes = 16
const sessionBytes = 4
/** A session is a start of the old program that left deliveries open: each lasts at most twelve hours. */
const mostSessions = 1_024

export async function openHandleKey(options: {
  readonly disk: Disk
  readonly directory: string
  readonly draw: () => Uint8Array
  readonly state: BrokerState
  /** Whether a program that made handles without a MAC wrote the folder last. */
  readonly predatesMac: boolean
}): Promise<HandleKey> {
  const { disk, directory, draw, state, predatesMac } = options
  const found = await read(disk, directory)
  if (found !== 'absent' && found !== 'damaged') return { words: wordsOf(found), unsigned: stillLeased(found, state) }
  const sessions = found === 'absent' && predatesMac ? [...sessionsOf(state)].slice(0, mostSessions) : []
  const made = bytesOf(draw(), sessions)
  // On a disk that takes no write the key is good until the next start; whatever else is to be written says so.
  await put(disk, directory, made).catch(() => {})
  return { words: wordsOf(made), unsigned: new Set(sessions) }
}

async function read(disk: Disk, directory: string): Promise<Uint8Array | 'absent' | 'damaged'> {
  if (!(await disk.list(directory)).includes(name)) return 'absent'
  const file = await disk.open(`${directory}/${name}`, 'read')
  try {
    const size = await file.size()
    if (size < keyBytes || size > keyBytes + mostSessions * sessionBytes || size % sessionBytes !== 0) return 'damaged'
    const bytes = new Uint8Array(size)
    return (await file.read(bytes, 0)) === size ? bytes : 'damaged'
  } finally {
    await file.close()
  }
}

async function put(disk: Disk, directory: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${directory}/${name}.new`
  await disk.makeDirectory(directory)
  await disk.unlink(temporary)
  const file = await disk.open(temporary, 'create')
  try {
    await file.write([bytes], 0)
    await file.datasync()
  } finally {
    await file.close()
  }
  await disk.rename(temporary, `${directory}/${name}`)
  await disk.syncDirectory(directory)
}

function wordsOf(bytes: Uint8Array): Uint32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, keyBytes)
  return Uint32Array.from([0, 4, 8, 12], (at) => view.getUint32(at, true))
}

function bytesOf(key: Uint8Array, sessions: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(keyBytes + sessions.length * sessionBytes)
  bytes.set(key)
  const view = new DataView(bytes.buffer)
  sessions.forEach((session, i) => {
    view.setUint32(keyBytes + i * sessionBytes, session, true)
  })
  return bytes
}

function stillLeased(bytes: Uint8Array, state: BrokerState): Set<number> {
  if (bytes.length === keyBytes) return new Set()
  const leased = sessionsOf(state)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const sessions = new Set<number>()
  for (let at = keyBytes; at < bytes.length; at += sessionBytes) {
    const session = view.getUint32(at, true)
    if (leased.has(session)) sessions.add(session)
  }
  return sessions
}

function sessionsOf(state: BrokerState): Set<number> {
  const sessions = new Set<number>()
  for (const { cursors } of state.subscriptions.values())
    for (const cursor of cursors) for (const { session } of cursor.leases.values()) sessions.add(session)
  return sessions
}
