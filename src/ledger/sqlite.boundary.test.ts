/** What is particular to SQLite: its access paths, its settings, and how changes share commits. */
import { type Compilable, sql } from 'kysely'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { aCause, LedgerPlaces, ledgerTargets, testRandom, titleOf } from '../../test/support/ledger.ts'
import { SimulatedClock } from '../world/simulated.ts'
import { listChanges } from './changes.ts'
import type { Ledger, Reader } from './ledger.ts'
import { sqliteDriverName } from './sqlite-binding.ts'
import { MAX_WAITING_CHANGES, MAX_WAITING_READS } from './store.ts'

const places = new LedgerPlaces()
afterEach(() => places.clean())
afterAll(() => places.stop())

describe('the SQLite driver', () => {
  it.each([
    ['20.15.0', 'node-sqlite3-wasm'],
    ['22.15.9', 'node-sqlite3-wasm'],
    ['22.16.0', 'node:sqlite'],
    ['24.0.0', 'node:sqlite'],
  ])('of Node %s is %s', (version, driver) => {
    expect(sqliteDriverName(version)).toBe(driver)
  })
})

for (const target of ledgerTargets.filter(({ kind }) => kind === 'sqlite')) {
  describe.skipIf(target.missing !== null)(`SQLite through ${titleOf(target)}`, () => {
    let ledger: Ledger
    beforeEach(async () => {
      // A clock that stands still: a batch ends when it is full, however slow the machine is.
      ledger = await (await places.place(target)).open({ world: { clock: new SimulatedClock(), random: testRandom } })
    })

    const paths: Array<[string, RegExp, (read: Reader) => Compilable]> = [
      [
        'a page of instances',
        /^SEARCH instances USING INDEX instances_by_region \(region_id=\? AND wanted=\?\)$/,
        (read) =>
          read
            .selectFrom('instances')
            .selectAll()
            .where('region_id', '=', 'r')
            .where('wanted', '=', 'present')
            .orderBy('create_time_ms', 'desc')
            .orderBy('instance_id', 'desc')
            .limit(100),
      ],
      [
        'the number of instances whose name holds a word',
        /^SEARCH instances USING COVERING INDEX instances_by_region/,
        (read) =>
          read
            .selectFrom('instances')
            .select((of) => of.fn.countAll().as('count'))
            .where('region_id', '=', 'r')
            .where('wanted', '=', 'present')
            .where(sql`lower(instance_name)`, 'like', '%x%'),
      ],
      [
        'the work list of the loop',
        /^SCAN instances USING INDEX instances_pending$/,
        (read) => read.selectFrom('instances').selectAll().whereRef('applied_revision', '<', 'revision'),
      ],
      [
        'instances that expire next',
        /^SEARCH instances USING INDEX instances_by_expiry/,
        (read) => read.selectFrom('instances').selectAll().where('expire_time_ms', '<=', 1).orderBy('expire_time_ms'),
      ],
      [
        'topics of an instance by name',
        /^SEARCH topics USING PRIMARY KEY \(instance_id=\? AND topic_name=\?\)$/,
        (read) => read.selectFrom('topics').selectAll().where('instance_id', '=', 'i').where('topic_name', '=', 't'),
      ],
      [
        'a page of topics',
        /^SEARCH topics USING INDEX topics_by_time \(instance_id=\? AND wanted=\?\)$/,
        (read) =>
          read
            .selectFrom('topics')
            .selectAll()
            .where('instance_id', '=', 'i')
            .where('wanted', '=', 'present')
            .orderBy('create_time_ms', 'desc')
            .orderBy('topic_name', 'desc'),
      ],
      [
        'the number of groups of an instance',
        /^SEARCH consumer_groups USING COVERING INDEX consumer_groups_by_time \(instance_id=\? AND wanted=\?\)$/,
        (read) =>
          read
            .selectFrom('consumer_groups')
            .select((of) => of.fn.countAll().as('count'))
            .where('instance_id', '=', 'i')
            .where('wanted', '=', 'present'),
      ],
      [
        'tags of a resource',
        /^SEARCH tags USING PRIMARY KEY \(region_id=\? AND resource_type=\? AND resource_id=\?\)$/,
        (read) =>
          read
            .selectFrom('tags')
            .selectAll()
            .where('region_id', '=', 'r')
            .where('resource_type', '=', 't')
            .where('resource_id', '=', 'i'),
      ],
      [
        'resources with a tag',
        /^SEARCH tags USING COVERING INDEX tags_by_value \(region_id=\? AND resource_type=\? AND tag_key=\? AND tag_value=\?\)$/,
        (read) =>
          read
            .selectFrom('tags')
            .select('resource_id')
            .where('region_id', '=', 'r')
            .where('resource_type', '=', 't')
            .where('tag_key', '=', 'k')
            .where('tag_value', '=', 'v'),
      ],
      [
        'client tokens by age',
        /^SEARCH client_tokens USING COVERING INDEX client_tokens_by_time/,
        (read) => read.selectFrom('client_tokens').select('client_token').where('create_time_ms', '<=', 1),
      ],
      [
        'nonces by expiry',
        /^SEARCH used_nonces USING COVERING INDEX used_nonces_by_expiry/,
        (read) => read.selectFrom('used_nonces').select('nonce_key').where('expire_time_ms', '<=', 1),
      ],
      [
        'changes of a resource',
        /^SEARCH changes USING INDEX changes_by_resource \(resource=\?\)$/,
        (read) =>
          read.selectFrom('changes').selectAll().where('resource', '=', 'x').orderBy('change_id', 'desc').limit(10),
      ],
    ]
    it.each(paths)('finds %s through an index, without sorting', async (_, plan, query) => {
      const { sql: text, parameters } = query(ledger.read).compile()
      const literal = text.replaceAll('?', () => 'null')
      expect(parameters.length).toBe(text.split('?').length - 1)
      const rows = await sql<{ detail: string }>`explain query plan ${sql.raw(literal)}`.execute(ledger.read)
      expect(rows.rows.map((row) => row.detail)).toEqual([expect.stringMatching(plan)])
    })

    it('syncs every commit and checks foreign keys, after a reopening too', async () => {
      const setting = async (name: string) =>
        Object.values((await sql<object>`pragma ${sql.raw(name)}`.execute(ledger.read)).rows[0]!)[0]
      expect([await setting('journal_mode'), await setting('synchronous'), await setting('foreign_keys')]).toEqual([
        'wal',
        2,
        1,
      ])
    })

    const put = (key: string) =>
      ledger.change(aCause, ({ tx }) => tx.insertInto('meta').values({ key, value: '' }).execute())

    it('lets changes in flight together share commits, and reads in between see whole ones', async () => {
      let commits = 0
      const seen: number[] = []
      const writing = Promise.all(Array.from({ length: 200 }, (_, index) => put(`k${index}`)))
      let done = false
      void writing.then(() => {
        done = true
      })
      while (!done) {
        await new Promise<void>((resolve) => setImmediate(resolve))
        const { count } = await ledger.read
          .selectFrom('meta')
          .select((of) => of.fn.countAll<number>().as('count'))
          .where('key', 'like', 'k%')
          .executeTakeFirstOrThrow()
        if (count !== seen.at(-1)) commits++
        seen.push(count)
      }
      await writing
      expect(seen.at(-1)).toBe(200)
      expect(commits).toBeLessThan(10)
    })

    it('refuses a change when too many wait, and a read likewise', async () => {
      let open = (): void => {}
      const gate = new Promise<void>((resolve) => {
        open = resolve
      })
      const first = ledger.change(aCause, () => gate)
      await new Promise<void>((resolve) => setImmediate(resolve))
      const waiting = Array.from({ length: MAX_WAITING_CHANGES }, async () => ledger.change(aCause, async () => 1))
      await expect(put('k')).rejects.toMatchObject({ code: 'busy' })
      const reads = Array.from({ length: MAX_WAITING_READS }, () => listChanges(ledger.read, { limit: 1 }))
      await expect(listChanges(ledger.read, { limit: 1 })).rejects.toMatchObject({ code: 'busy' })
      open()
      await Promise.all([first, ...waiting, ...reads])
      await put('k')
    })
  })
}
