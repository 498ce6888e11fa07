import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { aCause, LedgerPlaces, ledgerTargets, testRandom, titleOf } from '../../test/support/ledger.ts'
import {
  accessKeysOf,
  deleteAccessKey,
  deleteRamUser,
  ensureAccountKey,
  findAccessKey,
  insertAccessKey,
  insertRamUser,
  openSecret,
  openToken,
  pruneTemporaryKeys,
  setAccessKeyStatus,
} from './access-keys.ts'
import { listChanges, pruneChanges } from './changes.ts'
import { isForeignKeyViolation } from './errors.ts'
import type { ChangeContext, Ledger } from './ledger.ts'
import { insertNonces, type NonceRow, pruneNonces } from './nonces.ts'

const places = new LedgerPlaces()
afterEach(() => places.clean())
afterAll(() => places.stop())

for (const target of ledgerTargets) {
  describe.skipIf(target.missing !== null)(`on ${titleOf(target)}`, () => {
    let ledger: Ledger
    beforeEach(async () => {
      ledger = await (await places.place(target)).open()
    })
    const change = <T>(work: (context: ChangeContext) => Promise<T>): Promise<T> => ledger.change(aCause, work)

    describe('access keys', () => {
      const ensure = (wanted: { accessKeyId: string; secret: string } | null = null, at = 1) =>
        change(({ tx }) => ensureAccountKey(tx, ledger.secrets, { random: testRandom, at, wanted }))

      it('are made at random for the account, once', async () => {
        const first = await ensure()
        expect(first).toEqual({
          accessKeyId: expect.stringMatching(/^LTAI[A-Za-z0-9]{20}$/),
          secret: expect.stringMatching(/^[A-Za-z0-9]{30}$/),
          made: true,
        })
        expect(await ensure(null, 2)).toEqual({ ...first, made: false })
      })

      it('of the settings exist afterwards with their secret, and replace what was there', async () => {
        const wanted = { accessKeyId: 'mine', secret: 'one' }
        expect(await ensure(wanted)).toEqual({ ...wanted, made: true })
        expect(await ensure(wanted)).toEqual({ ...wanted, made: false })
        const changed = { accessKeyId: 'mine', secret: 'two' }
        expect(await ensure(changed)).toEqual({ ...changed, made: true })
        expect(await change(({ tx }) => setAccessKeyStatus(tx, 'mine', 'Inactive'))).toBe(true)
        expect(await ensure(changed)).toEqual({ ...changed, made: true })
        expect(await findAccessKey(ledger.read, 'mine')).toMatchObject({ status: 'Active', owner_type: 'account' })
      })

      it('of the settings do not take over a key of a user', async () => {
        await change(async ({ tx }) => {
          await insertRamUser(tx, { user_name: 'alice', user_id: '1', create_time_ms: 1 })
          await insertAccessKey(tx, ledger.secrets, {
            accessKeyId: 'hers',
            secret: 's',
            userName: 'alice',
            createTimeMs: 1,
          })
        })
        await expect(ensure({ accessKeyId: 'hers', secret: 't' })).rejects.toThrow(/not a permanent key of the account/)
      })

      it('hold their secrets sealed', async () => {
        await change(({ tx }) =>
          insertAccessKey(tx, ledger.secrets, {
            accessKeyId: 'STS.x',
            secret: 'clear secret',
            userName: null,
            temporary: { token: 'clear token', expireTimeMs: 10 },
            createTimeMs: 1,
          }),
        )
        const row = (await findAccessKey(ledger.read, 'STS.x'))!
        expect(JSON.stringify(row)).not.toContain('clear')
        expect(openSecret(ledger.secrets, row)).toBe('clear secret')
        expect(openToken(ledger.secrets, row)).toBe('clear token')
        expect(() => openSecret(ledger.secrets, { ...row, access_key_id: 'other' })).toThrow()
      })

      it('that are temporary are not listed, and are pruned when their time is over', async () => {
        await ensure()
        for (const [accessKeyId, expireTimeMs] of [
          ['STS.1', 10],
          ['STS.2', 11],
        ] as const) {
          await change(({ tx }) =>
            insertAccessKey(tx, ledger.secrets, {
              accessKeyId,
              secret: 's',
              userName: null,
              temporary: { token: 't', expireTimeMs },
              createTimeMs: 1,
            }),
          )
        }
        expect(await accessKeysOf(ledger.read, null)).toHaveLength(1)
        expect(await change(({ tx }) => pruneTemporaryKeys(tx, 10))).toBe(1)
        expect(await findAccessKey(ledger.read, 'STS.1')).toBeUndefined()
        expect(await findAccessKey(ledger.read, 'STS.2')).toBeDefined()
      })

      it('keep their user from being removed', async () => {
        await change(async ({ tx }) => {
          await insertRamUser(tx, { user_name: 'alice', user_id: '1', create_time_ms: 1 })
          await insertAccessKey(tx, ledger.secrets, {
            accessKeyId: 'k',
            secret: 's',
            userName: 'alice',
            createTimeMs: 1,
          })
        })
        const removal = change(({ tx }) => deleteRamUser(tx, 'alice'))
        expect(isForeignKeyViolation(await removal.catch((error: unknown) => error))).toBe(true)
        expect(await change(({ tx }) => deleteAccessKey(tx, 'k'))).toBe(true)
        expect(await change(({ tx }) => deleteRamUser(tx, 'alice'))).toBe(true)
      })
    })

    describe('nonces', () => {
      const nonces = (count: number, expire = 100): NonceRow[] =>
        Array.from({ length: count }, (_, index) => ({
          nonce_key: `key\n${String(index).padStart(4, '0')}`,
          expire_time_ms: expire + (index % 3),
        }))

      it('are stored in batches, and those known already are named', async () => {
        const [first, second, ...rest] = nonces(1_201)
        expect(await change(({ tx }) => insertNonces(tx, [first!, second!]))).toEqual(new Set())
        expect(await change(({ tx }) => insertNonces(tx, [first!, ...rest, second!]))).toEqual(
          new Set([first!.nonce_key, second!.nonce_key]),
        )
        // Twice in one batch is a replay as well.
        const twice = { nonce_key: 'twice', expire_time_ms: 5 }
        expect(await change(({ tx }) => insertNonces(tx, [twice, twice]))).toEqual(new Set(['twice']))
      })

      it('are pruned when their time is over', async () => {
        await change(({ tx }) => insertNonces(tx, nonces(9)))
        expect(await change(({ tx }) => pruneNonces(tx, 100))).toBe(3)
        expect(await ledger.read.selectFrom('used_nonces').selectAll().execute()).toHaveLength(6)
      })
    })

    describe('changes', () => {
      beforeEach(() =>
        change(async ({ record }) => {
          for (let index = 0; index < 25; index++) await record(index % 2 === 0 ? 'even' : 'odd', { index })
        }),
      )
      const indices = (found: Array<{ detail_json: string }>) => found.map((row) => JSON.parse(row.detail_json).index)

      it('are listed newest first, a page at a time', async () => {
        const first = await listChanges(ledger.read, { limit: 3 })
        expect(indices(first)).toEqual([24, 23, 22])
        const second = await listChanges(ledger.read, { limit: 3, before: first.at(-1)!.change_id })
        expect(indices(second)).toEqual([21, 20, 19])
        expect(indices(await listChanges(ledger.read, { limit: 2, resource: 'odd' }))).toEqual([23, 21])
      })

      it('are pruned beyond the newest, which stay', async () => {
        expect(await change(({ tx }) => pruneChanges(tx, 25))).toBe(0)
        expect(await change(({ tx }) => pruneChanges(tx, 10))).toBe(15)
        expect(indices(await listChanges(ledger.read, { limit: 100 }))).toEqual([
          24, 23, 22, 21, 20, 19, 18, 17, 16, 15,
        ])
      })

      it('keep their numbers rising after the newest was pruned', async () => {
        const [newest] = await listChanges(ledger.read, { limit: 1 })
        await change(({ tx }) => pruneChanges(tx, 0))
        await change(({ record }) => record('x', {}))
        const [next] = await listChanges(ledger.read, { limit: 1 })
        expect(next!.change_id).toBeGreaterThan(newest!.change_id)
      })
    })
  })
}
