/** Links within the documents lead somewhere; nothing names a machine, a folder outside, or a place to download from. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { at, root, textFiles } from './files.ts'

/** The anchor a heading gets when it is shown: lower case, without punctuation, blanks as hyphens. */
const anchorOf = (heading: string): string =>
  heading
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}_ -]/gu, '')
    .replaceAll(' ', '-')

const withoutCode = (markdown: string): string =>
  markdown.replace(/^```[\s\S]*?^```/gm, (block) => block.replace(/[^\n]/g, ' '))

const anchorsOf = (markdown: string): Set<string> =>
  new Set([...withoutCode(markdown).matchAll(/^#{1,6} (.*)$/gm)].map((match) => anchorOf(match[1]!)))

describe('links in documents', () => {
  it('lead to files and headings that exist', () => {
    const problems = textFiles()
      .filter((file) => file.path.endsWith('.md'))
      .flatMap((file) =>
        [...withoutCode(file.text).matchAll(/\]\((?<target>[^)\s]+)\)/g)].flatMap((match) => {
          const target = match.groups!['target']!
          if (/^[a-z]+:/.test(target)) return []
          const [name, anchor] = target.split('#')
          const full = name === '' ? file.path : path.posix.join(path.posix.dirname(file.path), name!)
          if (!existsSync(path.join(root, full)))
            return [`${at(file, match.index)} links to ${full}, which does not exist`]
          if (anchor === undefined || !full.endsWith('.md')) return []
          return anchorsOf(readFileSync(path.join(root, full), 'utf8')).has(anchor)
            ? []
            : [`${at(file, match.index)} links to #${anchor}, which ${full} does not have`]
        }),
      )
    expect(problems).toEqual([])
  })
})

describe('documents', () => {
  it('are in the reading order: decisions in docs/README.md, references in docs/reference/README.md', () => {
    const listed = (index: string, folder: string) => {
      const text = readFileSync(path.join(root, index), 'utf8')
      return textFiles(folder)
        .map((file) => path.posix.relative(path.posix.dirname(index), file.path))
        .filter((name) => name.endsWith('.md') && name !== 'README.md' && !text.includes(`](${name})`))
    }
    expect(listed('docs/README.md', 'docs/decisions')).toEqual([])
    expect(listed('docs/reference/README.md', 'docs/reference')).toEqual([])
  })
})

/** What must not stand in any file, with the reason. */
const nowhere: { readonly text: RegExp; readonly because: string }[] = [
  { text: /\.\.\/shared\b/, because: 'a folder outside the repository' },
  {
    text: /\/tmp\/(wt|tools)\b|(?<![\w.])\/work\/|\/Users\/|(?<![\w.~])\/root\//,
    because: 'a path of one machine',
  },
]

describe('files', () => {
  it('name no folder outside the repository and no path of one machine', () => {
    const problems = textFiles()
      .filter((file) => file.path !== 'test/tidy/links.test.ts')
      .flatMap((file) =>
        nowhere.flatMap(({ text, because }) => {
          const found = text.exec(file.text)
          return found ? [`${at(file, found.index)} has ${JSON.stringify(found[0])}: ${because}`] : []
        }),
      )
    expect(problems).toEqual([])
  })

  it('pin packages without a place to download them from', () => {
    const lock = JSON.parse(readFileSync(path.join(root, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { resolved?: string }>
    }
    expect(Object.entries(lock.packages).filter(([, each]) => each.resolved !== undefined)).toEqual([])
    const { dependencies, devDependencies } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'))
    const loose = Object.entries<string>({ ...dependencies, ...devDependencies }).filter(
      ([, version]) => !/^(npm:[\w@/.-]+@)?\d+\.\d+\.\d+$/.test(version),
    )
    expect(loose).toEqual([])
  })
})
