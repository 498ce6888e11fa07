// Bundles the server, the broker host and the command line into dist/, each as one file so that a
// start reads few files. Rebuilds only when something it reads is newer than what it wrote.
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const out = path.join(root, 'dist')

const newest = (directory) =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.test.ts'))
    .reduce((latest, entry) => Math.max(latest, statSync(path.join(entry.parentPath, entry.name)).mtimeMs), 0)

const inputs = Math.max(
  newest(path.join(root, 'src')),
  ...['package.json', 'package-lock.json', 'scripts/build.mjs'].map((file) => statSync(path.join(root, file)).mtimeMs),
)
const stamp = path.join(out, '.built')
let built = 0
try {
  built = statSync(stamp).mtimeMs
} catch {
  // Nothing built yet.
}
if (built > inputs && !process.argv.includes('--force')) process.exit(0)

const started = performance.now()
mkdirSync(out, { recursive: true })
const version = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')).version
await build({
  absWorkingDir: root,
  entryPoints: {
    gantry: 'src/main.ts',
    'broker-host': 'src/engines/embedded/host-main.ts',
    'pulse-thread': 'src/engines/embedded/pulse-thread.ts',
  },
  outdir: 'dist',
  outExtension: { '.js': '.mjs' },
  bundle: true,
  splitting: true,
  chunkNames: 'chunks/[name]-[hash]',
  platform: 'node',
  target: 'node20',
  format: 'esm',
  minifySyntax: true,
  sourcemap: 'linked',
  legalComments: 'none',
  logLevel: 'warning',
  define: { 'process.env.GANTRY_VERSION': JSON.stringify(version) },
  // Packages that load files of their own, or that only some commands use, stay outside the bundle.
  external: [
    'node-sqlite3-wasm',
    'pg',
    'pg-native',
    'selfsigned',
    'rocketmq-client-nodejs',
    '@alicloud/*',
    'node:sqlite',
  ],
  // Bundled CommonJS packages ask for `require`.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
})
writeFileSync(stamp, '')
console.error(`built dist/ in ${Math.round(performance.now() - started)} ms`)
