import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  aCause,
  type LedgerPlace,
  LedgerPlaces,
  ledgerTargets,
  testRandom,
  titleOf,
} from '../../test/support/ledger.ts'
import { SimulatedClock } from '../world/simulated.ts'
import { HomeError, isForeignKeyViolation, isUniqueViolation, type LedgerErrorCode } from './errors.ts'
import type { Ledger, Writer } from './ledger.ts'
import { type Migration, migrations } from './migrations.ts'
import type { NewRow, Row, Schema } from './schema.ts'
import { CHANGE_LIMIT_MS } from './store.ts'

const places = new LedgerPlaces()
afterEach(() => places.clean())
afterAll(() => places.stop())

for (const target of ledgerTargets) {
  describe.skipIf(target.missing !== null)(`the ledger on ${titleOf(target)}`, () => {
    let place: LedgerPlace
    let ledger: Ledger
    beforeEach(async () => {
      place = await places.place(target)
      ledger = await place.open()
    })

    const put = (tx: Writer, key: string, value = '') => tx.insertInto('meta').values({ key, value }).execute()
    const keys = async (prefix = 'k'): Promise<string[]> =>
      (
        await ledger.read.selectFrom('meta').select('key').where('key', 'like', `${prefix}%`).orderBy('key').execute()
      ).map((row) => row.key)

    describe('stores', () => {
      for (const table of Object.keys(rows) as Array<keyof typeof rows>) {
        it(`every column of ${table} and reads it back exactly`, async () => {
          await ledger.change(aCause, async ({ tx }) => {
            for (const parent of parents[table] ?? [])
              await tx
                .insertInto(parent)
                .values(rows[parent] as never)
                .execute()
            await tx
              .insertInto(table)
              .values(rows[table] as never)
              .execute()
          })
          const reopened = await reopen()
          const found = await reopened.read.selectFrom(table).selectAll().execute()
          expect(found.map(withoutIds).filter((row) => !isOwn(row))).toEqual([rows[table]])
        })
      }

      const values: Array<[string, unknown, LedgerErrorCode]> = [
        ['a NUL', 'a\0b', 'value'],
        ['half a surrogate pair', 'a\ud800', 'value'],
        ['a Date', new Date(0), 'value'],
        ['an object', { a: 1 }, 'value'],
        ['a fraction', 1.5, 'value'],
        ['a number beyond 2^53', 2 ** 53, 'value'],
        ['a bigint beyond 2^53', 2n ** 60n, 'value'],
        ['not a number', Number.NaN, 'value'],
        ['undefined in a condition', Symbol('no'), 'value'],
      ]
      it.each(values)('not %s, and nothing of that change', async (_, value, code) => {
        const change = ledger.change(aCause, async ({ tx }) => {
          await put(tx, 'k1')
          await put(tx, 'k2', value as string)
        })
        await expect(change).rejects.toMatchObject({ code })
        expect(await keys()).toEqual([])
      })

      it('text in the order of its bytes', async () => {
        const texts = ['k', 'kA', 'ka', 'kZ', 'kz', 'k-', 'k_', 'kä', 'k中', 'k😀', 'k ']
        await ledger.change(aCause, async ({ tx }) => {
          for (const text of texts) await put(tx, text)
        })
        expect(await keys()).toEqual([...texts].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))))
      })
    })

    describe('a change', () => {
      it('is there with its cause after a restart', async () => {
        await ledger.change(aCause, async ({ tx, record }) => {
          await put(tx, 'k1')
          await record('instance/rmq-cn-1', { wanted: 'present' })
        })
        ledger = await reopen()
        expect(await keys()).toEqual(['k1'])
        expect((await ledger.read.selectFrom('changes').selectAll().execute()).map(withoutIds)).toEqual([
          {
            at_ms: aCause.at,
            request_id: aCause.requestId,
            principal: aCause.principal,
            action: aCause.action,
            resource: 'instance/rmq-cn-1',
            detail_json: '{"wanted":"present"}',
          },
        ])
      })

      it('that throws leaves nothing, not even its record', async () => {
        const change = ledger.change(aCause, async ({ tx, record }) => {
          await put(tx, 'k1')
          await record('x', {})
          throw new Error('no')
        })
        await expect(change).rejects.toThrow('no')
        expect(await keys()).toEqual([])
        expect(await ledger.read.selectFrom('changes').select('change_id').execute()).toEqual([])
      })

      it('answers what its work answered, and refuses with what its work threw', async () => {
        expect(await ledger.change(aCause, async () => 42)).toBe(42)
        const refusal = new RangeError('refused')
        await expect(ledger.change(aCause, () => Promise.reject(refusal))).rejects.toBe(refusal)
        await expect(
          ledger.change(aCause, () => {
            throw refusal
          }),
        ).rejects.toBe(refusal)
      })

      it('fails as a whole when a statement failed, even if its work swallowed that', async () => {
        const change = ledger.change(aCause, async ({ tx }) => {
          await put(tx, 'k1')
          await put(tx, 'k1').catch(() => {})
        })
        const error = await change.catch((caught: unknown) => caught)
        expect(isUniqueViolation(error)).toBe(true)
        expect(await keys()).toEqual([])
        // The statement that failed is used again without its old error.
        await ledger.change(aCause, ({ tx }) => put(tx, 'k1'))
        expect(await keys()).toEqual(['k1'])
      })

      it('takes no statement after one that failed', async () => {
        const change = ledger.change(aCause, async ({ tx }) => {
          await put(tx, 'k1')
          await put(tx, 'k1').catch(() => {})
          await expect(put(tx, 'k2')).rejects.toMatchObject({ code: 'misuse' })
        })
        expect(isUniqueViolation(await change.catch((caught: unknown) => caught))).toBe(true)
      })

      it('that returns while a query of it is under way is refused', async () => {
        const change = ledger.change(aCause, async ({ tx }) => {
          void put(tx, 'k1').catch(() => {})
        })
        // A synchronous driver may have finished it by then; if not, nothing may be half done.
        const outcome = await change.then(
          () => 'stored',
          (error) => error.code,
        )
        expect(await keys()).toEqual(outcome === 'stored' ? ['k1'] : [])
      })

      it('is out of reach once it is over', async () => {
        let leaked: Writer | undefined
        await ledger.change(aCause, async ({ tx }) => {
          leaked = tx
        })
        await expect(put(leaked!, 'k1')).rejects.toMatchObject({ code: 'misuse' })
        expect(await keys()).toEqual([])
      })

      it('refuses reads beside its transaction and changes inside it, where they would wait for each other', async () => {
        await ledger.change(aCause, async ({ tx }) => {
          await put(tx, 'k1')
          await expect(keys()).rejects.toMatchObject({ code: 'misuse' })
          await expect(ledger.change(aCause, async () => 1)).rejects.toMatchObject({ code: 'misuse' })
          expect(() => tx.transaction()).toThrow()
        })
        expect(await keys()).toEqual(['k1'])
      })

      it('is not seen by reads until it is stored', async () => {
        const gate = withResolvers()
        const started = withResolvers()
        const change = ledger.change(aCause, async ({ tx }) => {
          await put(tx, 'k1')
          started.resolve()
          await gate.promise
          throw new Error('undone')
        })
        const undone = expect(change).rejects.toThrow('undone')
        await started.promise
        const reading = keys()
        await turn()
        gate.resolve()
        expect(await reading).toEqual([])
        await undone
      })

      it('may check and then write as if it were alone', async () => {
        await ledger.change(aCause, ({ tx }) => put(tx, 'k', '0'))
        const raise = () =>
          ledger.change(aCause, async ({ tx }) => {
            const { value } = await tx
              .selectFrom('meta')
              .select('value')
              .where('key', '=', 'k')
              .executeTakeFirstOrThrow()
            await tx
              .updateTable('meta')
              .set({ value: String(Number(value) + 1) })
              .where('key', '=', 'k')
              .execute()
          })
        await Promise.all(Array.from({ length: 12 }, raise))
        expect(await ledger.read.selectFrom('meta').select('value').where('key', '=', 'k').execute()).toEqual([
          { value: '12' },
        ])
      })

      it('among others in flight fails alone', async () => {
        const outcomes = await Promise.allSettled(
          Array.from({ length: 20 }, (_, index) =>
            ledger.change(aCause, async ({ tx }) => {
              await put(tx, `k${String(index).padStart(2, '0')}`)
              if (index % 5 === 3) throw new Error('refused')
            }),
          ),
        )
        const stored = outcomes.flatMap((outcome, index) => (outcome.status === 'fulfilled' ? [index] : []))
        expect(stored).toEqual([0, 1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 16, 17, 19])
        expect(await keys()).toEqual(stored.map((index) => `k${String(index).padStart(2, '0')}`))
      })

      it('of a closed ledger is refused, and what was in flight is stored', async () => {
        const change = ledger.change(aCause, ({ tx }) => put(tx, 'k1'))
        await turn()
        await ledger.close()
        await change
        await expect(ledger.change(aCause, async () => 1)).rejects.toMatchObject({ code: 'closed' })
        await expect(keys()).rejects.toMatchObject({ code: 'closed' })
        ledger = await place.open()
        expect(await keys()).toEqual(['k1'])
      })

      it('that hangs is rolled back when its time is over, and the next one goes on', async () => {
        const clock = new SimulatedClock()
        await ledger.close()
        ledger = await place.open({ world: { clock, random: testRandom } })
        const started = withResolvers()
        const hanging = ledger.change(aCause, async ({ tx }) => {
          await put(tx, 'k1')
          started.resolve()
          await new Promise(() => {})
        })
        const refused = expect(hanging).rejects.toMatchObject({ code: 'timeout' })
        await started.promise
        await clock.advance(CHANGE_LIMIT_MS)
        await refused
        await ledger.change(aCause, ({ tx }) => put(tx, 'k2'))
        expect(await keys()).toEqual(['k2'])
      })
    })

    it('refuses to write through `read`', async () => {
      await expect(ledger.read.insertInto('meta').values({ key: 'k', value: '' }).execute()).rejects.toMatchObject({
        code: 'misuse',
      })
      await expect(ledger.read.transaction().execute(async () => 1)).rejects.toMatchObject({ code: 'misuse' })
      expect(await keys()).toEqual([])
    })

    it('removes topics, groups and accounts with their instance, and takes none without', async () => {
      const children = ['topics', 'consumer_groups', 'instance_accounts'] as const
      for (const table of children) {
        const orphan = ledger.change(aCause, ({ tx }) =>
          tx
            .insertInto(table)
            .values(rows[table] as never)
            .execute(),
        )
        expect(isForeignKeyViolation(await orphan.catch((error: unknown) => error))).toBe(true)
      }
      await ledger.change(aCause, async ({ tx }) => {
        for (const table of ['instances', ...children] as const)
          await tx
            .insertInto(table)
            .values(rows[table] as never)
            .execute()
      })
      await ledger.change(aCause, ({ tx }) => tx.deleteFrom('instances').execute())
      for (const table of children) expect(await ledger.read.selectFrom(table).selectAll().execute()).toEqual([])
    })

    describe('migrations', () => {
      it('run once', async () => {
        const seen: object[] = []
        await ledger.close()
        await place.open({ log: { info: (fields) => void seen.push(fields), warn: () => {} } })
        expect(seen).toMatchObject([{ migrations: 0 }])
      })

      it('that fail leave the database as it was, and run when they are mended', async () => {
        await ledger.close()
        const next = (last: string): Migration[] => [
          ...migrations,
          {
            version: migrations.length + 1,
            name: 'two more tables',
            statements: () => ['create table one (id text primary key)', last],
          },
        ]
        await expect(place.open({ migrations: next('create table one (id text)') })).rejects.toThrow(/one/)
        const mended = await place.open({ migrations: next('create table two (id text primary key)') })
        expect((await mended.read.introspection.getTables()).map((table) => table.name)).toEqual(
          expect.arrayContaining(['one', 'two', 'instances']),
        )
      })

      it('of a newer program are refused with a sentence', async () => {
        await ledger.close()
        const newer: Migration = { version: migrations.length + 1, name: 'tomorrow', statements: () => [] }
        await (await place.open({ migrations: [...migrations, newer] })).close()
        const error = await place.open().catch((caught: unknown) => caught)
        expect(error).toBeInstanceOf(HomeError)
        expect(String(error)).toMatch(/written by a newer Gantry/)
      })

      it('of another branch are refused with a sentence', async () => {
        await ledger.close()
        const other = migrations.map((migration) => ({ ...migration, name: `other ${migration.name}` }))
        await expect(place.open({ migrations: other })).rejects.toThrow(/another branch/)
      })

      it('are not run in a database that holds something else', async () => {
        const foreign = await places.place(target)
        await foreign.tamper('create table customers (id text)')
        const error = await foreign.open().catch((caught: unknown) => caught)
        expect(error).toBeInstanceOf(HomeError)
        expect(String(error)).toMatch(/not Gantry's \(customers/)
      })
    })

    async function reopen(): Promise<Ledger> {
      await ledger.close()
      ledger = await place.open()
      return ledger
    }
  })
}

