// Checks the licence of every package in the lock file against the list below, each with its reason. A new licence is a
// decision: read it, then add a line here or choose another package. `node scripts/licenses.mjs [LOCKFILE]`
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))

/** Licences of what users install and of what the bundle in dist/ contains. */
const shipped = {
  MIT: 'permissive: the notice stays with the code',
  ISC: 'permissive, MIT in other words',
  'BSD-3-Clause': 'permissive: the notice stays, no endorsement',
  'BSD-2-Clause': 'permissive: the notice stays',
  'Apache-2.0': "permissive, with a grant of patents; this project's own licence",
  '0BSD': 'permissive, without any condition',
  'BlueOak-1.0.0': 'permissive: the text or a link to it stays',
}

/** Further licences of development tools, which no user receives. */
const toolsOnly = {
  'MPL-2.0': 'binds changes of its own files only; lightningcss comes with Vite, which runs the tests',
  'Python-2.0': 'permissive; argparse comes with markdown-it, which comes with protobufjs-cli',
  Unlicense: 'public domain; markdown-it-anchor comes with protobufjs-cli',
}

/** Packages that name their licence in a form that is no SPDX identifier. Compared exactly, so a change is noticed. */
const spelledOtherwise = {
  '@darabonba/typescript': { found: 'Apache License 2.0', means: 'Apache-2.0' },
}

/** Whether an SPDX expression ("A", "A OR B", "(A AND B)") is satisfied by allowed identifiers. AND binds tighter. */
const satisfied = (expression, allowed) =>
  expression
    .replace(/^\((.*)\)$/, '$1')
    .split(' OR ')
    .some((part) => part.split(' AND ').every((id) => allowed(id.trim())))

const lockFile = process.argv[2] ?? path.join(root, 'package-lock.json')
const packages = Object.entries(JSON.parse(readFileSync(lockFile, 'utf8')).packages).filter(([folder]) => folder !== '')
const used = new Set()
const problems = []
for (const [folder, { version, license, dev, devOptional }] of packages) {
  const name = folder.slice(folder.lastIndexOf('node_modules/') + 'node_modules/'.length)
  const spelling = spelledOtherwise[name]
  if (spelling) used.add(name)
  const expression = spelling && spelling.found === license ? spelling.means : license
  const allowed = (id) => {
    if (id in shipped) return true
    const tool = (dev || devOptional) && id in toolsOnly
    if (tool) used.add(id)
    return Boolean(tool)
  }
  if (typeof expression !== 'string') problems.push(`${name} ${version} names no licence`)
  else if (!satisfied(expression, allowed))
    problems.push(
      `${name} ${version} is under ${expression}, which is not in the list${dev ? '' : ' for what users receive'}`,
    )
}
for (const entry of [...Object.keys(toolsOnly), ...Object.keys(spelledOtherwise)])
  if (!used.has(entry)) problems.push(`the entry for ${entry} is not needed any more: remove it`)

if (problems.length > 0) {
  console.error(`${problems.join('\n')}\nThe list and its reasons: scripts/licenses.mjs`)
  process.exit(1)
}
console.log(`licences of ${packages.length} packages are in the list`)
