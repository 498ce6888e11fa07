import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type Server } from 'node:net'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { buildChild, Child } from '../../test/support/child.ts'
import { aCause, LedgerPlaces, ledgerTargets, titleOf } from '../../test/support/ledger.ts'
import { HomeError } from './errors.ts'
import { acquireHome, type HeldHome, homeHolder } from './home.ts'

const places = new LedgerPlaces()
let program: Awaited<ReturnType<typeof buildChild>>
beforeAll(async () => {
  program = await buildChild('test/support/ledger-child.ts')
})
afterAll(() => program.remove())

let home: string
const children: Child[] = []
beforeEach(() => {
  home = path.join(places.home(), 'home')
})
afterEach(async () => {
  for (const child of children.splice(0)) await child.kill()
  await places.clean()
})

describe('the home', () => {
  it('is made with its parents, for its owner alone', async () => {
    const deep = path.join(home, 'a', 'b')
    const held = await acquireHome(deep)
    expect(statSync(deep).mode & 0o777).toBe(0o700)
    await held.release()
  })

  it('keeps what is in it', async () => {
    mkdirSync(home)
    for (const name of ['notes.txt', 'lock.old', 'lock.0', 'lock.1.bak', 'lock.sock'])
      writeFileSync(path.join(home, name), name)
    for (let round = 0; round < 3; round++) await (await acquireHome(home)).release()
    for (const name of ['notes.txt', 'lock.old', 'lock.0', 'lock.1.bak', 'lock.sock']) {
      expect(readFileSync(path.join(home, name), 'utf8')).toBe(name)
    }
  })

  const impossible: Array<[string, () => string, RegExp]> = [
    ['a file', () => aFile(home), /a file is in its place/],
    ['below a file', () => path.join(aFile(home), 'sub', 'sub'), /a file is in its place/],
    ['in /proc, which takes no folders', () => '/proc/gantry-home/sub', /cannot be made/],
  ]
  it.each(impossible)('that is %s is refused with a sentence', async (_, make, sentence) => {
    const error = await acquireHome(make()).catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(HomeError)
    expect(String(error)).toMatch(sentence)
  })
})

