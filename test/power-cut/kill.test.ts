/** kill -9 of a process that writes: what it acknowledged is there, in order, whole; round after round in one folder. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { batchesIn, buildWriter, writeUntil } from './judge.ts'

const folder = mkdtempSync(join(tmpdir(), 'gantry-kill-'))
let writer: string
beforeAll(async () => {
  writer = await buildWriter(folder)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

it('a process killed while it writes loses nothing it acknowledged', async () => {
  const directory = join(folder, 'log')
  let first = 0
  for (const count of [1, 40, 333, 901, 150]) {
    const { all: acknowledged } = await writeUntil({ writer, directory, first, count }, (pid) =>
      process.kill(pid, 'SIGKILL'),
    )
    const found = await batchesIn(directory)
    expect(found.at(-1), `after ${count}`).toBeGreaterThanOrEqual(Math.max(...acknowledged))
    const there = new Set(found)
    const lost = acknowledged.filter((number) => number >= found[0]! && !there.has(number))
    expect(lost, `after ${count}`).toEqual([])
    first = found.at(-1)! + 1
  }
})
