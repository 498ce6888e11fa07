import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LedgerPlaces, ledgerTargets, testClock, testRandom, titleOf } from '../../test/support/ledger.ts'
import { HomeError } from './errors.ts'
import { keyProblem } from './key-check.ts'
import { openSecrets, SECRET_KEY_FILE, type Secrets, secretsUnder } from './secrets.ts'

const places = new LedgerPlaces()
afterEach(() => places.clean())
const world = { random: testRandom }

describe('the key file', () => {
  let home: string
  let file: string
  beforeEach(() => {
    home = places.home()
    file = path.join(home, SECRET_KEY_FILE)
  })

  it('is made once, of 32 bytes, for its owner alone', async () => {
    const sealed = (await openSecrets({ home, world })).seal('s', 'c')
    expect(statSync(file)).toMatchObject({ size: 32 })
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(readdirSync(home)).toEqual([SECRET_KEY_FILE])
    expect((await openSecrets({ home, world })).open(sealed, 'c')).toBe('s')
  })

  it('is the same for two that make it at once', async () => {
    const all = await Promise.all(Array.from({ length: 6 }, () => openSecrets({ home, world })))
    const sealed = all[0]!.seal('s', 'c')
    for (const secrets of all) expect(secrets.open(sealed, 'c')).toBe('s')
  })

  const refusals: Array<[string, () => void, RegExp]> = [
    ['others may read', () => chmodSync(file, 0o640), /mode 0640.*chmod 600/s],
    ['everyone may write', () => chmodSync(file, 0o602), /mode 0602/],
    ['is too short', () => writeFileSync(file, Buffer.alloc(31)), /31 bytes instead of 32.*Restore/s],
    ['is too long', () => writeFileSync(file, Buffer.alloc(33)), /33 bytes/],
    ['is empty', () => writeFileSync(file, ''), /0 bytes/],
  ]
  it.each(refusals)('that %s is refused, and left as it is', async (_, spoil, sentence) => {
    await openSecrets({ home, world })
    spoil()
    const before = [readFileSync(file), statSync(file).mode]
    const error = await openSecrets({ home, world }).catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(HomeError)
    expect(String(error)).toMatch(sentence)
    expect([readFileSync(file), statSync(file).mode]).toEqual(before)
  })

  it('of another home is noticed when the ledger opens', async () => {
    const place = await places.place(ledgerTargets[0]!)
    await (await place.open()).close()
    writeFileSync(path.join(place.home, SECRET_KEY_FILE), new Uint8Array(32).fill(7))
    const error = await place.open().catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(HomeError)
    expect(String(error)).toMatch(/does not belong to this database/)
  })

  for (const target of ledgerTargets) {
    const title = `can be compared without opening the ledger, also while it is open: ${titleOf(target)}`
    it.skipIf(target.missing !== null)(title, async () => {
      const place = await places.place(target)
      const look = () => keyProblem({ ...place, world: { random: testRandom, clock: testClock } })
      expect(await look()).toBeNull()
      const ledger = await place.open()
      expect(await look()).toBeNull()
      writeFileSync(path.join(place.home, SECRET_KEY_FILE), new Uint8Array(32).fill(7))
      expect(await look()).toMatch(/does not belong to this database.*Put the key file/)
      await ledger.close()
      expect(await look()).toMatch(/does not belong to this database/)
    })
  }

  it('that is gone is not made anew for a database that is there', async () => {
    const place = await places.place(ledgerTargets[0]!)
    await (await place.open()).close()
    rmSync(path.join(place.home, SECRET_KEY_FILE))
    const error = await place.open().catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(HomeError)
    expect(String(error)).toMatch(/secret\.key is gone.*Restore it/)
    expect(existsSync(path.join(place.home, SECRET_KEY_FILE))).toBe(false)
  })
})

describe('a sealed secret', () => {
  const secrets = secretsUnder(new Uint8Array(32).fill(7), testRandom)

  it('opens to what was sealed, for any text and context', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string(), (clear, context) => {
        expect(secrets.open(secrets.seal(clear, context), context)).toBe(clear)
      }),
    )
  })

  it('is another one each time, and shows nothing', () => {
    const one = secrets.seal('password', 'c')
    expect(secrets.seal('password', 'c')).not.toBe(one)
    expect(Buffer.from(one.slice(3), 'base64url').toString('latin1')).not.toContain('password')
  })

  const others: Array<[string, Secrets, string]> = [
    ['for another row', secrets, 'access_keys/b/secret'],
    ['under another key', secretsUnder(new Uint8Array(32).fill(8), testRandom), 'access_keys/a/secret'],
  ]
  it.each(others)('does not open %s', (_, by, context) => {
    const sealed = secrets.seal('s', 'access_keys/a/secret')
    expect(() => by.open(sealed, context)).toThrow(/does not open/)
  })

  it('does not open with any character changed, left out or added', () => {
    const sealed = secrets.seal('a secret', 'c')
    for (let at = 0; at < sealed.length; at++) {
      const changed = sealed[at] === 'A' ? 'B' : 'A'
      const spoiled = [
        sealed.slice(0, at) + changed + sealed.slice(at + 1),
        sealed.slice(0, at) + sealed.slice(at + 1),
        `${sealed.slice(0, at)}A${sealed.slice(at)}`,
        sealed.slice(0, at),
      ]
      for (const text of spoiled) {
        // Leaving out one of two equal characters, or adding one beside its like, may give the same text.
        if (text !== sealed) expect(() => secrets.open(text, 'c')).toThrow(/does not open/)
      }
    }
  })

  it('names no secret in its refusal', () => {
    const sealed = secrets.seal('hidden', 'c')
    expect(() => secrets.open(sealed, 'd')).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining('hidden') }),
    )
  })

  it('is refused when it is longer than a secret can be', () => {
    expect(() => secrets.seal('x'.repeat(65_537), 'c')).toThrow(/at most/)
  })
})

describe('derived keys', () => {
  const secrets = secretsUnder(new Uint8Array(32).fill(7), testRandom)
  it('are 32 bytes, the same for one purpose and different for two', () => {
    expect(secrets.deriveKey('a')).toHaveLength(32)
    expect(secrets.deriveKey('a')).toEqual(secretsUnder(new Uint8Array(32).fill(7), testRandom).deriveKey('a'))
    expect(secrets.deriveKey('a')).not.toEqual(secrets.deriveKey('b'))
  })
})
