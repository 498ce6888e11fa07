/** Where the embedded engine and its broker processes keep their things in the home. */
import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import path from 'node:path'

/** Unix socket paths may have 107 bytes on Linux (103 on macOS); a process's name needs some of them. */
const maxSocketFolderBytes = 64

export interface HostPaths {
  /** One folder per instance. */
  readonly instances: string
  /** One lock per open instance and per running process (folder-lock.ts). */
  readonly locks: string
  /** One socket per broker process. */
  readonly sockets: string
  /** One log per broker process, and `processes.json`. */
  readonly brokers: string
  /** Which instance belongs to which process, and what became of the processes (placement-file.ts). */
  readonly processes: string
  /** tls.crt and tls.key. */
  readonly certificates: string
}

export function hostPaths(home: string): HostPaths {
  const brokers = path.join(home, 'brokers')
  const short = path.join(tmpdir(), `gantry-${createHash('sha256').update(home).digest('hex').slice(0, 24)}`)
  return {
    instances: path.join(home, 'instances'),
    locks: path.join(brokers, 'locks'),
    sockets: Buffer.byteLength(brokers) <= maxSocketFolderBytes ? brokers : short,
    brokers,
    processes: path.join(brokers, 'processes.json'),
    certificates: path.join(home, 'tls'),
  }
}

/** `name` is a number of the pool, or the id of the instance that has the process to itself. */
export function processPaths(home: string, name: string): ProcessPaths {
  const { sockets, brokers } = hostPaths(home)
  return {
    socket: path.join(sockets, `${name}${socketSuffix}`),
    pulse: path.join(sockets, `${name}.pulse`),
    log: path.join(brokers, `${name}.log`),
  }
}

export interface ProcessPaths {
  readonly socket: string
  /** Socket of the thread that says whether the process lives (pulse.ts). */
  readonly pulse: string
  readonly log: string
}

/** Held by the process of that name while it lives. */
export const nameLockOf = (home: string, name: string): string => path.join(hostPaths(home).locks, `process ${name}`)

export const socketSuffix = '.sock'
