/**
 * The folder of the broker processes' sockets. It lies in the home (0700) unless the home's path is too long for
 * sockets, and then in the machine's folder for temporary files, where anybody may make one of the same name first and
 * would be told every password. So it is looked at before it is used: ours, for us alone, and no link.
 */
import { lstatSync, mkdirSync, readdirSync } from 'node:fs'
import { EngineError } from '../../model/refusals.ts'
import { isProcessName } from '../processes/placement.ts'
import { type HostPaths, socketSuffix } from './paths.ts'

type Places = Pick<HostPaths, 'sockets' | 'brokers'>

/** Makes the folder where it is absent. Throws `EngineError` when it is another's. */
export function ownSocketFolder(places: Places): void {
  mkdirSync(places.sockets, { recursive: true, mode: 0o700 })
  refuseForeign(places)
}

/** Names of the processes that have a socket there, left over ones included; none when there is no folder. Throws as `ownSocketFolder`. */
export function namesWithSocket(places: Places): string[] {
  if (!isThere(places.sockets)) return []
  refuseForeign(places)
  return readdirSync(places.sockets)
    .filter((file) => file.endsWith(socketSuffix))
    .map((file) => file.slice(0, -socketSuffix.length))
    .filter(isProcessName)
}

/** What lies where a folder of its path should be may be a file: then it is not there either. */
function isThere(folder: string): boolean {
  try {
    return lstatSync(folder, { throwIfNoEntry: false }) !== undefined
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') return false
    throw error
  }
}

function refuseForeign({ sockets, brokers }: Places): void {
  // In the home nobody else can be.
  if (sockets === brokers) return
  const found = lstatSync(sockets)
  // Windows has neither owners nor modes of this kind.
  const own = process.getuid === undefined || (found.uid === process.getuid() && (found.mode & 0o077) === 0)
  if (found.isDirectory() && own) return
  throw new EngineError(
    'unavailable',
    `${sockets} is not a folder of this user's alone, so broker processes cannot be reached through it: remove it, or choose a home with a shorter path.`,
  )
}
