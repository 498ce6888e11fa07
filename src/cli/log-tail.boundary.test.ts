import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createLogFile } from './log-file.ts'
import { Tail } from './log-tail.ts'

let folder: string
let file: string
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gantry-log-'))
  file = path.join(folder, 'server.log')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

describe('a tail', () => {
  const messages = (tail: Tail): string[] => tail.lines().map(({ message }) => message)

  it('answers whole lines, each once', () => {
    writeFileSync(file, 'one\ntw')
    const tail = new Tail({ name: 'server', file })
    expect(messages(tail)).toEqual(['one'])
    appendFileSync(file, 'o\nthree\n')
    expect(messages(tail)).toEqual(['two', 'three'])
    expect(messages(tail)).toEqual([])
  })

  it('keeps characters whole that are written in two parts', () => {
    const bytes = Buffer.from('订单\n')
    writeFileSync(file, bytes.subarray(0, 4))
    const tail = new Tail({ name: 'server', file })
    expect(messages(tail)).toEqual([])
    appendFileSync(file, bytes.subarray(4))
    expect(messages(tail)).toEqual(['订单'])
  })

  it('loses no line when the file is renamed and another takes its place', () => {
    writeFileSync(file, 'one\n')
    const tail = new Tail({ name: 'server', file })
    expect(messages(tail)).toEqual(['one'])
    appendFileSync(file, 'two\n')
    renameSync(file, `${file}.1`)
    writeFileSync(file, 'three\n')
    expect(messages(tail)).toEqual(['two', 'three'])
  })

  it('begins again when the file is emptied, or vanishes and comes back', () => {
    writeFileSync(file, 'one\ntwo\n')
    const tail = new Tail({ name: 'server', file })
    messages(tail)
    truncateSync(file)
    appendFileSync(file, 'new\n')
    expect(messages(tail)).toEqual(['new'])
    rmSync(file)
    expect(messages(tail)).toEqual([])
    writeFileSync(file, 'again\n')
    expect(messages(tail)).toEqual(['again'])
  })
})

describe('the log file', () => {
  it('is for its owner alone, and is renamed before it grows over its limit', () => {
    const log = createLogFile(folder, 20)
    for (const line of ['one, ten b\n', 'two, ten b\n', 'three\n']) log.write(line)
    expect(readFileSync(`${file}.1`, 'utf8')).toBe('one, ten b\ntwo, ten b\n')
    expect(readFileSync(file, 'utf8')).toBe('three\n')
    expect(statSync(file).mode & 0o777).toBe(0o600)
  })

  it('goes on in the file that is there', () => {
    createLogFile(folder).write('one\n')
    createLogFile(folder).write('two\n')
    expect(readFileSync(file, 'utf8')).toBe('one\ntwo\n')
  })

  it('keeps no file open that it could not write', () => {
    const full = '/dev/full'
    if (!existsSync(full)) return
    // Only its own: other tests of this process open files meanwhile.
    const descriptors = (): number =>
      readdirSync('/proc/self/fd').filter((name) => {
        try {
          return readlinkSync(`/proc/self/fd/${name}`) === full
        } catch {
          return false
        }
      }).length
    const log = createLogFile(folder, 20, full)
    for (let n = 0; n < 50; n++) log.write('one\n')
    expect(descriptors()).toBe(0)
  })

  it('follows no link and fails for nobody', () => {
    const elsewhere = path.join(folder, 'elsewhere')
    writeFileSync(elsewhere, 'theirs')
    symlinkSync(elsewhere, file)
    createLogFile(folder).write('one\n')
    createLogFile(path.join(folder, 'no-home')).write('one\n')
    expect(readFileSync(elsewhere, 'utf8')).toBe('theirs')
  })
})
