/** Where the broker host keeps its things in the home. */
import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import path from 'node:path'

/** Unix socket paths may have 107 bytes on Linux (103 on macOS). */
const maxSocketPathBytes = 100

export interface HostPlaces {
  /** One folder per instance. */
  readonly instances: string
  readonly socket: string
  readonly log: string
  /** tls.crt and tls.key. */
  readonly certificates: string
}

export function hostPlaces(home: string): HostPlaces {
  const socket = path.join(home, 'broker.sock')
  const short = path.join(
    tmpdir(),
    `gantry-${createHash('sha256').update(home).digest('hex').slice(0, 24)}`,
    'broker.sock',
  )
  return {
    instances: path.join(home, 'instances'),
    socket: Buffer.byteLength(socket) <= maxSocketPathBytes ? socket : short,
    log: path.join(home, 'broker.log'),
    certificates: path.join(home, 'tls'),
  }
}
