/** The key ring and the store of nonces over a real ledger, through restarts. */
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { aCause, type LedgerPlace, LedgerPlaces, ledgerTargets, titleOf } from '../../test/support/ledger.ts'
import { insertAccessKey, insertRamUser, setAccessKeyStatus } from '../ledger/access-keys.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { SimulatedClock } from '../world/simulated.ts'
import { CACHE_MS, ledgerKeyRing } from './key-ring.ts'
import { openLedgerNonces } from './ledger-nonces.ts'
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
      const use = (nonces: Awaited<ReturnType<typeof openLedgerNonces>>, nonce: string, dateMs = clock.now()) =>
        nonces.use({ accessKeyId: 'ak', nonce, dateMs, now: clock.now() })
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
