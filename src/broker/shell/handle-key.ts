/**
 * The key of an instance's receipt handles: 16 random bytes in its folder, made once and durable before the first handle
 * is given out, so that a delivery can be acknowledged across a restart. A lost or damaged file is made anew: handles
 * given out before acknowledge nothing then, and their messages come again.
 */
import type { Disk } from '../../world/world.ts'
import type { HandleKey } from '../core/consuming/handle.ts'
import type { BrokerState } from '../core/state.ts'

const name = 'handle.key'
const keyBytes = 16

export async function openHandleKey(options: {
  readonly disk: Disk
  readonly directory: string
  readonly draw: () => Uint8Array
  readonly state: BrokerState
}): Promise<HandleKey> {
  const { disk, directory, draw, state } = options
  const found = await read(disk, directory)
  if (found !== null) return { words: wordsOf(found), unsigned: new Set() }
  const made = draw()
  // On a disk that takes no write the key is good until the next start; whatever else is to be written says so.
  await put(disk, directory, made).catch(() => {})
  // What clients hold now was delivered by a program that made handles without a MAC, or had another key.
  return { words: wordsOf(made), unsigned: sessionsOf(state) }
}

async function read(disk: Disk, directory: string): Promise<Uint8Array | null> {
  if (!(await disk.list(directory)).includes(name)) return null
  const file = await disk.open(`${directory}/${name}`, 'read')
  try {
    const bytes = new Uint8Array(keyBytes)
    const whole = (await file.size()) === keyBytes && (await file.read(bytes, 0)) === keyBytes
    return whole ? bytes : null
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

function sessionsOf(state: BrokerState): Set<number> {
  const sessions = new Set<number>()
  for (const { cursors } of state.subscriptions.values())
    for (const cursor of cursors) for (const { session } of cursor.leases.values()) sessions.add(session)
  return sessions
}
