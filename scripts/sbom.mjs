// Writes the software bill of materials to stdout: CycloneDX JSON of what users receive, made by npm from the lock file.
// `npm run sbom` for the packages users install, `npm run sbom -- --all` with development tools.
// Reproducible for one lock file: SOURCE_DATE_EPOCH sets the time, the serial number is computed from the content.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const made = execFileSync('npm', ['sbom', '--sbom-format', 'cyclonedx', '--package-lock-only'], {
  cwd: root,
  encoding: 'utf8',
  maxBuffer: 64 * 1024 * 1024,
  stdio: ['ignore', 'pipe', 'inherit'],
})
const bom = JSON.parse(made)

// npm's own `--omit dev` also leaves out what both a tool and the program need, so the choice is made here.
const isTool = ({ properties }) =>
  properties.some(({ name, value }) => name === 'cdx:npm:package:development' && value === 'true')
if (!process.argv.includes('--all')) {
  bom.components = bom.components.filter((component) => !isTool(component))
  const kept = new Set([bom.metadata.component, ...bom.components].map((component) => component['bom-ref']))
  bom.dependencies = bom.dependencies
    .filter(({ ref }) => kept.has(ref))
    .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((each) => kept.has(each)) }))
}

// npm takes the folder's name for the project's, and names places of download where a lock file has them: which
// registry somebody installs from is not a fact about the software.
bom.metadata.component.name = 'gantry'
bom.metadata.component.type = 'application'
const seconds = process.env.SOURCE_DATE_EPOCH
if (seconds !== undefined) bom.metadata.timestamp = new Date(Number(seconds) * 1000).toISOString()
for (const component of [bom.metadata.component, ...bom.components])
  component.externalReferences = (component.externalReferences ?? []).filter(({ type }) => type !== 'distribution')

const content = JSON.stringify([bom.metadata.component, bom.components, bom.dependencies])
const hex = createHash('sha256').update(content).digest('hex')
bom.serialNumber = `urn:uuid:${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`

process.stdout.on('error', () => process.exit(0)) // whoever read it has read enough
process.stdout.write(`${JSON.stringify(bom, null, 2)}\n`)
