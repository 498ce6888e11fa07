/**
 * Starts that must be refused: a sentence on stderr that says what to do, a status other than 0, no stack, no secret,
 * soon, and with nothing in the home changed.
 */
import { createHash, randomBytes } from 'node:crypto'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type Server } from 'node:net'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Run, run } from '../cli/run.ts'
import { runningInstance, sdkClient } from '../support/sdk.ts'
import { brokerPid, type TestHome, type TestServer, temporaryHome } from '../support/server.ts'
import { canMount, mountTmpfs, whyNoMount } from './tmpfs.ts'

const startLimitMs = 15_000

let seasoned: TestHome
let secrets: string[]
beforeAll(async () => {
  // A home that was used once and stopped cleanly; every case damages a copy.
  seasoned = await temporaryHome()
  const server = await seasoned.start({ env: { GANTRY_FIRST_INSTANCE_PORT: '24100' } })
  secrets = [server.ready.accessKeySecret]
  await runningInstance(sdkClient(server.ready))
  expect(await server.stop()).toBe(0)
})
afterAll(() => seasoned?.close())

let copies = 0
function copyOfHome(): string {
  const home = path.join(path.dirname(seasoned.home), `copy-${++copies}`)
  cpSync(seasoned.home, home, { recursive: true })
  return home
}

const start = (home: string, args: readonly string[] = [], env: Record<string, string> = {}): Promise<Run> =>
  run(['up', '--json', '--home', home, '--port', '0', ...args], { env, limitMs: startLimitMs })

function expectRefusal({ code, stdout, stderr }: Run, status: number, says: RegExp): void {
  expect(stderr).toMatch(says)
  expect(code, stderr).toBe(status)
  expect(stdout).toBe('')
  expect(stderr, 'a stack').not.toMatch(/^\s+at /m)
  expect(stderr, 'an error in the log').not.toMatch(/"level":"(error|fatal)"/)
  for (const secret of secrets) expect(stderr).not.toContain(secret)
  // The last line is for the person who started it.
  expect(stderr.trimEnd().split('\n').at(-1)!.length).toBeGreaterThan(20)
}

interface Case {
  readonly name: string
  readonly damage: (home: string) => void
  readonly says: RegExp
  readonly status?: number
  readonly args?: readonly string[]
  readonly env?: Record<string, string>
  /** Files that a start may touch before it is refused: a sound database is opened. */
  readonly touches?: readonly string[]
}

const write =
  (file: string, content: string | Buffer) =>
  (home: string): void =>
    writeFileSync(path.join(home, file), content)

/** Something else in the middle of a file, its length kept. */
function scribble(file: string): void {
  const bytes = readFileSync(file)
  randomBytes(8192).copy(bytes, 8192)
  writeFileSync(file, bytes)
}

