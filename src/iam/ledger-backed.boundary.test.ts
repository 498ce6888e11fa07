/** The key ring and the store of nonces over a real ledger, through restarts. */
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { aCause, type LedgerPlace, LedgerPlaces, ledgerTargets, titleOf } from '../../test/support/ledger.ts'
import { insertAccessKey, insertRamUser, setAccessKeyStatus } from '../ledger/access-keys.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { SimulatedClock } from '../world/simulated.ts'
import { CACHE_MS, ledgerKeyRing } from './key-ring.ts'
import { type LedgerNonces, openLedgerNonces } from './ledger-nonces.ts'
import { DATE_WINDOW_MS } from './nonces.ts'

const places = new LedgerPlaces()
afterEach(() => places.clean())
afterAll(() => places.stop())

for (const target of ledgerTargets) {
  describe.skipIf(target.missing !== null)(`on ${titleOf(target)}`, () => {
    let place: LedgerPlace
    let ledger: Ledger
    let clock: SimulatedClock
    beforeEach(async () => {
      place = await places.place(target)
      ledger = await place.open()
      clock = new SimulatedClock()
    })

    describe('the key ring', () => {
      const ring = () => ledgerKeyRing({ ledger, accountId: '100', clock })
      const insert = (key: Partial<Parameters<typeof insertAccessKey>[2]>) =>
        ledger.change(aCause, ({ tx }) =>
          insertAccessKey(tx, ledger.secrets, {
            accessKeyId: 'ak',
            secret: 'sk',
            userName: null,
            createTimeMs: 1,
            ...key,
          }),
        )

      it('finds the account, a user and a temporary key with their secrets in clear', async () => {
        await ledger.change(aCause, ({ tx }) =>
          insertRamUser(tx, { user_name: 'alice', user_id: '200', create_time_ms: 1 }),
        )
        await insert({})
        await insert({ accessKeyId: 'user-ak', userName: 'alice' })
        await insert({ accessKeyId: 'STS.x', temporary: { token: 'tok', expireTimeMs: 5 } })
        const keys = ring()
        expect(await keys.find('ak')).toEqual({
          accessKeyId: 'ak',
          secret: 'sk',
          publicKeyPem: null,
          status: 'Active',
          securityToken: null,
          expireTimeMs: null,
          principal: {
            kind: 'account',
            accountId: '100',
            id: '100',
            name: 'root',
            arn: 'acs:ram::100:root',
            accessKeyId: 'ak',
          },
        })
        expect((await keys.find('user-ak'))!.principal).toEqual({
          kind: 'user',
          accountId: '100',
          id: '200',
          name: 'alice',
          arn: 'acs:ram::100:user/alice',
          accessKeyId: 'user-ak',
        })
        expect(await keys.find('STS.x')).toMatchObject({ securityToken: 'tok', expireTimeMs: 5 })
      })

      it('knows nothing of ids that are absent or could be none', async () => {
        for (const id of ['absent', '', "'; drop table access_keys", 'a\0b', 'x'.repeat(10_000), '__proto__'])
          expect(await ring().find(id)).toBeNull()
      })

      it('sees a new key at once and a disabled one after the cache time, or at once when told', async () => {
        const keys = ring()
        expect(await keys.find('ak')).toBeNull()
        await insert({})
        expect((await keys.find('ak'))!.status).toBe('Active')
        await ledger.change(aCause, ({ tx }) => setAccessKeyStatus(tx, 'ak', 'Inactive'))
        expect((await keys.find('ak'))!.status).toBe('Active')
        await clock.advance(CACHE_MS)
        expect((await keys.find('ak'))!.status).toBe('Inactive')
        await ledger.change(aCause, ({ tx }) => setAccessKeyStatus(tx, 'ak', 'Active'))
        keys.forget('ak')
        expect((await keys.find('ak'))!.status).toBe('Active')
      })
    })

    describe('the store of nonces', () => {
      /** A request that changes nothing, from its check to its end. */
      const use = async (nonces: LedgerNonces, nonce: string, dateMs = clock.now()) => {
        const verdict = await nonces.use({ owner: 'o', accessKeyId: 'ak', nonce, dateMs, now: clock.now() })
        if (verdict.kind === 'fresh') nonces.release(verdict.use)
        return verdict.kind
      }
      const stored = async () => (await ledger.read.selectFrom('used_nonces').selectAll().execute()).length

      it('refuses a replay after a restart', async () => {
        const before = await openLedgerNonces({ ledger, clock })
        expect([await use(before, 'a'), await use(before, 'a'), await use(before, 'b')]).toEqual([
          'fresh',
          'used',
          'fresh',
        ])
        const date = clock.now()
        await before.close()
        await ledger.close()
        ledger = await place.open()
        const after = await openLedgerNonces({ ledger, clock })
        await clock.advance(DATE_WINDOW_MS)
        expect([await use(after, 'a', date), await use(after, 'c', date)]).toEqual(['used', 'fresh'])
        await after.close()
      })

      it('writes nothing on the path of a request, one batch soon after, and no timer when idle', async () => {
        const nonces = await openLedgerNonces({ ledger, clock })
        for (let i = 0; i < 1_200; i++) await use(nonces, `n${i}`)
        expect(await stored()).toBe(0)
        await clock.advance(250)
        await nonces.close()
        expect(await stored()).toBe(1_200)
        expect(clock.pending).toBe(0)
      })

      it('removes what is past its time', async () => {
        const nonces = await openLedgerNonces({ ledger, clock })
        await use(nonces, 'old')
        await nonces.close()
        await clock.advance(2 * DATE_WINDOW_MS)
        const later = await openLedgerNonces({ ledger, clock })
        await use(later, 'new')
        await later.close()
        expect(await stored()).toBe(1)
      })

      it('stores the nonce of a change with the change, once', async () => {
        const nonces = await openLedgerNonces({ ledger, clock })
        const taken = { owner: 'o', accessKeyId: 'ak', nonce: 'n', dateMs: clock.now(), now: clock.now() }
        const verdict = await nonces.use(taken)
        if (verdict.kind !== 'fresh') throw new Error(verdict.kind)
        const once = verdict.use
        const put = (key: string) =>
          ledger.change({ ...aCause, once }, ({ tx }) => tx.insertInto('meta').values({ key, value: '' }).execute())
        await expect(
          ledger.change({ ...aCause, once }, () => Promise.reject(new Error('refused by the handler'))),
        ).rejects.toThrow('refused by the handler')
        expect([await stored(), once.stored]).toEqual([0, false])
        await put('first')
        expect([await stored(), once.stored]).toEqual([1, true])
        // Another change of the same request is part of it; the same bytes in another process are not.
        await put('second')
        once.stored = false
        await expect(put('third')).rejects.toMatchObject({ code: 'repeated' })
        const kept = await ledger.read.selectFrom('meta').select('key').where('value', '=', '').execute()
        expect(kept.map(({ key }) => key).sort()).toEqual(['first', 'second'])
        once.stored = true
        nonces.release(once)
        await nonces.close()
        expect(await stored()).toBe(1)
      })

      it('removes expired nonces as fast as they come', async () => {
        const nonces = await openLedgerNonces({ ledger, clock })
        for (let i = 0; i < 12_000; i++) await use(nonces, `n${i}`)
        await nonces.close()
        await clock.advance(2 * DATE_WINDOW_MS)
        const later = await openLedgerNonces({ ledger, clock, flushDelayMs: 10 })
        for (let i = 0; i < 4; i++) {
          await use(later, `m${i}`)
          await clock.advance(10)
          await later.written()
        }
        expect(await stored()).toBeLessThan(10)
        await later.close()
      })

      it('tells of a failed write, goes on answering and tries again', async () => {
        let failing = true
        const errors: unknown[] = []
        const flaky: Ledger = {
          ...ledger,
          change: (cause, work) => (failing ? Promise.reject(new Error('disk full')) : ledger.change(cause, work)),
        }
        const nonces = await openLedgerNonces({ ledger: flaky, clock, onError: (error) => errors.push(error) })
        expect(await use(nonces, 'a')).toBe('fresh')
        await clock.advance(250)
        expect(errors).toHaveLength(1)
        expect(await use(nonces, 'a')).toBe('used')
        failing = false
        await nonces.close()
        expect(await stored()).toBe(1)
      })
    })
  })
}
