// Writes docs/cli.md from the commands that src/cli/program.ts declares; with `--check` says whether it is fresh.
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const file = path.join(root, 'docs/cli.md')

/** What the commands do is loaded when they are called, which nobody does here. */
const withoutActions = {
  name: 'without-actions',
  setup(bundler) {
    bundler.onResolve({ filter: /./ }, ({ kind }) => (kind === 'dynamic-import' ? { external: true } : undefined))
  },
}
const bundle = await build({
  stdin: {
    contents:
      "export { createProgram } from './src/cli/program.ts'; export { cliReference } from './src/cli/reference.ts'",
    resolveDir: root,
    loader: 'ts',
  },
  bundle: true,
  write: false,
  format: 'esm',
  platform: 'node',
  logLevel: 'warning',
  plugins: [withoutActions],
  banner: {
    js: `import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(${JSON.stringify(pathToFileURL(root + path.sep).href)});`,
  },
})
const { createProgram, cliReference } = await import(
  `data:text/javascript;base64,${Buffer.from(bundle.outputFiles[0].contents).toString('base64')}`
)
const fresh = cliReference(createProgram())

if (process.argv.includes('--check')) {
  const now = (() => {
    try {
      return readFileSync(file, 'utf8')
    } catch {
      return null
    }
  })()
  if (now !== fresh) {
    console.error('docs/cli.md is stale; run "npm run generate".')
    process.exit(1)
  }
} else writeFileSync(file, fresh)
