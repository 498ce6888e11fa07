/** What is particular to PostgreSQL: several processes, broken connections, and servers that cannot be used. */
import pg from 'pg'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { aCause, type LedgerPlace, LedgerPlaces, ledgerTargets, titleOf } from '../../test/support/ledger.ts'
import { HomeError } from './errors.ts'
import type { Ledger } from './ledger.ts'
import { migrations } from './migrations.ts'

const places = new LedgerPlaces()
afterEach(() => places.clean())
afterAll(() => places.stop())

const target = ledgerTargets.find(({ kind }) => kind === 'postgres')!
describe.skipIf(target.missing !== null)(`a ledger on ${titleOf(target)}`, () => {
  let place: LedgerPlace
  beforeEach(async () => {
    place = await places.place(target)
  })

  it('is opened by several at once, of whom one brings the schema up to date', async () => {
    const migrated: unknown[] = []
    const log = {
      info: (fields: object) => void migrated.push((fields as { migrations: number }).migrations),
      warn: () => {},
    }
    await Promise.all(Array.from({ length: 4 }, () => place.open({ log })))
    expect(migrated.toSorted()).toEqual([0, 0, 0, migrations.length])
  })

  it('lets several processes check and then write as if each were alone', async () => {
    const ledgers = [await place.open(), await place.open(), await place.open()]
    await ledgers[0]!.change(aCause, ({ tx }) => tx.insertInto('meta').values({ key: 'k', value: '0' }).execute())
    const raise = (ledger: Ledger) =>
      ledger.change(aCause, async ({ tx }) => {
        const { value } = await tx.selectFrom('meta').select('value').where('key', '=', 'k').executeTakeFirstOrThrow()
        await tx
          .updateTable('meta')
          .set({ value: String(Number(value) + 1) })
          .where('key', '=', 'k')
          .execute()
      })
    await Promise.all(Array.from({ length: 30 }, (_, index) => raise(ledgers[index % 3]!)))
    const found = await ledgers[0]!.read.selectFrom('meta').select('value').where('key', '=', 'k').execute()
    expect(found).toEqual([{ value: '30' }])
  })

  it('answers reads while a change is under way', async () => {
    const ledger = await place.open()
    let finish = (): void => {}
    const gate = new Promise<void>((resolve) => {
      finish = resolve
    })
    const change = ledger.change(aCause, () => gate)
    expect(await ledger.read.selectFrom('topics').selectAll().execute()).toEqual([])
    finish()
    await change
  })

  it('survives the loss of its connections: the change in flight is refused, the next one works', async () => {
    const ledger = await place.open()
    const change = ledger.change(aCause, async ({ tx }) => {
      await tx.insertInto('meta').values({ key: 'k1', value: '' }).execute()
      await cutConnections()
      await tx.insertInto('meta').values({ key: 'k2', value: '' }).execute()
    })
    await expect(change).rejects.toMatchObject({ name: 'LedgerError', code: 'storage' })
    await ledger.change(aCause, ({ tx }) => tx.insertInto('meta').values({ key: 'k3', value: '' }).execute())
    await cutConnections()
    // A pooled connection may only be found broken when it is used; the read after that has a new one.
    await ledger.read
      .selectFrom('meta')
      .selectAll()
      .execute()
      .catch(() => {})
    const found = await ledger.read.selectFrom('meta').select('key').where('key', 'like', 'k_').execute()
    expect(found).toEqual([{ key: 'k3' }])
  })

  it('is refused on a server that does not wait for its disk', async () => {
    const forgetful = `${place.databaseUrl}${encodeURIComponent(' -c synchronous_commit=off')}`
    await expect(place.open({ databaseUrl: forgetful })).rejects.toThrow(/synchronous_commit = off/)
  })

  const cutConnections = async (): Promise<void> => {
    const client = new pg.Client({ connectionString: place.databaseUrl! })
    await client.connect()
    await client.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'gantry' and pid <> pg_backend_pid()",
    )
    await client.end()
  }
})

describe('a PostgreSQL that cannot be used', () => {
  const home = places.home()
  const open = (databaseUrl: string) => places.place(ledgerTargets[0]!).then((place) => place.open({ databaseUrl }))
  it.each([
    ['refuses connections', 'postgres://gantry:pa55word@127.0.0.1:1/gantry', /127\.0\.0\.1:1\/gantry.*server runs/s],
    ['has no such socket', `postgres://gantry:pa55word@/gantry?host=${home}`, /gantry cannot be used.*server runs/s],
    ['has no such host', 'postgres://gantry:pa55word@gantry.invalid/gantry', /gantry\.invalid\/gantry.*server runs/s],
    ['is something else', 'mysql://gantry:pa55word@127.0.0.1/gantry', /is not a URL like postgres:/],
    ['is no URL', 'pa55word', /is not a URL like postgres:/],
  ])('because it %s is named with what to do, and without its password', async (_, url, sentence) => {
    const error = await open(url).catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(HomeError)
    expect((error as Error).message).toMatch(sentence)
    expect(String((error as Error).stack)).not.toContain('pa55word')
  })
})
