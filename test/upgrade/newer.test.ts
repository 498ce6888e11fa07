/** A home of a newer program is refused with a sentence, and left byte for byte as it was. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { crc32 } from 'node:zlib'
import { afterEach, describe, expect, it } from 'vitest'
import { LEDGER_FILE } from '../../src/ledger/sqlite.ts'
import { openBinding } from '../../src/ledger/sqlite-binding.ts'
import { cleanEnv, gantry } from '../support/server.ts'
import { diskOf, fixtures, openInstance, readFixture, unpack } from './fixture.ts'

const fixture = fixtures[0]!

const homes: string[] = []
afterEach(() => {
  for (const home of homes.splice(0)) rmSync(path.dirname(home), { recursive: true, force: true })
})
function freshHome(state: 'stopped' | 'killed'): string {
  const home = unpack(fixture, state)
  homes.push(home)
  return home
}

/** Of every file and folder its name, mode and content. */
function contentOf(folder: string): Record<string, string> {
  const found: Record<string, string> = {}
  for (const name of readdirSync(folder, { recursive: true }) as string[]) {
    const file = path.join(folder, name)
    const stats = statSync(file)
    const content = stats.isDirectory() ? 'folder' : createHash('sha256').update(readFileSync(file)).digest('hex')
    found[name] = `${stats.mode.toString(8)} ${content}`
  }
  return found
}

async function up(home: string): Promise<{ code: number; said: string; out: string }> {
  const child = spawn(process.execPath, [gantry, 'up', '--json', '--home', home, '--port', '0'], { env: cleanEnv() })
  let said = ''
  let out = ''
  child.stderr.on('data', (chunk) => (said += chunk))
  child.stdout.on('data', (chunk) => (out += chunk))
  const [code] = await once(child, 'close')
  return { code, said, out }
}

describe('a whole server over a home of a newer program', () => {
  it.each(['stopped', 'killed'] as const)('refuses a %s one by its format.json, and touches nothing', async (state) => {
    const home = freshHome(state)
    writeFileSync(
      path.join(home, 'format.json'),
      JSON.stringify({ program: '99.0.0', formats: { ledger: 9_999, 'message log': 1 } }),
    )
    const before = contentOf(home)
    const { code, said, out } = await up(home)
    expect(code).not.toBe(0)
    expect(out).toBe('')
    expect(said).toContain('was written by a newer Gantry (99.0.0): its ledger has format 9999')
    expect(said).toContain('Nothing was changed. Start that program or a newer one')
    expect(contentOf(home)).toEqual(before)
  })

  it('refuses a ledger with newer migrations, also where format.json does not tell', async () => {
    const home = freshHome('stopped')
    const binding = openBinding(path.join(home, LEDGER_FILE))
    binding.exec(`pragma locking_mode = exclusive; insert into schema_migrations values (9999, 'of the future', 1)`)
    binding.close()
    const ledger = readFileSync(path.join(home, LEDGER_FILE))
    const { code, said } = await up(home)
    expect(code).not.toBe(0)
    expect(said).toMatch(/written by a newer Gantry|of another branch of Gantry/)
    expect(readFileSync(path.join(home, LEDGER_FILE)).equals(ledger)).toBe(true)
    expect(readdirSync(path.join(home, 'instances')).sort()).toEqual(
      Object.values(readFixture(fixture).homes.stopped.instances)
        .map(({ instanceId }) => instanceId)
        .filter((id) => id !== readFixture(fixture).homes.stopped.instances.serverless.instanceId)
        .sort(),
    )
  })
})

describe('an instance whose files a newer program wrote', () => {
  const expected = readFixture(fixture).homes.stopped
  const { instanceId } = expected.instances.standard

  /** Changes one file of the instance, and answers what opening it says; its files are as before. */
  async function refusal(name: string, change: (bytes: Buffer) => void): Promise<{ code?: string; message: string }> {
    const home = freshHome('stopped')
    const disk = await diskOf(home, instanceId)
    const bytes = Buffer.from(disk.contentOf(`/instance/${name}`)!)
    change(bytes)
    disk.plant(`/instance/${name}`, bytes)
    const all = async () =>
      (await disk.list('/instance')).map((each) => [
        each,
        Buffer.from(disk.contentOf(`/instance/${each}`)!).toString('hex'),
      ])
    const before = await all()
    const opened = await openInstance(home, instanceId, expected.atMs, disk).catch((error: unknown) => error)
    if (!(opened instanceof Error)) throw new Error('It opened.')
    expect(await all()).toEqual(before)
    return opened
  }
  const newest = (suffix: string): string =>
    readdirSync(path.join(freshHome('stopped'), 'instances', instanceId))
      .filter((name) => name.endsWith(suffix))
      .sort()
      .at(-1)!

  it('is refused by the format of a segment', async () => {
    const segment = newest('.segment')
    const { code, message } = await refusal(segment, (bytes) => {
      bytes.writeUInt32LE(99, 8)
      bytes.writeUInt32LE(crc32(bytes.subarray(0, 124)), 124)
    })
    expect(code).toBe('newer')
    expect(message).toMatch(
      /segment was written by a newer Gantry: it has format 99, and this program knows formats up to/,
    )
  })

  it('is refused by the format of the checkpoint file', async () => {
    const { code, message } = await refusal('checkpoint', (bytes) => {
      bytes.writeUInt32LE(99, 8)
      bytes.writeUInt32LE(crc32(bytes.subarray(0, bytes.length - 4)), bytes.length - 4)
    })
    expect(code).toBe('newer')
    expect(message).toContain('checkpoint was written by a newer Gantry: it has format 99')
  })

  it('is refused by the format of the state in it', async () => {
    const { code, message } = await refusal('checkpoint', (bytes) => {
      // Behind the places of the sealed segments and the first piece's length: the ages of the segments, then the state.
      const piece = 44 + bytes.readUInt32LE(40) * 8
      const state = piece + 4 + bytes.readUInt32LE(piece) + 4
      bytes[state] = 99
      bytes.writeUInt32LE(crc32(bytes.subarray(0, bytes.length - 4)), bytes.length - 4)
    })
    expect(message).toContain('written by a newer Gantry: its state has format 99')
    expect(code).toBe('newer')
  })
})