describe('the lock of a home', () => {
  it('refuses a second server, in this process and in another, naming the first', async () => {
    expect(await homeHolder(home)).toBeNull()
    const held = await acquireHome(home)
    await expect(acquireHome(home)).rejects.toThrow(new RegExp(`process ${process.pid}\\).* uses the home`))
    const other = await start()
    expect(other.lines[0]).toMatch(/^refused Another Gantry server \(process \d+\) uses the home/)
    await other.exited
    expect(other.exitCode).toBe(3)
    expect(await homeHolder(home)).toMatchObject({ pid: process.pid })
    await held.release()
    await held.release()
    expect(await homeHolder(home)).toBeNull()
    await (await acquireHome(home)).release()
  })

  it('dies with its process, kill -9 included, and leaves one file behind', async () => {
    const child = await start()
    expect(child.lines).toEqual(['held'])
    await expect(acquireHome(home)).rejects.toThrow(new RegExp(`process ${child.pid}\\)`))
    await child.kill()
    const held = await acquireHome(home)
    await held.release()
    expect(readdirSync(home).filter((name) => name.startsWith('lock'))).toEqual(['lock.2'])
  })

  it('goes to one of many that start at once, over a dead holder and over none', async () => {
    for (let round = 0; round < 3; round++) {
      const starters = await Promise.all(Array.from({ length: 4 }, () => start()))
      expect(starters.map((child) => child.lines[0]!.split(' ')[0]).toSorted()).toEqual([
        'held',
        'refused',
        'refused',
        'refused',
      ])
      await Promise.all(starters.map((child) => child.kill()))
    }
    const attempts = await Promise.allSettled(Array.from({ length: 20 }, () => acquireHome(home)))
    const winners = attempts.flatMap((attempt) => (attempt.status === 'fulfilled' ? [attempt.value] : []))
    expect(winners).toHaveLength(1)
    await winners[0]!.release()
  })

  it('does not go to a starter that looked before others came and went', async () => {
    let holder: HeldHome | undefined
    const slow = acquireHome(home, {
      beforeTaking: async () => {
        if (holder !== undefined) return
        // Two come and go, a third stays: the number the slow one wants to take is free again.
        await (await acquireHome(home)).release()
        await (await acquireHome(home)).release()
        holder = await acquireHome(home)
        expect(readdirSync(home)).not.toContain('lock.1')
      },
    })
    await expect(slow).rejects.toThrow(HomeError)
    expect(await homeHolder(home)).toMatchObject({ pid: process.pid })
    await holder?.release()
  })

  it('goes to one of two that looked at the same time', async () => {
    let arrived = 0
    let meet = (): void => {}
    const met = new Promise<void>((resolve) => {
      meet = resolve
    })
    const beforeTaking = (): Promise<void> => {
      if (++arrived === 2) meet()
      return met
    }
    const outcomes = await Promise.allSettled([
      acquireHome(home, { beforeTaking }),
      acquireHome(home, { beforeTaking }),
    ])
    expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
  })

  // Boots, process starts and namespaces come from /proc.
  describe.skipIf(process.platform !== 'linux')('that names', () => {
    const own = { pid: process.pid, processStart: null, boot: null, namespace: null, host: 'elsewhere', socket: null }
    let listener: Server | null = null
    afterEach(async () => {
      await new Promise<void>((resolve) => (listener === null ? resolve() : listener.close(() => resolve())))
      listener = null
    })
    const facts = async () => {
      const held = await acquireHome(home)
      const record = JSON.parse(readFileSync(path.join(home, 'lock.1'), 'utf8'))
      await held.release()
      rmSync(path.join(home, 'lock.1'))
      return record
    }
    const write = (record: object | string) =>
      writeFileSync(path.join(home, 'lock.7'), typeof record === 'string' ? record : JSON.stringify(record))

    it('a process number that another process has now is free', async () => {
      const record = await facts()
      write({ ...record, socket: null, processStart: '1' })
      await (await acquireHome(home)).release()
    })

    it('this process is held', async () => {
      const record = await facts()
      write({ ...record, socket: null })
      await expect(acquireHome(home)).rejects.toThrow(HomeError)
    })

    it('another boot of this machine is free', async () => {
      const record = await facts()
      write({ ...record, boot: 'before' })
      await (await acquireHome(home)).release()
    })

    it('a holder in another container is held while its socket answers, and free when it does not', async () => {
      const record = await facts()
      write({ ...record, namespace: 'pid:[1]', host: 'other', socket: 'lock.7.1.sock' })
      listener = createServer((socket) => socket.destroy())
      await new Promise<void>((resolve) => listener!.listen(path.join(home, 'lock.7.1.sock'), resolve))
      await expect(acquireHome(home)).rejects.toThrow(/on other/)
      // The socket of a killed process stays as a name that nobody answers.
      const child = new Child(program.file, ['lock', home])
      await child.exited
      await new Promise<void>((resolve) => listener!.close(() => resolve()))
      listener = null
      await (await acquireHome(home)).release()
    })

    it('nobody one can ask is held: two servers would be worse', async () => {
      mkdirSync(home)
      write(own)
      await expect(acquireHome(home)).rejects.toThrow(/remove .*lock\.7/)
    })

    it.each([
      ['nothing', ''],
      ['half a record', '{"pid":1'],
      ['something else', '[]'],
      ['null', 'null'],
    ])('%s is free: a lock appears whole', async (_, text) => {
      mkdirSync(home)
      write(text)
      await (await acquireHome(home)).release()
    })
  })
})

