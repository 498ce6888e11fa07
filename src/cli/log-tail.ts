/**
 * The end of a log file, and what is written to it from then on. The file is looked at by name: one that was renamed is
 * read to its end first, one that was replaced or emptied is read from its beginning.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { StringDecoder } from 'node:string_decoder'
import { type LogLine, readLine } from './log-lines.ts'

export interface Source {
  readonly name: string
  readonly file: string
}

/** How much of the end of a file is looked at. */
const lookBackBytes = 16 * 1024 * 1024
const largestChunkBytes = 1024 * 1024

/** A file that grows: answers the whole lines that came since it was asked last. */
export class Tail {
  readonly #source: Source
  #decoder = new StringDecoder('utf8')
  #inode: number | null = null
  #at = 0
  #rest = ''

  constructor(source: Source) {
    this.#source = source
  }

  lines(): LogLine[] {
    let descriptor: number
    try {
      descriptor = openSync(this.#source.file, 'r')
    } catch {
      // Gone, for now: what comes in its place is another file.
      this.#inode = null
      return []
    }
    try {
      return this.#read(descriptor)
    } finally {
      closeSync(descriptor)
    }
  }

  #read(descriptor: number): LogLine[] {
    const { ino, size } = fstatSync(descriptor)
    if (this.#inode === null && this.#at === 0) this.#at = Math.max(0, size - lookBackBytes)
    else if (this.#inode !== ino || size < this.#at) {
      const left = this.#inode === null ? [] : this.#restOfRenamed(this.#inode)
      this.#begin(ino)
      return [...left, ...this.#linesTo(descriptor, size)]
    }
    // The read began inside a line; the incomplete line is skipped.
    const cut = this.#inode === null && this.#at > 0
    this.#inode = ino
    const lines = this.#linesTo(descriptor, size)
    return cut ? lines.slice(1) : lines
  }

  #begin(inode: number): void {
    this.#inode = inode
    this.#at = 0
    this.#rest = ''
    this.#decoder = new StringDecoder('utf8')
  }

  /** What was written between the last look and the renaming. */
  #restOfRenamed(inode: number): LogLine[] {
    let descriptor: number
    try {
      descriptor = openSync(`${this.#source.file}.1`, 'r')
    } catch {
      return []
    }
    try {
      const { ino, size } = fstatSync(descriptor)
      return ino === inode ? this.#linesTo(descriptor, size) : []
    } finally {
      closeSync(descriptor)
    }
  }

  #linesTo(descriptor: number, size: number): LogLine[] {
    let text = this.#rest
    const chunk = Buffer.alloc(Math.min(largestChunkBytes, Math.max(0, size - this.#at)))
    while (this.#at < size) {
      const read = readSync(descriptor, chunk, 0, Math.min(chunk.length, size - this.#at), this.#at)
      if (read === 0) break
      this.#at += read
      text += this.#decoder.write(chunk.subarray(0, read))
    }
    const lines = text.split('\n')
    // A line without its end is still being written; one over the size limit is dropped.
    const last = lines.pop() ?? ''
    this.#rest = last.length > largestChunkBytes ? '' : last
    return lines.filter((line) => line !== '').map((line) => readLine(this.#source.name, line))
  }
}
