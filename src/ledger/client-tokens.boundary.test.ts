import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { aCause, type LedgerPlace, LedgerPlaces, ledgerTargets, titleOf } from '../../test/support/ledger.ts'
import {
  CLIENT_TOKEN_LIFE_MS,
  claimClientToken,
  findClientToken,
  PRUNE_LIMIT,
  pruneClientTokens,
  type TokenClaim,
} from './client-tokens.ts'
import type { Ledger } from './ledger.ts'

const places = new LedgerPlaces()
afterEach(() => places.clean())
afterAll(() => places.stop())

const claim: TokenClaim = {
  operation: 'CreateInstance',
  regionId: 'cn-hangzhou',
  clientToken: 'token-1',
  fingerprint: 'a'.repeat(64),
  at: 1_770_000_000_000,
}

for (const target of ledgerTargets) {
  describe.skipIf(target.missing !== null)(`client tokens on ${titleOf(target)}`, () => {
    let place: LedgerPlace
    let ledger: Ledger
    let made: string[]
    beforeEach(async () => {
      place = await places.place(target)
      ledger = await place.open()
      made = []
    })

    /** A claim as CreateInstance makes it: what it makes is stored beside the token. */
    const create = (id: string, more: Partial<TokenClaim> = {}) =>
      ledger.change(aCause, ({ tx }) =>
        claimClientToken(tx, { ...claim, ...more }, async () => {
          await tx.insertInto('meta').values({ key: id, value: '' }).execute()
          made.push(id)
          return { instanceId: id }
        }),
      )

    it('answer the same request with the same result, also after a restart', async () => {
      expect(await create('k1')).toEqual({ kind: 'made', result: { instanceId: 'k1' } })
      expect(await create('k2')).toEqual({ kind: 'repeated', result: { instanceId: 'k1' } })
      await ledger.close()
      ledger = await place.open()
      expect(await create('k3')).toEqual({ kind: 'repeated', result: { instanceId: 'k1' } })
      expect(made).toEqual(['k1'])
    })

    it('refuse another request', async () => {
      await create('k1')
      expect(await create('k2', { fingerprint: 'b'.repeat(64) })).toEqual({ kind: 'mismatch' })
    })

    it('belong to one operation and one region', async () => {
      await create('k1')
      expect(await create('k2', { regionId: 'cn-shanghai' })).toMatchObject({ kind: 'made' })
      expect(await create('k3', { operation: 'Other' })).toMatchObject({ kind: 'made' })
    })

    it('let one of several calls in flight together make it, and answer all with its result', async () => {
      const outcomes = await Promise.all(Array.from({ length: 8 }, (_, index) => create(`k${index}`)))
      expect(outcomes.filter(({ kind }) => kind === 'made')).toHaveLength(1)
      const stored = await ledger.read.selectFrom('meta').select('key').where('key', 'like', 'k_').execute()
      expect(stored).toHaveLength(1)
      expect(new Set(outcomes.map((outcome) => 'result' in outcome && outcome.result.instanceId))).toEqual(
        new Set([stored[0]!.key]),
      )
    })

    it('stay free when the work fails', async () => {
      const failing = ledger.change(aCause, ({ tx }) =>
        claimClientToken(tx, claim, async () => {
          await tx.insertInto('meta').values({ key: 'k0', value: '' }).execute()
          throw new Error('no')
        }),
      )
      await expect(failing).rejects.toThrow('no')
      expect(await findClientToken(ledger.read, claim)).toBeNull()
      expect(await create('k1')).toMatchObject({ kind: 'made' })
    })

    it.each([
      ['one millisecond before 24 hours', CLIENT_TOKEN_LIFE_MS - 1, 'repeated', 'k1'],
      ['at 24 hours', CLIENT_TOKEN_LIFE_MS, 'made', 'k2'],
    ])('%s after the first call', async (_, ageMs, kind, instanceId) => {
      await create('k1')
      const later = { at: claim.at + ageMs, fingerprint: claim.fingerprint }
      expect(await create('k2', later)).toEqual({ kind, result: { instanceId } })
      // A token that was taken again lives for another 24 hours.
      expect(await create('k3', later)).toEqual({ kind: 'repeated', result: { instanceId } })
    })

    it('are pruned after 24 hours, a bounded number at a time', async () => {
      const row = { operation: 'X', region_id: 'r', fingerprint: '', result_json: '""', create_time_ms: claim.at }
      await ledger.change(aCause, async ({ tx }) => {
        const old = Array.from({ length: PRUNE_LIMIT + 1 }, (_, index) => ({ ...row, client_token: `t${index}` }))
        for (let start = 0; start < old.length; start += 500) {
          await tx
            .insertInto('client_tokens')
            .values(old.slice(start, start + 500))
            .execute()
        }
      })
      await create('k1', { at: claim.at + 1 })
      const prune = (at: number) => ledger.change(aCause, ({ tx }) => pruneClientTokens(tx, at))
      expect(await prune(claim.at + CLIENT_TOKEN_LIFE_MS - 1)).toBe(0)
      expect(await prune(claim.at + CLIENT_TOKEN_LIFE_MS)).toBe(PRUNE_LIMIT)
      expect(await prune(claim.at + CLIENT_TOKEN_LIFE_MS)).toBe(1)
      expect(await prune(claim.at + CLIENT_TOKEN_LIFE_MS)).toBe(0)
      expect(await create('k2', { at: claim.at + 2 })).toMatchObject({ kind: 'repeated' })
    })
  })
}