for (const target of ledgerTargets.filter(({ kind }) => kind === 'sqlite')) {
  describe.skipIf(target.missing !== null)(`a ledger file on ${titleOf(target)}`, () => {
    const opened = async () => {
      const place = await places.place(target)
      const ledger = await place.open()
      await ledger.change(aCause, async ({ tx }) => {
        for (let index = 0; index < 300; index++) {
          await tx
            .insertInto('meta')
            .values({ key: `k${index}`, value: 'v'.repeat(200) })
            .execute()
        }
      })
      await ledger.close()
      return { place, file: path.join(place.home, 'gantry.db') }
    }

    const spoilers: Array<[string, (file: string) => void]> = [
      ['is text', (file) => writeFileSync(file, 'Dear diary, '.repeat(1_000))],
      ['has another program’s format', (file) => writeFileSync(file, Buffer.alloc(8_192, 0xab))],
      ['lost its second half', (file) => truncateSync(file, Math.floor(statSync(file).size / 2))],
      ['lost its last page', (file) => truncateSync(file, statSync(file).size - 4_096)],
      ['has a page of noise', (file) => overwrite(file, 8_192, 4_096)],
      ['has noise in every page but the first', (file) => overwrite(file, 4_096, statSync(file).size - 4_096)],
    ]
    it.each(spoilers)('that %s is refused and left as it is', async (_, spoil) => {
      const { place, file } = await opened()
      spoil(file)
      const before = readFileSync(file)
      const error = await place.open().catch((caught: unknown) => caught)
      expect(error).toBeInstanceOf(HomeError)
      expect(String(error)).toMatch(/not a sound ledger.*left as it is|not a sound ledger.*restore/s)
      expect(readFileSync(file).equals(before)).toBe(true)
    })

    it('that is a folder is refused with a sentence', async () => {
      const place = await places.place(target)
      mkdirSync(path.join(place.home, 'gantry.db'))
      await expect(place.open()).rejects.toThrow(HomeError)
    })

    it('whose stale lock was left by a killed process opens', async () => {
      const { place, file } = await opened()
      mkdirSync(`${file}.lock`)
      await (await place.open()).close()
    })

    it('whose lock folder holds something is left alone', async () => {
      const { place, file } = await opened()
      mkdirSync(`${file}.lock`)
      writeFileSync(`${file}.lock/precious`, 'x')
      await expect(place.open()).rejects.toThrow(/is in the way/)
      expect(readFileSync(`${file}.lock/precious`, 'utf8')).toBe('x')
    })

    const noMounts = cannot('mount', ['-t', 'tmpfs', '-o', 'size=400k', 'tmpfs'], 'umount')
    describe.skipIf(noMounts !== null)(
      `on a disk that is small${noMounts === null ? '' : ` (skipped: ${noMounts})`}`,
      () => {
        it('refuses changes when it is full, keeps what was acknowledged, and goes on when there is space', async () => {
          const place = await places.place(target)
          spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=700', 'tmpfs', place.home])
          try {
            let ledger = await place.open()
            const ballast = path.join(place.home, 'ballast')
            writeFileSync(ballast, Buffer.alloc(1_200_000))
            const acknowledged: string[] = []
            let refusal: unknown
            for (let index = 0; index < 1_000 && refusal === undefined; index++) {
              await ledger
                .change(aCause, ({ tx }) =>
                  tx
                    .insertInto('meta')
                    .values({ key: `n${index}`, value: 'v'.repeat(3_000) })
                    .execute(),
                )
                .then(() => acknowledged.push(`n${index}`))
                .catch((error: unknown) => {
                  refusal = error
                })
            }
            expect(refusal).toMatchObject({ name: 'LedgerError', code: 'storage' })
            expect(String((refusal as Error).message)).toMatch(/full.*Nothing of this change was stored/)
            expect(acknowledged.length).toBeGreaterThan(5)
            const stored = async () =>
              (await ledger.read.selectFrom('meta').select('key').where('key', 'like', 'n%').execute()).map(
                ({ key }) => key,
              )
            expect((await stored()).toSorted()).toEqual(acknowledged.toSorted())
            rmSync(ballast)
            await ledger.change(aCause, ({ tx }) => tx.insertInto('meta').values({ key: 'nlast', value: '' }).execute())
            await ledger.close()
            ledger = await place.open()
            expect((await stored()).toSorted()).toEqual([...acknowledged, 'nlast'].toSorted())
            await ledger.close()
          } finally {
            spawnSync('umount', ['-l', place.home])
          }
        })

        it.each([
          ['full', 'size=400k'],
          ['read-only', 'ro'],
        ])('is refused with a sentence when the disk is %s', async (_, option) => {
          const place = await places.place(target)
          spawnSync('mount', ['-t', 'tmpfs', '-o', `${option},mode=700`, 'tmpfs', place.home])
          try {
            if (option !== 'ro') writeFileSync(path.join(place.home, 'ballast'), Buffer.alloc(400 * 1_024))
            const held = await acquireHome(place.home).catch((error: unknown) => error)
            const opened = await place.open().catch((error: unknown) => error)
            for (const error of [held, opened]) {
              expect(error).toBeInstanceOf(HomeError)
              expect(String(error)).toMatch(option === 'ro' ? /read-only/ : /disk is full|has space/)
            }
          } finally {
            spawnSync('umount', ['-l', place.home])
          }
        })
      },
    )
  })
}

function aFile(name: string): string {
  writeFileSync(name, 'x')
  return name
}

async function start(): Promise<Child> {
  const child = new Child(program.file, ['lock', home])
  children.push(child)
  await child.until((lines) => lines.length > 0)
  return child
}

function overwrite(file: string, position: number, length: number): void {
  const copy = `${file}.copy`
  copyFileSync(file, copy)
  const bytes = readFileSync(copy)
  rmSync(copy)
  for (let at = position; at < position + length; at++) bytes[at] = (at * 31 + 7) & 0xff
  writeFileSync(file, bytes)
}

/** Why `mount` cannot be used here, or null. Tried once, on a folder of its own. */
function cannot(command: string, args: readonly string[], undo: string): string | null {
  const folder = path.join(places.home(), 'mount')
  mkdirSync(folder)
  const tried = spawnSync(command, [...args, folder])
  if (tried.status !== 0) return `this user cannot ${command}`
  spawnSync(undo, [folder])
  return null
}
