import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { cutLog } from './child-log.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gantry-child-log-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

it('a log that has grown large while its process runs is begun anew, and written on', () => {
  const file = path.join(folder, '1.log')
  const log = openSync(file, 'a', 0o600)
  writeSync(log, 'x'.repeat(100))
  cutLog(log, 100)
  expect(readFileSync(file, 'utf8')).toHaveLength(100)
  writeSync(log, 'x')
  cutLog(log, 100)
  writeSync(log, 'next\n')
  expect(readFileSync(file, 'utf8')).toBe('next\n')
  closeSync(log)
  expect(() => cutLog(log, 100)).not.toThrow()
})
