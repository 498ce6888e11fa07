/** What is generated is committed, and fresh. */
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { expect, it } from 'vitest'

const root = path.resolve(import.meta.dirname, '../..')

it('is what the declarations give', () => {
  const check = spawnSync(process.execPath, ['scripts/generate.mjs', '--check'], { cwd: root, encoding: 'utf8' })
  expect({ status: check.status, stderr: check.stderr }).toEqual({ status: 0, stderr: '' })
})
