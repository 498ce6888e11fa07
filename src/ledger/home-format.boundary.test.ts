import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { recordFormats, refuseNewerHome } from './home-format.ts'

let home: string
const file = (): string => path.join(home, 'format.json')
const said = (): unknown => JSON.parse(readFileSync(file(), 'utf8'))

beforeEach(() => {
  home = mkdtempSync(path.join(realpathSync(tmpdir()), 'gantry-format-'))
})
afterEach(() => rmSync(home, { recursive: true }))

describe('the formats of a home', () => {
  it('are written once, raised by a newer program, and not written again for nothing', async () => {
    await recordFormats(home, '1.0.0', { ledger: 5 })
    expect(said()).toEqual({ program: '1.0.0', formats: { ledger: 5 } })
    await recordFormats(home, '1.0.1', { ledger: 5 })
    expect(said()).toMatchObject({ program: '1.0.0' })
    await recordFormats(home, '1.1.0', { ledger: 6, index: 1 })
    expect(said()).toEqual({ program: '1.1.0', formats: { ledger: 6, index: 1 } })
    expect(readdirSync(home)).toEqual(['format.json'])
  })

  it.each([
    ['a newer format', { ledger: 7 }, 'its ledger has format 7, and this program knows formats up to 6.'],
    [
      'a kind of format it does not know',
      { ledger: 6, 'key index': 1 },
      'its key index has format 1, and this program does not know it.',
    ],
  ])('refuse an older program by %s, and stay as they are', async (_what, formats, sentence) => {
    const text = JSON.stringify({ program: '2.0.0', formats })
    writeFileSync(file(), text)
    expect(() => refuseNewerHome(home, { ledger: 6 })).toThrow(sentence)
    expect(() => refuseNewerHome(home, { ledger: 6 })).toThrow('written by a newer Gantry (2.0.0)')
    await expect(recordFormats(home, '1.0.0', { ledger: 6 })).rejects.toThrow(sentence)
    expect(readFileSync(file(), 'utf8')).toBe(text)
    expect(readdirSync(home)).toEqual(['format.json'])
  })

  it.each(['', '{', '[]', '{"program":"1","formats":{"ledger":"five"}}', '{"program":1,"formats":{}}'])(
    'are not guessed from a file that says %j',
    (text) => {
      writeFileSync(file(), text)
      expect(() => refuseNewerHome(home, { ledger: 6 })).toThrow(/does not say which formats the home has; restore it/)
    },
  )

  it('say nothing of a home that is not there, or has no such file', () => {
    refuseNewerHome(home, { ledger: 1 })
    refuseNewerHome(path.join(home, 'absent'), { ledger: 1 })
  })
})
