/**
 * `npm run bench [-- name…] [--quick] [--write] [--minutes=N]`: measures the budgets of the design against the built server, and
 * writes docs/benchmarks.md with its plots when everything was measured at full length (or `--write` is given).
 *
 * Each measure is a file in bench/measures/ with its title, its method in words, and results with budgets. They run
 * one after the other; a measure that fails is reported and the others go on, but then nothing is written.
 */
import create from './measures/create.mjs'
import delivery from './measures/delivery.mjs'
import firstMessage from './measures/first-message.mjs'
import growth from './measures/growth.mjs'
import kinds from './measures/kinds.mjs'
import list from './measures/list.mjs'
import lookups from './measures/lookups.mjs'
import processes from './measures/processes.mjs'
import profile from './measures/profile.mjs'
import recovery from './measures/recovery.mjs'
import resources from './measures/resources.mjs'
import send from './measures/send.mjs'
import soak from './measures/soak.mjs'
import start from './measures/start.mjs'
import tls from './measures/tls.mjs'
import turns from './measures/turns.mjs'
import { cleanUp } from './support/gantry.mjs'
import { describeMachine, untilQuiet, watchOthers } from './support/machine.mjs'
import { figure } from './support/numbers.mjs'
import { isMet, writePage } from './support/page.mjs'
import { loadSource, removeSource } from './support/source.mjs'

const known = [
  start,
  create,
  firstMessage,
  list,
  send,
  kinds,
  tls,
  delivery,
  processes,
  recovery,
  resources,
  growth,
  lookups,
  turns,
  profile,
  soak,
]
/** A measure that takes longer has failed; all of them together take about seven minutes. */
const measureLimitMs = 240_000

const options = process.argv.slice(2).filter((argument) => argument.startsWith('--'))
const names = process.argv.slice(2).filter((argument) => !argument.startsWith('--'))
const unknown = [
  ...options.filter(
    (option) => !['--quick', '--write', '--json'].includes(option) && !/^--minutes=[1-9]\d{0,3}$/.test(option),
  ),
  ...names.filter((name) => !known.some((measure) => measure.name === name)),
]
if (unknown.length > 0) {
  console.error(
    `Unknown: ${unknown.join(' ')}. Measures: ${known.map(({ name }) => name).join(' ')}. Options: --quick --write --json --minutes=N (soak).`,
  )
  process.exit(2)
}

const quick = options.includes('--quick')
const minutes =
  Number(/^--minutes=(\d+)$/.exec(options.find((option) => option.startsWith('--minutes=')) ?? '')?.[1]) || undefined
const usual = known.filter(({ onlyByName }) => !onlyByName)
const chosen = names.length === 0 ? usual : known.filter(({ name }) => names.includes(name))
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    console.error('Interrupted; ending what was started.')
    void cleanUp().finally(() => {
      removeSource()
      process.exit(1)
    })
  })
}
const machine = describeMachine()
const source = await loadSource()
const from = performance.now()
const measures = []
let failed = 0
try {
  for (const measure of chosen) {
    const say = (text) => console.error(`  ${measure.name}: ${text}`)
    const others = quick ? 0 : await untilQuiet()
    if (others > 0.1) say(`other programs use ${Math.round(others * 100)} % of a core; figures will suffer`)
    console.error(`${measure.title} …`)
    const watch = watchOthers()
    try {
      const results = await withinLimit(
        measure.run({ source, quick, say, minutes, machine, write: options.includes('--write') }),
        measure.limitMs?.({ minutes }) ?? measureLimitMs,
      )
      const meanwhile = watch()
      if (meanwhile > 0.1) say(`other programs used ${Math.round(meanwhile * 100)} % of a core meanwhile`)
      measures.push({ name: measure.name, title: measure.title, method: measure.method, others: meanwhile, results })
    } catch (error) {
      failed++
      await cleanUp()
      console.error(`  ${measure.name} failed: ${error.stack ?? error}`)
    }
  }
} finally {
  await cleanUp()
  removeSource()
}

const seconds = (performance.now() - from) / 1000
if (options.includes('--json')) console.log(JSON.stringify({ machine, measures, seconds }, null, 2))
else for (const result of measures.flatMap(({ results }) => results)) print(result)
console.error(`${Math.round(seconds)} s${failed > 0 ? `, ${failed} failed` : ''}`)
if (
  failed === 0 &&
  (options.includes('--write') || (chosen.length === usual.length && !quick)) &&
  chosen.some(({ onlyByName }) => !onlyByName)
) {
  writePage({ machine, measures, seconds })
  console.error('written: docs/benchmarks.md')
}
// A measure that ran out of time may still hold sockets.
process.exit(failed > 0 ? 1 : 0)

function print(result) {
  const { what, value, unit, budget, more, detail } = result
  const mark = budget === undefined ? '      ' : isMet(result) ? 'met   ' : 'MISSED'
  const of = budget === undefined ? '' : ` (budget ${more ? '≥' : '≤'} ${budget.toLocaleString('en-US')})`
  console.log(`${mark} ${what}: ${figure(value)} ${unit}${of}${detail ? `\n         ${detail}` : ''}`)
}

function withinLimit(work, limitMs) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`It took longer than ${limitMs / 1000} s.`)), limitMs)
    work.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