/** One row of every table, each column with a value that is easily spoiled on the way. */
const rows = {
  meta: { key: 'kéy "quoted"', value: `emoji 😀, quote ', backslash \\, newline \n, 中文` },
  ram_users: { user_name: 'alice', user_id: '223344556677889900', create_time_ms: 1_770_000_000_001 },
  access_keys: {
    access_key_id: 'LTAI5tAAAAAAAAAAAAAAAAAA',
    secret_sealed: 'v1.x',
    public_key_pem: '-----BEGIN PUBLIC KEY-----\n…\n',
    owner_type: 'user',
    user_name: 'alice',
    status: 'Active',
    token_sealed: null,
    expire_time_ms: Number.MAX_SAFE_INTEGER,
    create_time_ms: 0,
  },
  instances: {
    instance_id: 'rmq-cn-7e22ody1234',
    region_id: 'cn-hangzhou',
    instance_name: '名字',
    remark: null,
    service_code: 'rmq',
    series_code: 'standard',
    sub_series_code: 'single_node',
    payment_type: 'PayAsYouGo',
    commodity_code: 'ons_rmqpost_public_intl',
    resource_group_id: 'rg-acfmx',
    product_info_json: '{"msgProcessSpec":"rmq.s2.2xlarge"}',
    network_info_json: '{}',
    acl_info_json: '{}',
    ip_whitelist_json: '["10.0.0.0/8"]',
    billing_json: '{}',
    maintain_time: '02:00-06:00',
    create_time_ms: 1_770_000_000_001,
    update_time_ms: 1_770_000_000_002,
    start_time_ms: 1_770_000_000_003,
    expire_time_ms: 4_925_673_600_000,
    release_time_ms: 4_925_673_600_001,
    wanted: 'present',
    generation: 1,
    revision: 2,
    vpc_port: 7801,
    internet_port: null,
    applied_generation: 0,
    applied_revision: 0,
    failure: 'The port is taken.',
  },
  topics: {
    instance_id: 'rmq-cn-7e22ody1234',
    topic_name: 'orders%_-',
    message_type: 'NORMAL',
    remark: '',
    max_send_tps: null,
    lite_topic_expiration: 30,
    create_time_ms: 1,
    update_time_ms: 2,
    wanted: 'absent',
    generation: 3,
    applied_generation: 4,
  },
  consumer_groups: {
    instance_id: 'rmq-cn-7e22ody1234',
    consumer_group_id: 'GID_a',
    delivery_order_type: 'Concurrently',
    consume_retry_policy_json: '{"retryPolicy":"DefaultRetryPolicy"}',
    max_receive_tps: 10,
    remark: null,
    message_model: null,
    topic_name: null,
    exclusive: 1,
    made_by_use: 1,
    create_time_ms: 1,
    update_time_ms: 2,
    wanted: 'present',
    generation: 3,
    applied_generation: 4,
  },
  resting_ports: { port: 7801, since_ms: 1_700_000_000_000 },
  offset_resets: {
    instance_id: 'rmq-cn-7e22ody1234',
    consumer_group_id: 'GID_a',
    topic_name: 't',
    reset_id: 'r',
    to_ms: null,
    create_time_ms: 1,
  },
  instance_accounts: {
    instance_id: 'rmq-cn-7e22ody1234',
    username: 'u',
    password_sealed: 'v1.y',
    account_type: 'DEFAULT',
    account_status: 'ENABLE',
    remark: null,
    create_time_ms: 1,
    update_time_ms: 2,
  },
  instance_grants: {
    instance_id: 'rmq-cn-7e22ody1234',
    username: 'u',
    resource_type: 'Topic',
    resource_name: 'orders',
    actions_json: '["Pub|Sub"]',
    decision: 'Deny',
    ip_whitelists_json: null,
    create_time_ms: 1,
    update_time_ms: 2,
  },
  tags: {
    region_id: 'cn-hangzhou',
    resource_type: 'instance',
    resource_id: 'rmq-cn-7e22ody1234',
    tag_key: 'k',
    tag_value: '',
    create_time_ms: 1,
  },
  client_tokens: {
    operation: 'CreateInstance',
    region_id: 'cn-hangzhou',
    client_token: 't',
    fingerprint: 'f',
    result_json: '"r"',
    create_time_ms: 1,
  },
  used_nonces: { nonce_key: 'LTAI\nabc', expire_time_ms: 1 },
  changes: { at_ms: 1, request_id: 'r', principal: 'system', action: 'a', resource: 'x', detail_json: '{}' },
} satisfies { [T in keyof Schema]: NewRow<T> }

const parents: { readonly [T in keyof Schema]?: ReadonlyArray<keyof Schema> } = {
  access_keys: ['ram_users'],
  topics: ['instances'],
  consumer_groups: ['instances'],
  offset_resets: ['instances'],
  instance_accounts: ['instances'],
  instance_grants: ['instances', 'instance_accounts'],
}

function withoutIds(row: object): object {
  const { change_id: _, ...rest } = row as Partial<Row<'changes'>>
  return rest
}

/** Rows the ledger writes for itself. */
function isOwn(row: object): boolean {
  return ['opened', 'secret key check'].includes((row as Partial<Row<'meta'>>).key ?? '')
}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => {}
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
