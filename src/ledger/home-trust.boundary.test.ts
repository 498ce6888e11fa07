/** Homes that are not their user's alone, each refused with a sentence, and left as they were. */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readSettings } from '../config.ts'
import { createRealDisk } from '../world/real-disk.ts'
import { acquireHome } from './home.ts'
import { hostileHome, lookAtHome } from './home-trust.ts'

const own = process.getuid?.() ?? null
const isRoot = own === 0
const somebody = 65_534

let place: string
let home: string
beforeEach(() => {
  place = mkdtempSync(path.join(tmpdir(), 'gantry-trust-'))
  home = path.join(place, 'home')
  mkdirSync(home, { mode: 0o700 })
})
afterEach(() => rm(place, { recursive: true, force: true }))

const put = (name: string, content = 'theirs'): string => {
  const file = path.join(home, name)
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 })
  writeFileSync(file, content, { mode: 0o600 })
  return file
}
const link = (name: string): void => {
  const target = path.join(place, 'elsewhere')
  writeFileSync(target, 'precious')
  mkdirSync(path.dirname(path.join(home, name)), { recursive: true, mode: 0o700 })
  symlinkSync(target, path.join(home, name))
}

describe.skipIf(own === null)('a home', () => {
  it('of this user alone is trusted, whatever files of their own lie in it', () => {
    put('gantry.db')
    put('tls/tls.key')
    put('instances/rmq-cn-1/log', '')
    writeFileSync(path.join(home, 'notes.txt'), '')
    chmodSync(path.join(home, 'notes.txt'), 0o666)
    link('gantry.yaml')
    expect(hostileHome(home)).toBeNull()
  })

  it('that is not there yet, or reached by a link of this user, is trusted', () => {
    symlinkSync(home, path.join(place, 'link'))
    expect(hostileHome(path.join(place, 'none', 'at', 'all'))).toBeNull()
    expect(hostileHome(path.join(place, 'link'))).toBeNull()
  })

  const hostile: ReadonlyArray<readonly [string, () => unknown, RegExp]> = [
    ['that others may write', () => chmodSync(home, 0o777), /can be written by other users \(mode 0777\).*chmod go-w/],
    ['that its group may write', () => chmodSync(home, 0o770), /can be written by other users \(mode 0770\)/],
    ['in a folder that others may write', () => chmodSync(place, 0o777), /every user may put another folder/],
    ['in a folder that its group may write', () => chmodSync(place, 0o770), /every user of its group .*chmod g-w/],
    ['with a link below an instance', () => link('instances/rmq-cn-1/segment'), /rmq-cn-1\/segment is a symbolic link/],
    [
      'with a linked folder below an instance',
      () => {
        mkdirSync(path.join(home, 'instances', 'rmq-cn-1'), { recursive: true, mode: 0o700 })
        symlinkSync(place, path.join(home, 'instances', 'rmq-cn-1', 'lookup'))
      },
      /rmq-cn-1\/lookup is a symbolic link/,
    ],
    ['with a link for the ledger', () => link('gantry.db'), /gantry\.db is a symbolic link/],
    ['with a link for the write-ahead log', () => link('gantry.db-wal'), /gantry\.db-wal is a symbolic link/],
    ['with a link for the keys', () => link('account.json'), /account\.json is a symbolic link/],
    ['with a link for the next keys', () => link('account.json.new'), /account\.json\.new is a symbolic link/],
    ['with a link for the sealing key', () => link('secret.key'), /secret\.key is a symbolic link/],
    ['with a link for the server file', () => link('server.json'), /server\.json is a symbolic link/],
    ['with a link for a lock', () => link('lock.7'), /lock\.7 is a symbolic link/],
    ['with a link for the TLS key', () => link('tls/tls.key'), /tls\.key is a symbolic link/],
    ['with a link for a broker log', () => link('brokers/1.log'), /1\.log is a symbolic link/],
    ['with a link for an instance', () => link('instances/rmq-cn-1'), /rmq-cn-1 is a symbolic link/],
    ['with a link for all instances', () => link('instances'), /instances is a symbolic link/],
    [
      'with a pipe for the settings',
      () => spawnSync('mkfifo', [path.join(home, 'gantry.yaml')]),
      /gantry\.yaml is no file/,
    ],
    ['with a ledger that others may write', () => chmodSync(put('gantry.db'), 0o666), /gantry\.db can be written by/],
  ]
  it.each(hostile)('%s is refused, and nothing in it is changed', async (_, make, sentence) => {
    make()
    await expect(acquireHome(home)).rejects.toThrow(sentence)
    expect(hostileHome(home)).toMatch(sentence)
  })

  it('reached by a link is used where the link led when it was looked at', async () => {
    const way = path.join(place, 'link')
    symlinkSync(home, way)
    const settings = readSettings({ home: way }, {})
    expect(settings.home).toBe(realpathSync(home))
    const elsewhere = path.join(place, 'elsewhere')
    mkdirSync(elsewhere, { mode: 0o700 })
    const held = await acquireHome(way, {
      async beforeTaking() {
        unlinkSync(way)
        symlinkSync(elsewhere, way)
      },
    })
    expect(held.home).toBe(realpathSync(home))
    expect(readdirSync(elsewhere)).toEqual([])
    expect(readdirSync(home)).toContain('lock.1')
    await held.release()
  })

  it('whose link lies in a folder that others may write is refused', async () => {
    const shared = path.join(place, 'shared')
    mkdirSync(shared)
    chmodSync(shared, 0o777)
    symlinkSync(home, path.join(shared, 'link'))
    expect(lookAtHome(home).hostile).toBeNull()
    await expect(acquireHome(path.join(shared, 'link'))).rejects.toThrow(/every user may put another folder/)
  })

  it('of another user is refused', async () => {
    expect(hostileHome(home, own! + 1)).toMatch(/belongs to another user/)
    expect(hostileHome(home, own! + 1)).toContain(`(user id ${own})`)
  })

  it.skipIf(!isRoot)('with a file of another user is refused (needs root to make one)', async () => {
    lchownSync(put('gantry.db'), somebody, somebody)
    await expect(acquireHome(home)).rejects.toThrow(/gantry\.db belongs to another user \(user id 65534\)/)
  })

  it.skipIf(!isRoot)('with settings of another user is refused (needs root to make them)', () => {
    lchownSync(put('gantry.yaml'), somebody, somebody)
    expect(hostileHome(home)).toMatch(/gantry\.yaml belongs to another user/)
  })

  it.skipIf(!isRoot)('in a folder of another user is refused (needs root to make one)', async () => {
    lchownSync(place, somebody, somebody)
    await expect(acquireHome(home)).rejects.toThrow(/whose owner \(user id 65534\) may put another folder/)
  })
})

describe.skipIf(process.platform === 'win32')('a link in place of an instance’s file', () => {
  it('is not followed', async () => {
    link('segment')
    const disk = createRealDisk()
    for (const mode of ['read', 'write', 'create'] as const) {
      await expect(disk.open(path.join(home, 'segment'), mode)).rejects.toThrow(/ELOOP|EEXIST/)
    }
    expect(readFileSync(path.join(place, 'elsewhere'), 'utf8')).toBe('precious')
  })
})
