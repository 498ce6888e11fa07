/**
 * How large the log of a child process becomes. Its starter opens it and the child inherits it, so that each cuts it where it
 * can: the starter before a start, the child from time to time while it runs. It is opened for appending: what is written after a
 * cut stands at the beginning.
 */
import { fstatSync, ftruncateSync } from 'node:fs'

const mostBytes = 16 * 1024 * 1024

/** Begins the log behind `descriptor` anew when it is larger than `limit` bytes; nothing where that is no file. Must not throw. */
export function cutLog(descriptor: number, limit: number = mostBytes): void {
  try {
    const log = fstatSync(descriptor)
    if (log.isFile() && log.size > limit) ftruncateSync(descriptor, 0)
  } catch {
    // Closed, or on a disk that refuses: the log grows on, and nothing else depends on it.
  }
}
