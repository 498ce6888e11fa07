/**
 * The server's log as a file in the home, beside what goes to stderr: `gantry logs` reads it. Two files of a bounded
 * size, the one before under the name `server.log.1`.
 */
import { closeSync, constants, fstatSync, openSync, renameSync, writeSync } from 'node:fs'
import path from 'node:path'

export const serverLogName = 'server.log'
const largestBytes = 16 * 1024 * 1024

export interface LogFile {
  write(line: string): void
}

/**
 * Opens with the first line, which the server writes when it holds the home, so that a second server that is refused
 * leaves nothing in it. What cannot be written is dropped: the log still goes to stderr.
 */
export function createLogFile(home: string, limitBytes = largestBytes, file = path.join(home, serverLogName)): LogFile {
  let descriptor: number | null = null
  let size = 0

  function open(): number {
    // A symbolic link in the place of the file is not followed.
    const opened = openSync(
      file,
      constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0),
      0o600,
    )
    size = fstatSync(opened).size
    return opened
  }

  return {
    write(line) {
      try {
        descriptor ??= open()
        if (size >= limitBytes) {
          shut()
          renameSync(file, `${file}.1`)
          descriptor = open()
        }
        size += writeSync(descriptor, line)
      } catch {
        // A full disk, or a home that was removed: tried again with the next line.
        shut()
      }
    },
  }

  function shut(): void {
    const open = descriptor
    descriptor = null
    try {
      if (open !== null) closeSync(open)
    } catch {
      // Already closed, or the error has no remedy.
    }
  }
}
