/**
 * Whoever reads "data-plane §4.3" in a comment finds that section in the repository, and so with every document that is
 * named anywhere.
 */
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { broken, type Citation, citationsOf, readDocument } from './citations.ts'
import { at, textFiles } from './files.ts'

const all = textFiles()
const markdown = new Set(all.filter((file) => file.path.endsWith('.md')).map((file) => file.path))
const documents = new Map(
  textFiles('docs/reference').map((file) => [path.basename(file.path, '.md'), readDocument(file.text)]),
)
const names = [...documents.keys()].filter((name) => name !== 'README')
/** This folder speaks of citations, and the documents cite themselves by bare sections. */
const judged = all.filter((file) => !/^test\/tidy\//.test(file.path))

describe('citations of docs/reference', () => {
  it('name sections and rows that exist', () => {
    const problems = judged.flatMap((file) => {
      const name = /^docs\/reference\/(.*)\.md$/.exec(file.path)?.[1]
      const { citations, complaints } = citationsOf(file, names, name)
      return [...complaints, ...citations.flatMap((citation) => broken(citation, documents) ?? [])]
    })
    expect(problems).toEqual([])
  })

  it('are read in every form that is used, and missed ones are found', () => {
    const file = {
      path: 'x.ts',
      text: 'a (data-plane.md §4.3), §4.5; api-semantics §2 and §3 — auth-and-wire §6.1–6.3, data-plane §0 rows 3 to 5',
    }
    const { citations, complaints } = citationsOf(file, names)
    expect(complaints).toEqual([])
    expect(citations.map(({ document, section }) => `${document} ${section}`)).toEqual([
      'data-plane 4.3',
      'data-plane 4.5',
      'api-semantics 2',
      'api-semantics 3',
      'auth-and-wire 6.1',
      'auth-and-wire 6.2',
      'auth-and-wire 6.3',
      'data-plane 0',
    ])
    expect(citations.at(-1)!.rows).toEqual([3, 4, 5])

    const missed: Citation = { where: 'x.ts:1', document: 'data-plane', section: '4.99', rows: [] }
    expect(broken(missed, documents)).toBe('x.ts:1 cites data-plane §4.99: no heading has that number')
    expect(broken({ ...missed, section: '0', rows: [20, 21] }, documents)).toContain('row 21')
    expect(broken({ ...missed, document: 'elsewhere' }, documents)).toContain('not in docs/reference')
    expect(citationsOf({ path: 'x.ts', text: 'as §4.5 says' }, names).complaints[0]).toContain('of which document')
    expect(citationsOf({ path: 'x.ts', text: 'data-plane 4.5' }, names).complaints[0]).toContain('without "§"')
  })
})

describe('documents named in code and documents', () => {
  it('exist: each NAME.md, from the root, the folder of the file, docs/ or a folder of it', () => {
    const problems = judged.flatMap((file) =>
      [...file.text.matchAll(/(?<![\w/.*<])(?:[\w.-]+\/)*[\w-]+\.md\b/g)].flatMap((match) => {
        const folders = ['', path.posix.dirname(file.path), 'docs', 'docs/reference', 'docs/decisions']
        const found = folders.some((folder) => markdown.has(path.posix.join(folder, match[0])))
        return found ? [] : [`${at(file, match.index)} names ${match[0]}, which does not exist`]
      }),
    )
    expect(problems).toEqual([])
  })
})

describe('source files named in comments and documents', () => {
  /** Each ending of each path: `broker/core/consumer-groups.ts`, `core/consumer-groups.ts`, `consumer-groups.ts`. */
  const endings = new Set(
    textFiles('src', 'test', 'bench', 'scripts', 'bin').flatMap(({ path: file }) => {
      const parts = file.split('/')
      return parts.map((_, from) => parts.slice(from).join('/'))
    }),
  )
  /** Generated files, and names that stand for any. */
  const elsewhere = /^(vitest\.config|x(\.test|\.boundary\.test)?|entry)\.ts$|\bgen(erated)?\/|\.d\.ts$/

  it('exist', () => {
    const problems = judged.flatMap((file) =>
      [...file.text.matchAll(/(?<![\w./@*<>$}-])(?:[\w-]+\/)*[\w-]+(?:\.[\w-]+)*\.ts\b(?![\w/])/g)].flatMap(
        ({ 0: name, index }) => {
          if (endings.has(name) || elsewhere.test(name)) return []
          return [`${at(file, index)} names ${name}, which does not exist`]
        },
      ),
    )
    expect(problems).toEqual([])
  })
})
