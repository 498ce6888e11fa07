/** `gantry up` and the settings: what it prints where, how it stops, and which source of a setting wins. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runningInstance, sdkClient, until } from '../support/sdk.ts'
import { brokerPid, cleanEnv, gantry, type TestHome, temporaryHome } from '../support/server.ts'
import { run } from './run.ts'

const freePort = async (): Promise<number> => {
  const probe = createServer()
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve))
  const { port } = probe.address() as { port: number }
  await new Promise((resolve) => probe.close(resolve))
  return port
}

/** `gantry up` with all it writes, until it is stopped. */
async function upAt(home: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = spawn(process.execPath, [gantry, 'up', '--home', home, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: cleanEnv({ GANTRY_FIRST_INSTANCE_PORT: '24700', ...env }),
  })
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output.stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text) => {
    output.stderr += text
  })
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal }))
  return { child, output, ended }
}

const shown = (output: { stdout: string }): Promise<unknown> =>
  until(
    async () => output.stdout,
    (text) => text.endsWith('\n'),
    'it is ready',
  )

describe('bin/gantry.js', () => {
  it('says what to do when it is not built', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'gantry-unbuilt-'))
    try {
      mkdirSync(path.join(folder, 'bin'))
      copyFileSync(gantry, path.join(folder, 'bin/gantry.mjs'))
      const child = spawn(process.execPath, [path.join(folder, 'bin/gantry.mjs'), 'up'], { env: cleanEnv() })
      let said = ''
      child.stderr.setEncoding('utf8').on('data', (text) => {
        said += text
      })
      expect((await once(child, 'close'))[0]).toBe(2)
      expect(said).toBe(
        'gantry: It is not built yet: "npm ci && npm run build" in the folder of the repository builds it.\n',
      )
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

describe('gantry up', () => {
  let home: TestHome
  beforeAll(async () => {
    home = await temporaryHome()
  })
  afterAll(() => home?.close())

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'prints one line with --json, and %s stops it with status 0 and no process left',
    async (signal) => {
      const { child, output, ended } = await upAt(home.home, ['--json', '--port', '0'])
      await shown(output)
      expect(output.stdout.match(/\n/g)).toHaveLength(1)
      const ready = JSON.parse(output.stdout)
      expect(Object.keys(ready)).toEqual([
        'event',
        'apiUrl',
        'consoleUrl',
        'region',
        'accountId',
        'accessKeyId',
        'accessKeySecret',
        'home',
        'pid',
        'startupMs',
      ])
      expect(ready).toMatchObject({ event: 'ready', region: 'cn-hangzhou', home: home.home, pid: child.pid })
      expect(ready.apiUrl).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
      expect(ready.accountId).toMatch(/^\d{16}$/)
      expect(ready.startupMs).toBeGreaterThan(0)
      expect(output.stderr).not.toContain(ready.accessKeySecret)
      expect((await fetch(`${ready.apiUrl}/_gantry/health`)).status).toBe(200)
      await runningInstance(sdkClient(ready))
      const pid = (await brokerPid(home.home))!
      child.kill(signal)
      expect(await ended).toEqual({ code: 0, signal: null })
      expect(() => process.kill(pid, 0)).toThrow(/ESRCH/)
      expect(output.stdout.match(/\n/g), 'nothing more on stdout').toHaveLength(1)
    },
  )

  it('stops once for a signal that comes twice, as npm and a terminal send it', async () => {
    const { child, output, ended } = await upAt(home.home, ['--json', '--port', '0'])
    await shown(output)
    child.kill('SIGINT')
    child.kill('SIGTERM')
    expect(await ended).toEqual({ code: 0, signal: null })
  })

  it('stops cleanly when it is asked while it starts', async () => {
    const { child, output, ended } = await upAt(home.home, ['--json', '--port', '0'], { GANTRY_LOG_LEVEL: 'info' })
    // The ledger is open: the API is not yet.
    await until(
      async () => output.stderr,
      (text) => text.includes('the ledger is open'),
      'it is starting',
    )
    child.kill('SIGTERM')
    expect(await ended).toEqual({ code: 0, signal: null })
    expect(await brokerPid(home.home)).toBeNull()
    expect(output.stderr).not.toMatch(/"level":"error"/)
  })

  it('shows people a card with the address, the keys and what to do next', async () => {
    const { child, output, ended } = await upAt(home.home, ['--port', '0'])
    await until(
      async () => output.stdout,
      (text) => text.includes('Ctrl-C'),
      'the card is there',
    )
    for (const says of [
      /Gantry is ready in [\d.]+ m?s/,
      /API +http:\/\/127\.0\.0\.1:\d+/,
      /AccessKey id +LTAI/,
      /AccessKey secret +\S+/,
      /gantry demo --home/,
      /eval "\$\(gantry env --home/,
    ]) {
      expect(output.stdout).toMatch(says)
    }
    // biome-ignore lint/suspicious/noControlCharactersInRegex: escape codes are what must not be there
    expect(output.stdout).not.toMatch(/\x1b/)
    child.kill('SIGTERM')
    expect((await ended).code).toBe(0)
  })

  it('keeps its files from others', () => {
    for (const [file, mode] of [
      ['', 0o700],
      ['account.json', 0o600],
      ['secret.key', 0o600],
      ['gantry.db', 0o600],
      ['tls/tls.key', 0o600],
      ['brokers/1.log', 0o600],
      ['brokers/processes.json', 0o600],
    ] as const) {
      expect((statSync(path.join(home.home, file)).mode & 0o777).toString(8), file).toBe(mode.toString(8))
    }
  })
})

describe('settings', () => {
  let home: TestHome
  beforeAll(async () => {
    home = await temporaryHome()
  })
  afterAll(() => home?.close())

  it('a flag beats the environment, that beats gantry.yaml, and that the default', async () => {
    const [byFlag, byEnv, byFile] = [await freePort(), await freePort(), await freePort()]
    mkdirSync(home.home, { mode: 0o700 })
    writeFileSync(path.join(home.home, 'gantry.yaml'), `port: ${byFile}\nregion: cn-beijing\nlogLevel: warn\n`)
    const cases: [string[], Record<string, string>, number, string][] = [
      [
        ['--port', String(byFlag), '--region', 'cn-shanghai'],
        { GANTRY_PORT: String(byEnv), GANTRY_REGION: 'cn-shenzhen' },
        byFlag,
        'cn-shanghai',
      ],
      [[], { GANTRY_PORT: String(byEnv), GANTRY_REGION: 'cn-shenzhen' }, byEnv, 'cn-shenzhen'],
      [[], { GANTRY_PORT: '' }, byFile, 'cn-beijing'],
    ]
    for (const [args, env, port, region] of cases) {
      const { child, output, ended } = await upAt(home.home, ['--json', ...args], env)
      await shown(output)
      expect(JSON.parse(output.stdout)).toMatchObject({ apiUrl: `http://127.0.0.1:${port}`, region })
      child.kill('SIGTERM')
      expect((await ended).code).toBe(0)
    }
  })

  it('GANTRY_HOME names the home, and --home beats it', async () => {
    const elsewhere = path.join(path.dirname(home.home), 'elsewhere')
    const list = (args: string[]) => run(['list', 'instances', ...args], { env: { GANTRY_HOME: elsewhere } })
    expect((await list([])).stderr).toContain(`No Gantry server runs on ${elsewhere}.`)
    expect((await list(['--home', home.home])).stderr).toContain(`No Gantry server runs on ${home.home}.`)
    const before = await run(['--home', home.home, 'list', 'instances'], { env: { GANTRY_HOME: elsewhere } })
    expect(before.stderr).toContain(`No Gantry server runs on ${home.home}.`)
  })

  it('GANTRY_ACCESS_KEY_ID and GANTRY_ACCESS_KEY_SECRET set the keys, also of a home that has others', async () => {
    const keys = { GANTRY_ACCESS_KEY_ID: 'team-key', GANTRY_ACCESS_KEY_SECRET: 'team-secret-of-ci' }
    const server = await home.start({ env: keys })
    expect(server.ready).toMatchObject({ accessKeyId: 'team-key', accessKeySecret: 'team-secret-of-ci' })
    expect((await sdkClient(server.ready).listRegions()).statusCode).toBe(200)
    await runningInstance(sdkClient(server.ready))
    const listed = await run(['list', 'instances', '--home', home.home])
    expect([listed.code, listed.stderr]).toEqual([0, ''])
    const wrong = await run(['list', 'instances', '--home', home.home], {
      env: { ...keys, GANTRY_ACCESS_KEY_SECRET: 'another-secret' },
    })
    expect(wrong.code).toBe(1)
    expect(wrong.stderr).toMatch(/SignatureDoesNotMatch/)
    expect(wrong.stderr + server.log()).not.toMatch(/another-secret|team-secret-of-ci/)
    expect(await server.stop()).toBe(0)
    expect(readFileSync(path.join(home.home, 'brokers/1.log'), 'utf8')).not.toContain('team-secret-of-ci')
  })

  it.each([
    [['--port', 'http'], {}, /--port is "http" but it must be a whole number from 0 to 65535/],
    [['--port', '70000'], {}, /--port is "70000" but it must be a whole number/],
    [[], { GANTRY_PORT: '7.5' }, /GANTRY_PORT is "7\.5" but it must be a whole number/],
    [['--region', 'Hangzhou'], {}, /--region is "Hangzhou" but it must look like cn-hangzhou/],
    [['--log-level', 'loud'], {}, /--log-level is "loud" but it must be one of debug, info, warn, error, silent/],
    [
      [],
      { GANTRY_DATABASE_URL: 'mysql://root:hidden-password@db' },
      /GANTRY_DATABASE_URL must start with postgres:\/\//,
    ],
    [[], { GANTRY_ACCESS_KEY_ID: 'only-the-id' }, /GANTRY_ACCESS_KEY_ID and GANTRY_ACCESS_KEY_SECRET belong together/],
    [
      [],
      { GANTRY_ACCESS_KEY_ID: 'an-id', GANTRY_ACCESS_KEY_SECRET: 'hidden password' },
      /GANTRY_ACCESS_KEY_SECRET must be 4 to 128 visible/,
    ],
    [[], { GANTRY_BROKER_LINGER_MINUTES: '-1' }, /GANTRY_BROKER_LINGER_MINUTES is "-1" but it must be a whole number/],
  ] as [string[], Record<string, string>, RegExp][])('refuses %j %j with status 2', async (args, env, says) => {
    const refused = await run(['up', '--home', home.home, ...args], { env })
    expect(refused.stderr).toMatch(says)
    expect([refused.code, refused.stdout]).toEqual([2, ''])
    expect(refused.stderr).not.toMatch(/hidden|^\s+at /m)
  })
})
