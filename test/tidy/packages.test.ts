/** What users receive besides our own code: its licences, and the bill of materials that names it. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { root } from './files.ts'

const script = (name: string) => path.join(root, 'scripts', name)
let folder: string
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gantry-tidy-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('licences', () => {
  const judge = (packages: Record<string, object>) => {
    const lock = JSON.parse(readFileSync(path.join(root, 'package-lock.json'), 'utf8'))
    const file = path.join(folder, 'lock.json')
    writeFileSync(file, JSON.stringify({ ...lock, packages: { ...lock.packages, ...packages } }))
    const { status, stderr } = spawnSync(process.execPath, [script('licenses.mjs'), file], { encoding: 'utf8' })
    return { status, stderr }
  }
  const added = (license?: string, more: object = {}) =>
    judge({ 'node_modules/new': { version: '1.0.0', license, ...more } })

  it('of all packages are in the list', () => {
    expect(judge({})).toEqual({ status: 0, stderr: '' })
  })

  it('that are not in the list are refused by name', () => {
    expect(added('GPL-3.0-only').stderr).toContain('new 1.0.0 is under GPL-3.0-only, which is not in the list for what')
    expect(added('GPL-3.0-only', { dev: true }).status).toBe(1)
    expect(added('MPL-2.0').status).toBe(1)
    expect(added('(MIT AND GPL-3.0-only)').status).toBe(1)
    expect(added().stderr).toContain('new 1.0.0 names no licence')
  })

  it('are taken where one of several, or all together, are allowed; tools have a list of their own', () => {
    expect(added('MIT OR GPL-3.0-only').status).toBe(0)
    expect(added('(MIT AND ISC)').status).toBe(0)
    expect(added('MPL-2.0', { dev: true }).status).toBe(0)
  })
})

describe('the bill of materials', () => {
  const bom = (...more: string[]) => {
    const text = execFileSync(process.execPath, [script('sbom.mjs'), ...more], {
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
      env: { ...process.env, SOURCE_DATE_EPOCH: '1700000000' },
    })
    return { text, value: JSON.parse(text) }
  }

  let first: ReturnType<typeof bom>
  beforeAll(() => {
    first = bom()
  })

  it('names what users install, with versions and digests, and no place to download it from', () => {
    const { text, value } = first
    const lock = JSON.parse(readFileSync(path.join(root, 'package-lock.json'), 'utf8')).packages
    const { dependencies } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'))
    const named = new Map<string, string>(value.components.map((each: any) => [each.name, each.version]))
    expect({ format: value.bomFormat, name: value.metadata.component.name }).toEqual({
      format: 'CycloneDX',
      name: 'gantry',
    })
    for (const [name, version] of Object.entries(dependencies)) expect([name, named.get(name)]).toEqual([name, version])
    expect(new Set(value.components.map((each: any) => `${each.name}@${each.version}`))).toEqual(
      new Set(
        Object.entries<any>(lock)
          .filter(([place, { dev }]) => place !== '' && !dev)
          .map(([place, { version }]) => `${place.split('node_modules/').at(-1)}@${version}`),
      ),
    )
    expect(value.components.every((each: any) => each.hashes?.length > 0)).toBe(true)
    expect(text).not.toMatch(/"distribution"|\.tgz|registry/)
  })

  it('is the same for the same lock file', () => {
    expect(bom().text).toBe(first.text)
  })
})
