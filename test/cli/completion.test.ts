/** The completion scripts, run by the shells they are for. Whoever lacks one skips it and says so. */
import { execFile, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cleanEnv } from '../support/server.ts'
import { run } from './run.ts'

const has = (shell: string): boolean => spawnSync(shell, ['--version']).status === 0

/** How a shell is made to complete the last of the words, a candidate a line. */
const drivers: Readonly<Record<string, string>> = {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: bash writes its arrays so
  bash: 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _gantry; printf "%s\\n" "${COMPREPLY[@]}"',
  zsh: `
    _describe() { local candidate; for candidate in "\${(@P)2}"; do [[ $candidate == "$words[CURRENT]"* ]] && print -r -- "\${\${candidate%%:*}##*=}"; done; true }
    _files() { print -r -- "@files" }
    source "$0"; words=("$@"); CURRENT=$#; _gantry; true`,
  fish: 'source $argv[1]; complete -C (string join " " -- $argv[2..-1]) | string replace -r "\\t.*" "" | string replace -r "^.*=" ""; true',
}

const cases: ReadonlyArray<readonly [words: readonly string[], has: readonly string[], not: readonly string[]]> = [
  [['cre'], ['create'], ['up']],
  [['create', ''], ['instance', 'topic', 'group'], ['create']],
  [['create', 'instance', '--s'], ['--series', '--spec'], ['--retention']],
  [['create', 'instance', '--series', 'pro'], ['professional'], ['standard']],
  [['create', 'instance', 'orders', '-o', ''], ['table', 'json', 'yaml'], []],
  [['--home', 'list', 'list', 'in'], ['instances'], []],
  [['call', 'CreateT'], ['CreateTopic'], ['CreateInstance', 'GetTopic']],
  [['call', 'SetRenewal', '--RenewalStatus', 'Man'], ['ManualRenewal'], ['AutoRenewal']],
  [['call', '--product', 'B'], ['BssOpenApi'], ['RocketMQ']],
  [['call', 'CreateTopic', '--product', 'B'], ['BssOpenApi'], ['RocketMQ']],
  [['call', 'CreateTopic', '--m'], ['--messageType', '--maxSendTps'], ['--list']],
  [['call', 'CreateTopic', '--remark', '--x', '--messageType', 'D'], ['DELAY'], ['NORMAL']],
  [['call', 'CreateInstance', '--productInfo.m'], ['--productInfo.msgProcessSpec'], ['--productInfo.traceOn']],
  [['help', 'update', ''], ['instance', 'topic', 'group'], ['call']],
  [['help', 'call', 'GetTo'], ['GetTopic'], []],
  [['completion', ''], ['bash', 'zsh', 'fish'], []],
]

let folder: string
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gantry-completion-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe.each(['bash', 'zsh', 'fish'])('completion %s', (shell) => {
  const missing = has(shell) ? '' : ` (skipped: ${shell} is not installed)`
  let script: string
  beforeAll(async () => {
    const made = await run(['completion', shell])
    expect([made.code, made.stderr]).toEqual([0, ''])
    script = path.join(folder, shell)
    writeFileSync(script, made.stdout)
  })

  const complete = async (words: readonly string[]): Promise<string[]> => {
    const args = shell === 'fish' ? ['--no-config', '-c', drivers.fish!, script] : ['-c', drivers[shell]!, script]
    const { stdout, stderr } = await promisify(execFile)(shell, [...args, 'gantry', ...words], { env: cleanEnv() })
    expect(stderr).toBe('')
    return stdout.split('\n').filter((line) => line !== '')
  }

  it.skipIf(missing !== '').each(cases)(`%j${missing}`, async (words, wanted, unwanted) => {
    const found = await complete(words)
    expect(found).toEqual(expect.arrayContaining([...wanted]))
    for (const word of unwanted) expect(found).not.toContain(word)
  })

  it.skipIf(missing !== '')(`a value behind an equals sign, and a folder${missing}`, async () => {
    const parted = shell === 'bash' ? ['--messageType', '=', 'F'] : ['--messageType=F']
    expect(await complete(['call', 'CreateTopic', ...parted])).toEqual(['FIFO'])
    const home = await complete(['list', 'instances', '--home', `${folder.slice(0, -1)}`])
    expect(home.map((each) => each.replace(/\/$/, ''))).toContain(shell === 'zsh' ? '@files' : folder)
  })
})

it('refuses a shell that it does not know', async () => {
  const refused = await run(['completion', 'tcsh'])
  expect([refused.code, refused.stdout]).toEqual([2, ''])
  expect(refused.stderr).toMatch(/There is completion for bash, zsh, fish, not for "tcsh"/)
})