const cases: readonly Case[] = [
  {
    name: 'a database that is something else',
    damage: write('gantry.db', randomBytes(20_000)),
    says: /gantry\.db is not a sound ledger.*left as it is: restore it from a copy/s,
  },
  {
    name: 'a database with damaged pages',
    damage: (home) => scribble(path.join(home, 'gantry.db')),
    says: /gantry\.db is not a sound ledger.*left as it is: restore it from a copy/s,
  },
  {
    name: 'a key file that is too short',
    damage: write('secret.key', 'short'),
    says: /secret\.key has 5 bytes instead of 32: it is damaged\. Restore it/,
  },
  {
    name: 'a key file of another home',
    damage: write('secret.key', randomBytes(32)),
    says: /secret\.key of this home does not belong to this database/,
    touches: ['gantry.db'],
  },
  {
    name: 'a key file that is gone',
    damage: (home) => rmSync(path.join(home, 'secret.key')),
    says: /secret\.key is gone, and the secrets in gantry\.db open with no other\. Restore it/,
    touches: ['gantry.db'],
  },
  {
    name: 'a key file that others may read',
    damage: (home) => chmodSync(path.join(home, 'secret.key'), 0o644),
    says: /secret\.key has mode 0644.*chmod 600/,
  },
  {
    name: 'a folder in place of the key file',
    damage: (home) => {
      rmSync(path.join(home, 'secret.key'))
      mkdirSync(path.join(home, 'secret.key'))
    },
    says: /secret\.key is not a file; move it away/,
  },
  {
    name: 'an account that is no JSON',
    damage: write('account.json', '{"accountId":'),
    says: /account\.json does not hold an account; restore it from a copy, or move it away/,
  },
  {
    name: 'an account without a secret',
    damage: write('account.json', '{"accountId":"1","accessKeyId":"x"}'),
    says: /account\.json does not hold an account/,
  },
  {
    name: 'a certificate that is none',
    damage: write('tls/tls.crt', 'not a certificate'),
    says: /TLS files.*tls\.crt is not a PEM certificate: remove it/,
  },
  {
    name: 'a TLS key that is none',
    damage: write('tls/tls.key', 'not a key'),
    says: /TLS files.*tls\.key is not an unencrypted PEM key.*away/,
  },
  {
    name: 'settings that are no YAML, a secret among them',
    damage: write('gantry.yaml', 'accessKeySecret: hidden-secret-value\nport: [1'),
    says: /gantry\.yaml is not valid YAML: .*line 2/,
    status: 2,
  },
  {
    name: 'a setting that nobody knows',
    damage: write('gantry.yaml', 'prot: 7800\n'),
    says: /gantry\.yaml has an unknown setting "prot"\. Known: host, port/,
    status: 2,
  },
  {
    name: 'a setting out of its range',
    damage: write('gantry.yaml', 'brokerLingerMinutes: -1\n'),
    says: /gantry\.yaml: brokerLingerMinutes is "-1" but it must be a whole number from 0 to 525600/,
    status: 2,
  },
  {
    name: 'a list where settings belong',
    damage: write('gantry.yaml', '- port\n'),
    says: /gantry\.yaml must hold "name: value" lines/,
    status: 2,
  },
  {
    name: 'a folder in place of the settings',
    damage: (home) => mkdirSync(path.join(home, 'gantry.yaml')),
    says: /gantry\.yaml cannot be read/,
    status: 2,
  },
  {
    name: 'an address this machine does not have',
    damage: () => {},
    args: ['--host', '203.0.113.7'],
    says: /This machine has no address 203\.0\.113\.7; choose another with --host/,
    touches: ['gantry.db'],
  },
  {
    name: 'a host name without an address',
    damage: () => {},
    args: ['--host', 'nowhere.invalid'],
    says: /host name nowhere\.invalid has no address here; choose another with --host/,
    touches: ['gantry.db'],
  },
  {
    name: 'a database server that does not answer',
    damage: () => {},
    env: { GANTRY_DATABASE_URL: 'postgres://someone:hidden-secret-value@127.0.0.1:9/gantry' },
    says: /127\.0\.0\.1:9/,
  },
]

describe('a start on a damaged home', () => {
  it.concurrent.each(cases)('$name', async ({ damage, says, status = 1, args = [], env = {}, touches = [] }) => {
    const home = copyOfHome()
    damage(home)
    const before = filesOf(home, touches)
    const refused = await start(home, args, env)
    expectRefusal(refused, status, says)
    expect(refused.stderr).not.toContain('hidden-secret-value')
    expect(filesOf(home, touches)).toEqual(before)
    expect(await brokerPid(home), 'a broker process was left behind').toBeNull()
  })
})

