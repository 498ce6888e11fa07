/**
 * Who a process is, so that a lock can name its holder and whoever finds the lock can tell whether the
 * holder still lives: also after a reboot, from another container, and when its number was given to
 * another process. Reads only.
 */
import { readFile, readlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { hostname } from 'node:os'

export interface ProcessIdentity {
  readonly pid: number
  /** Start of the process in clock ticks since boot (/proc/<pid>/stat), or null where the system does not tell. */
  readonly processStart: string | null
  /** The boot and the pid namespace in which `pid` and `processStart` mean something; null where unknown. */
  readonly boot: string | null
  readonly namespace: string | null
  readonly host: string
}

export async function describeSelf(): Promise<ProcessIdentity> {
  return {
    pid: process.pid,
    processStart: await processStart(process.pid),
    boot: await quietly(async () => (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()),
    namespace: await quietly(() => readlink('/proc/self/ns/pid')),
    host: hostname(),
  }
}

/**
 * Whether the process lives, as seen by `own`. `socket` is a path on which it listens while it lives, asked where its
 * number says nothing here; null when it has none. A process whose state cannot be determined counts as living.
 */
export async function isAlive(
  identity: ProcessIdentity,
  own: ProcessIdentity,
  socket: string | null,
): Promise<boolean> {
  if (identity.boot !== null && own.boot !== null && identity.boot !== own.boot && identity.host === own.host)
    return false
  if (identity.processStart !== null && identity.boot === own.boot && identity.namespace === own.namespace) {
    return (await processStart(identity.pid)) === identity.processStart
  }
  // Another container, or a system without /proc: ask the holder's socket, which answers or is dead.
  if (socket !== null) {
    const answer = await answers(socket)
    if (answer !== 'unknown') return answer === 'yes'
  }
  return identity.host === own.host && identity.namespace === own.namespace ? pidExists(identity.pid) : true
}

/** Whether the number means the same process here as there, so that a signal reaches that process and no other. */
export const isJudgedBy = (identity: ProcessIdentity, own: ProcessIdentity): boolean =>
  identity.host === own.host && identity.boot === own.boot && identity.namespace === own.namespace

/** Longest path the kernel takes for a socket (sun_path, 104 on BSD and macOS). */
export const maxSocketPathBytes = 103

/** Field 22 of /proc/<pid>/stat; the command's name before it may hold blanks and brackets. Null when there is no such process. */
function processStart(pid: number): Promise<string | null> {
  return quietly(async () => {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8')
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    // A zombie has ended; only its parent has not noticed.
    return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? null)
  })
}

function pidExists(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

/** A dead holder's socket refuses at once; a living one's kernel accepts even when the process is stopped. */
export function answers(file: string): Promise<'yes' | 'no' | 'unknown'> {
  if (process.platform === 'win32' || Buffer.byteLength(file) > maxSocketPathBytes) return Promise.resolve('unknown')
  return new Promise((resolve) => {
    const socket = connect(file)
    const answer = (value: 'yes' | 'no' | 'unknown'): void => {
      socket.destroy()
      resolve(value)
    }
    socket.setTimeout(2_000, () => answer('unknown'))
    socket.once('connect', () => answer('yes'))
    socket.once('error', (error) => answer(['ECONNREFUSED', 'ENOENT'].includes(codeOf(error) ?? '') ? 'no' : 'unknown'))
  })
}

async function quietly<T>(read: () => Promise<T>): Promise<T | null> {
  try {
    return await read()
  } catch {
    return null
  }
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code
