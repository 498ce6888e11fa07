/**
 * Counts what a program does: one for each call of a function of ours and each round of a loop, in code that was bundled and
 * given a counter in all these places. The count of the same input is the same on every machine, under any load.
 *
 * What the platform does inside one call (sorting, copying bytes, checksums) counts as nothing.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { parseAst } from 'vite'

const root = path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url))))

interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [key: string]: unknown
}

/** Imports what `source` exports, all of it counted but the folders of `uncounted`; `workDone()` is added to the exports. */
export async function importCounted(source: string, uncounted: readonly string[]): Promise<Record<string, unknown>> {
  const folder = path.join(root, 'node_modules', '.cache', 'gantry-counted', String(process.pid))
  mkdirSync(folder, { recursive: true })
  try {
    const outfile = path.join(folder, 'counted.mjs')
    await build({
      stdin: { contents: source, resolveDir: root, loader: 'ts' },
      ...{ outfile, bundle: true, platform: 'node', format: 'esm', packages: 'external', logLevel: 'error' },
    })
    writeFileSync(outfile, withCounter(readFileSync(outfile, 'utf8'), uncounted))
    return (await import(pathToFileURL(outfile).href)) as Record<string, unknown>
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function withCounter(code: string, uncounted: readonly string[]): string {
  const inserts: Array<{ readonly at: number; readonly text: string }> = []
  const isCounted = countedIn(code, uncounted)
  const insert = (at: number, text: string) => void inserts.push({ at, text })
  walk(parseAst(code) as unknown as Node, (node) => {
    if (!isCounted(node.start)) return
    const body = node.body as Node | undefined
    if (!body || !counted.has(node.type)) return
    if (body.type === 'BlockStatement') insert(body.start + 1, '__work++;')
    else if (node.type === 'ArrowFunctionExpression') {
      insert(body.start, '(__work++, ')
      insert(body.end, ')')
    } else {
      insert(body.start, '{__work++; ')
      insert(body.end, '}')
    }
  })
  inserts.sort((a, b) => a.at - b.at)
  let text = 'let __work = 0;\nexport const workDone = () => __work;\n'
  let from = 0
  for (const { at, text: inserted } of inserts) {
    text += code.slice(from, at) + inserted
    from = at
  }
  return text + code.slice(from)
}

const counted = new Set([
  ...['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression'],
  ...['ForStatement', 'ForOfStatement', 'ForInStatement', 'WhileStatement', 'DoWhileStatement'],
])

/** Each file's part of the bundle begins with a comment that names it. */
function countedIn(code: string, uncounted: readonly string[]): (at: number) => boolean {
  const parts = [...code.matchAll(/^\/\/ ((?:src|node_modules)\/\S+)$/gm)]
  let part = 0
  return (at) => {
    if ((parts[part]?.index ?? 0) > at) part = 0
    while (part + 1 < parts.length && parts[part + 1]!.index <= at) part++
    const name = parts[part]?.[1] ?? ''
    return !uncounted.some((folder) => name.startsWith(folder))
  }
}

function walk(node: Node, visit: (node: Node) => void): void {
  visit(node)
  for (const key of Object.keys(node)) {
    const child = node[key]
    if (Array.isArray(child)) {
      for (const one of child) if (isNode(one)) walk(one, visit)
    } else if (isNode(child)) walk(child, visit)
  }
}

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string'
