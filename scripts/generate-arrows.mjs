// Writes the table of imports in ARCHITECTURE.md from scripts/arrows.cjs; with `--check` says whether it is fresh.
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const arrows = createRequire(import.meta.url)('./arrows.cjs')
const file = path.join(root, 'ARCHITECTURE.md')

const short = (place) => `\`${place.replace(/^src\//, '').replace(/\/$/, '')}\``
const imports = ({ may }) => {
  if (may === undefined) return 'anything'
  return may.length === 0 ? 'nothing else of ours' : may.map(short).join(', ')
}
const row = (arrow) => {
  const name = `\`${arrow.folder}\`${arrow.pure ? ' (pure)' : ''}`
  const why = arrow.because && arrow.may.length > 0 ? ` (${arrow.because})` : ''
  return `| ${name} | ${arrow.is} | ${imports(arrow)}${why} |`
}
const table = ['| folder | what it is | may import |', '| --- | --- | --- |', ...arrows.map(row)].join('\n')

const text = readFileSync(file, 'utf8')
const block = /(<!-- arrows: generated from scripts\/arrows\.cjs -->\n)[\s\S]*?<!-- \/arrows -->/
if (!block.test(text)) throw new Error('ARCHITECTURE.md has no place for the table of imports')
const fresh = text.replace(block, (_, begin) => `${begin}${table}\n<!-- /arrows -->`)
if (process.argv.includes('--check')) {
  if (fresh !== text) {
    console.error('The table of imports in ARCHITECTURE.md is not that of scripts/arrows.cjs: npm run generate')
    process.exit(1)
  }
} else if (fresh !== text) writeFileSync(file, fresh)