describe('a home that cannot be one', () => {
  it('a file in its place', async () => {
    const file = path.join(path.dirname(seasoned.home), 'a-file')
    writeFileSync(file, 'mine')
    expectRefusal(await start(file), 1, /a file is in its place\. Move the file, or choose another home with --home/)
    expectRefusal(await start(path.join(file, 'below')), 1, /cannot be a folder: a file is in its place/)
    expect(readFileSync(file, 'utf8')).toBe('mine')
  })

  it('a place where nothing can be made', async () => {
    expectRefusal(await start('/proc/gantry'), 1, /cannot be made .*Choose a folder you may write with --home/)
  })

  it.skipIf(!canMount)(`a read-only file system${whyNoMount}`, async () => {
    const mount = mountTmpfs('8m')
    try {
      cpSync(seasoned.home, path.join(mount.folder, 'home'), { recursive: true })
      mount.readOnly()
      const home = path.join(mount.folder, 'home')
      expectRefusal(await start(home), 1, /cannot be written .*(EROFS|read-only).*choose another with --home/is)
      expectRefusal(await start(path.join(mount.folder, 'new')), 1, /cannot be made .*--home/is)
    } finally {
      mount.remove()
    }
  })
})

describe('what is taken already', () => {
  let holder: Server
  let port: number
  beforeAll(async () => {
    holder = createServer()
    await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve))
    port = (holder.address() as { port: number }).port
  })
  afterAll(() => void holder?.close())

  it('the port of the API', async () => {
    const home = copyOfHome()
    const refused = await run(['up', '--home', home, '--port', String(port)], { limitMs: startLimitMs })
    expectRefusal(
      refused,
      1,
      new RegExp(`Port ${port} on 127\\.0\\.0\\.1 is taken by another program\\. Stop it, or choose`),
    )
    expect(await brokerPid(home), 'a broker process was left behind').toBeNull()
    expect(existsSync(path.join(home, 'server.json'))).toBe(false)
  })

  it('the home, by another server, which goes on undisturbed', async () => {
    const home = await temporaryHome()
    try {
      const first = await home.start({ env: { GANTRY_FIRST_INSTANCE_PORT: '24110' } })
      const pid = await brokerOf(home, first)
      expectRefusal(
        await start(home.home),
        1,
        new RegExp(
          `Another Gantry server \\(process ${first.ready.pid}\\) uses the home .* Stop it, or give this one another`,
        ),
      )
      expect(await brokerPid(home.home)).toBe(pid)
      const alive = await run(['list', 'instances', '--home', home.home])
      expect([alive.code, alive.stderr]).toEqual([0, ''])
      expect(await first.stop()).toBe(0)
    } finally {
      await home.close()
    }
  })

  it('the port of the API, while the broker process of a killed server still serves: it goes on', async () => {
    const home = await temporaryHome()
    try {
      const first = await home.start({ env: { GANTRY_FIRST_INSTANCE_PORT: '24120' } })
      const pid = await brokerOf(home, first)
      await first.kill()
      const refused = await run(['up', '--home', home.home, '--port', String(port)], { limitMs: startLimitMs })
      expectRefusal(refused, 1, /is taken by another program/)
      expect(await brokerPid(home.home)).toBe(pid)
    } finally {
      await home.close()
    }
  })
})

/** The broker process that the first instance starts. */
async function brokerOf(home: TestHome, server: TestServer): Promise<number> {
  await runningInstance(sdkClient(server.ready))
  return (await brokerPid(home.home))!
}

/** Content and mode of everything in a home but what every start touches: its lock and the logs. */
function filesOf(home: string, without: readonly string[]): Record<string, string> {
  const files: Record<string, string> = {}
  for (const entry of readdirSync(home, { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath, entry.name)
    const name = path.relative(home, file)
    if (/^(lock\.|server\.log|brokers\/1\.log)/.test(name) || without.includes(name) || !entry.isFile()) continue
    // A log that a database keeps beside itself is there or not, as long as it holds nothing.
    if (/-(wal|shm)$/.test(name) && statSync(file).size === 0) continue
    const digest = createHash('sha256').update(readFileSync(file)).digest('hex')
    files[name] = `${(statSync(file).mode & 0o777).toString(8)} ${digest.slice(0, 16)}`
  }
  return files
}
