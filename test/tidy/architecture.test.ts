/** The table of imports is in order, so that reading it from the top never meets a name that comes later. */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { root, textFiles } from './files.ts'

interface Arrow {
  readonly name: string
  readonly folder: string
  readonly except?: string
  readonly pure?: true
  readonly may?: readonly string[]
}

const require = createRequire(import.meta.url)
const arrows: readonly Arrow[] = require(path.join(root, 'scripts/arrows.cjs'))
const files = textFiles('src').map((file) => file.path)

describe('the arrows', () => {
  it('run down: a row names rows above it only', () => {
    const wrong = arrows.flatMap(({ folder, may = [] }, row) =>
      may
        .filter((place) => !arrows.slice(0, row).some((above) => place.startsWith(above.folder)))
        .map((place) => `${folder} may import ${place}, which has no row above`),
    )
    expect(wrong).toEqual([])
  })

  it('name folders and files that exist, and every file of src belongs to a row', () => {
    const exists = (place: string) => existsSync(path.join(root, place.replace(/\*\.ts$/, '')))
    expect(arrows.flatMap(({ folder, may = [] }) => [folder, ...may]).filter((place) => !exists(place))).toEqual([])
    const atTheRoot = ['src/main.ts', 'src/config.ts', 'src/account.ts', 'src/server.ts']
    const homeless = files.filter(
      (file) => !atTheRoot.includes(file) && !arrows.some(({ folder }) => file.startsWith(folder)),
    )
    expect(homeless).toEqual([])
  })

  it('of pure folders are those without Node types', () => {
    const pure: { include: string[] } = require(path.join(root, 'tsconfig.pure.json'))
    for (const arrow of arrows.filter((each) => each.pure)) expect(pure.include).toContain(`${arrow.folder}**/*.ts`)
  })
})
