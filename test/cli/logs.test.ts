/** `gantry logs` and `gantry stop` on a running server, and on homes whose server is another's or gone. */
import { type ChildProcess, spawn } from 'node:child_process'
import { appendFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { until } from '../support/sdk.ts'
import { cleanEnv, gantry, type TestHome, type TestServer, temporaryHome } from '../support/server.ts'
import { type Run, run } from './run.ts'

let home: TestHome
let server: TestServer
let instanceId: string
beforeAll(async () => {
  home = await temporaryHome()
  server = await home.start({ env: { GANTRY_LOG_LEVEL: 'info' } })
  const made = await on('create', 'instance', 'logged', '-o', 'json')
  instanceId = JSON.parse(made.stdout).instanceId
})
afterAll(() => home?.close())

const on = (...args: string[]): Promise<Run> => run([...args, '--home', home.home])

async function lines(...args: string[]): Promise<Array<Record<string, string>>> {
  const done = await on('logs', '-o', 'json', ...args)
  expect([done.code, done.stderr]).toEqual([0, ''])
  return done.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))
}

describe('logs', () => {
  it('shows what the server wrote, for people and for scripts', async () => {
    const all = await lines()
    expect(all).toContainEqual(
      expect.objectContaining({ source: 'server', level: 'info', message: 'the ledger is open' }),
    )
    expect(all).toContainEqual(expect.objectContaining({ message: 'request', action: 'CreateInstance', status: 200 }))
    const { stdout } = await on('logs')
    expect(stdout).toMatch(
      /^\d{4}-\d\d-\d\d [\d:.]{12} UTC\+08:00 server info {2}the ledger is open database=\S+ migrations=\d+/m,
    )
    // The same lines as went to stderr.
    expect(server.log()).toContain(readFileSync(path.join(home.home, 'server.log'), 'utf8').split('\n')[0])
  })

  it('chooses by number, level, process and instance', async () => {
    expect(await lines('--lines', '2')).toHaveLength(2)
    expect(await lines('--lines', '0')).toEqual([])
    // A broker's lines have no level.
    expect((await lines('--level', 'error')).filter(({ source }) => source === 'server')).toEqual([])
    appendFileSync(
      path.join(home.home, 'brokers/1.log'),
      `${JSON.stringify({ level: 'error', time: '2099-01-01T00:00:00.000Z', instanceId, msg: 'of a time to come' })}\nnot ours \u001b[31m\n`,
    )
    const about = await lines('--instance', instanceId)
    expect(about).toContainEqual(expect.objectContaining({ source: 'broker 1', message: 'of a time to come' }))
    expect(about).not.toContainEqual(expect.objectContaining({ message: 'the ledger is open' }))
    expect((await lines('--process', '1')).map(({ message }) => message)).toEqual([
      expect.stringMatching(/^Broker process 1 serves /),
      'of a time to come',
      'not ours \u001b[31m',
    ])
    expect((await on('logs', '--process', '1')).stdout).toMatch(/ broker 1 {7}not ours \\u001b\[31m\n$/)
    expect(await lines('--instance', 'logged')).toEqual(await lines('--instance', instanceId))
    const gone = await on('logs', '--instance', 'rmq-cn-0123456789a')
    expect([gone.code, gone.stdout, gone.stderr]).toEqual([0, '', 'No line is about instance rmq-cn-0123456789a.\n'])
    const nope = await on('logs', '--instance', 'nope')
    expect([nope.code, nope.stderr]).toEqual([1, expect.stringMatching(/No instance has the id or the name "nope"/)])
    const nobody = await on('logs', '--process', 'nobody')
    expect([nobody.code, nobody.stderr]).toEqual([1, expect.stringMatching(/holds no log of "nobody"; take "server"/)])
    const loud = await on('logs', '--level', 'loud')
    expect([loud.code, loud.stderr]).toEqual([2, expect.stringMatching(/--level takes debug, info, warn, error/)])
  })

  it('follows, also through a file that is renamed', async () => {
    const child = spawn(process.execPath, [gantry, 'logs', '--follow', '--lines', '0', '--home', home.home], {
      env: cleanEnv(),
    })
    let shown = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      shown += text
    })
    const ended = new Promise((resolve) => child.once('close', resolve))
    const appears = (text: string) =>
      until(
        async () => shown,
        (soFar) => soFar.includes(text),
        `${text} is shown`,
      )
    const file = path.join(home.home, 'brokers/1.log')
    // It may not have begun to follow yet: until it has, lines are not shown.
    for (let n = 0; shown === ''; n++) {
      appendFileSync(file, `before ${n}\n`)
      await run(['--version'])
    }
    appendFileSync(file, 'last of the old\n')
    renameSync(file, `${file}.1`)
    writeFileSync(file, 'first of the new\n')
    await appears('last of the old')
    await appears('first of the new')
    child.kill('SIGINT')
    expect(await ended).toBe(130)
  })

  it('says where there are none', async () => {
    const none = await run(['logs', '--home', path.join(path.dirname(home.home), 'nobody')])
    expect([none.code, none.stderr]).toEqual([1, expect.stringMatching(/holds no logs; "gantry up" writes them/)])
  })
})

describe('stop', () => {
  it('leaves a process alone that only has the number of a server of long ago', async () => {
    const other = await temporaryHome()
    let innocent: ChildProcess | null = null
    try {
      const used = await other.start()
      await used.kill()
      // Later than the server by far more than a tick of the clock that tells processes apart.
      innocent = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
      const lock = path.join(other.home, 'lock.1')
      const record = JSON.parse(readFileSync(lock, 'utf8'))
      writeFileSync(lock, JSON.stringify({ ...record, pid: innocent.pid }))
      const done = await run(['stop', '--home', other.home, '-o', 'json'])
      expect([done.code, done.stderr]).toEqual([0, expect.stringMatching(/No Gantry server runs on .*nothing to stop/)])
      expect(JSON.parse(done.stdout)).toEqual({ home: other.home, stopped: false })
      expect(innocent.exitCode).toBeNull()
      expect(innocent.signalCode).toBeNull()
    } finally {
      innocent?.kill('SIGKILL')
      await other.close()
    }
  })

  it('stops the server and its broker processes, and says what happened', async () => {
    const done = await on('stop')
    expect([done.code, done.stderr]).toEqual([0, ''])
    expect(done.stdout).toMatch(
      new RegExp(`^Stopped the server \\(process ${server.ready.pid}\\) in [\\d.]+ m?s\\.\n$`),
    )
    await until(
      async () => server.process.exitCode,
      (code) => code !== null,
      'the process has ended',
    )
    expect(server.process.exitCode).toBe(0)
    const again = await on('stop')
    expect([again.code, again.stderr]).toEqual([0, expect.stringMatching(/nothing to stop/)])
  })

  it('tells of broker processes that a killed server left', async () => {
    const left = await home.start()
    await until(
      () => run(['list', 'processes', '--home', home.home]),
      ({ stdout }) => stdout.includes('running'),
      'the broker process runs',
    )
    await left.kill()
    const done = await on('stop')
    expect([done.code, done.stderr]).toEqual([
      0,
      expect.stringMatching(
        /nothing to stop\.\nbroker process 1 \(process \d+\) still serves clients.*"kill \d+" ends it/,
      ),
    ])
  })
})
