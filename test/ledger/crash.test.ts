import { readdirSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { acquireHome } from '../../src/ledger/home.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { buildChild, Child } from '../support/child.ts'
import { LedgerPlaces, ledgerTargets, titleOf } from '../support/ledger.ts'

const ROUNDS = 6
/** Acknowledged changes of a round before the kill: one, some, and enough for the write-ahead log to be emptied. */
const ACKNOWLEDGED = [1, 37, 400, 5, 1_500, 150]

const places = new LedgerPlaces()
let program: Awaited<ReturnType<typeof buildChild>>
beforeAll(async () => {
  program = await buildChild('test/support/ledger-child.ts')
})
afterAll(async () => {
  program.remove()
  await places.stop()
})

for (const target of ledgerTargets.filter(({ kind }) => kind === 'sqlite')) {
  describe.skipIf(target.missing !== null)(`a ledger on ${titleOf(target)} that is killed`, () => {
    it(`has every acknowledged change and no part of another, ${ROUNDS} times over`, async () => {
      const place = await places.place(target)
      const acknowledged = new Set<string>()
      for (let round = 0; round < ROUNDS; round++) {
        const child = new Child(program.file, ['write', place.home, target.name])
        await child.until((lines) => lines.length > ACKNOWLEDGED[round]!)
        await child.kill()
        for (const line of child.lines.slice(1)) acknowledged.add(`n${line}`)

        const held = await acquireHome(place.home)
        const ledger = await place.open()
        const stored = await numbersStored(ledger)
        expect([...acknowledged].filter((number) => !stored.has(number))).toEqual([])
        await ledger.close()
        await held.release()
      }
      expect(acknowledged.size).toBeGreaterThan(2_000)
    })

    it('opens with the other driver too', async () => {
      const place = await places.place(target)
      const child = new Child(program.file, ['write', place.home, target.name])
      await child.until((lines) => lines.length > 50)
      await child.kill()
      for (const other of ledgerTargets.filter(({ kind, missing }) => kind === 'sqlite' && missing === null)) {
        const ledger = await place.open({ sqliteDriver: other.sqliteDriver! })
        const stored = await numbersStored(ledger)
        expect(child.lines.slice(1).filter((number) => !stored.has(`n${number}`))).toEqual([])
        await ledger.close()
        expect(readdirSync(place.home)).not.toContain('gantry.db-wal')
      }
    })
  })
}

/** What is stored, after checking that the three rows of a change are there together. */
async function numbersStored(ledger: Ledger): Promise<Set<string>> {
  const [keys, tags, records] = await Promise.all([
    ledger.read.selectFrom('used_nonces').select('nonce_key as n').execute(),
    ledger.read.selectFrom('tags').select('resource_id as n').execute(),
    ledger.read.selectFrom('changes').select('resource as n').execute(),
  ])
  const stored = new Set(keys.map(({ n }) => n))
  expect(new Set(tags.map(({ n }) => n))).toEqual(stored)
  expect(new Set(records.map(({ n }) => n))).toEqual(stored)
  return stored
}
