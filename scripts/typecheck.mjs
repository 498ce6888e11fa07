// Type-checks each climate under its own tsconfig: pure code sees neither Node nor DOM types.
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import path from 'node:path'

const require = createRequire(import.meta.url)
const tsc = path.join(path.dirname(require.resolve('typescript7/package.json')), 'bin', 'tsc')
let failed = false
for (const project of ['tsconfig.pure.json', 'tsconfig.node.json']) {
  const started = performance.now()
  const result = spawnSync(process.execPath, [tsc, '-p', project], { stdio: 'inherit' })
  failed ||= result.status !== 0
  console.log(`${project}: ${result.status === 0 ? 'ok' : 'errors'} (${Math.round(performance.now() - started)} ms)`)
}
process.exit(failed ? 1 : 0)
