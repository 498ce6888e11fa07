/**
 * No dead code: every module of src is reached from a file that is started (the entry points of scripts/build.mjs, and
 * the scripts and benchmarks), or is listed as a support of tests with its reason. An export is
 * used, or names a part of something that is.
 */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { root, type TextFile, textFiles } from './files.ts'

/** Modules that only tests use, and why they stand in src. */
const forTests: Record<string, string> = {
  'src/engines/suite.ts': 'the contract of an engine, run over each of them',
  'src/engines/simulated/engine.ts': 'an engine without processes, for tests of the loop and the API',
  'src/world/simulated.ts': 'the clock and the randomness of tests',
  'src/world/simulated-disk.ts': 'the disk that loses power',
  'src/broker/shell/test-broker.ts': 'a broker over the simulated world, beside the modules it tests',
}

/** Files of test that a person runs, and when. */
const byHand: Record<string, string> = {
  'test/upgrade/make-home.mjs': "packs a home of today's program as a fixture, before formats change",
}

const isTest = (file: string) => /\.test\.ts$/.test(file) || file.startsWith('test/')
const files = new Map(textFiles('src', 'test', 'bench', 'scripts').map((file) => [file.path, file]))
const config = textFiles().filter((file) => /^(vitest\.config\.ts|package\.json|\.ci\/run)$/.test(file.path))

/** Files that `file` imports, re-exports, loads later or names as a URL beside it. */
const imported = ({ path: from, text }: TextFile): string[] =>
  [...text.matchAll(/(?:from|import\(|import|new URL\()\s*['"](?<to>\.{1,2}\/[^'"]+)['"]/g)].flatMap(({ groups }) => {
    const to = path.posix.join(path.posix.dirname(from), groups!['to']!)
    return files.has(to) || existsSync(path.join(root, to)) ? [to] : []
  })

/** Paths in scripts, such as the entry points of the build: `'src/main.ts'`. */
const named = ({ text }: TextFile): string[] =>
  [...text.matchAll(/\b(?:src|test|bench|scripts)\/[\w./-]+\.(?:ts|mjs|js)\b/g)].map(([name]) => name)

const reachableFrom = (roots: readonly string[]): Set<string> => {
  const reached = new Set<string>()
  const waiting = [...roots]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const file = files.get(next)
    if (file === undefined || reached.has(next)) continue
    reached.add(next)
    waiting.push(...imported(file))
  }
  return reached
}

const started = [...files.values()].filter((file) => /^(scripts|bench)\//.test(file.path))
const alive = reachableFrom([...started.map((file) => file.path), ...started.flatMap(named), ...config.flatMap(named)])
const used = reachableFrom([...alive, ...[...files.keys()].filter((file) => /\.test\.ts$/.test(file))])
const modules = [...files.keys()].filter((file) => file.startsWith('src/') && !isTest(file) && !file.endsWith('.d.ts'))

describe('modules of src', () => {
  it('are reached from what is started, or support tests by name', () => {
    expect(modules.filter((file) => !alive.has(file) && !(file in forTests))).toEqual([])
  })

  it('that support tests are used by a test and by nothing that is started', () => {
    const stale = Object.keys(forTests).filter((file) => !used.has(file) || alive.has(file))
    expect(stale).toEqual([])
  })
})

describe('files of test', () => {
  it('are tests, used by one, or started by name', () => {
    const mentioned = (name: string, from: string) =>
      [...files.values(), ...config].some((file) => file.path !== from && file.text.includes(name))
    const unused = [...files.keys()].filter((file) => file.startsWith('test/') && !used.has(file))
    expect(unused.filter((file) => !(file in byHand) && !mentioned(path.basename(file), file))).toEqual([])
  })
})

/** Files taken whole, as the catalogue's families of operations are: each export is used. */
const takenWhole = new Set(
  [...files.values()].flatMap((file) =>
    [...file.text.matchAll(/^(?:import|export) \* (?:as \w+ )?from '(?<to>[^']+)'/gm)].map(({ groups }) =>
      path.posix.join(path.posix.dirname(file.path), groups!['to']!),
    ),
  ),
)

describe('exports', () => {
  it('are used, in another file or as part of what is', () => {
    const wordsIn = (text: string) => text.match(/[A-Za-z_$][\w$]*/g) ?? []
    const words = new Map([...files.values()].map((file) => [file.path, new Set(wordsIn(file.text))]))
    const declared =
      /^export (?:abstract |async )*(?:const|let|function\*?|class|interface|type|enum) (?<name>[\w$]+)/gm
    const unused = modules
      .filter((file) => !takenWhole.has(file))
      .flatMap((file) =>
        [...files.get(file)!.text.matchAll(declared)]
          .map(({ groups }) => groups!['name']!)
          .filter((name) => wordsIn(files.get(file)!.text).filter((word) => word === name).length === 1)
          .filter((name) => ![...words].some(([other, has]) => other !== file && has.has(name)))
          .map((name) => `${file} exports ${name}, which nothing uses`),
      )
    expect(unused).toEqual([])
  })
})
