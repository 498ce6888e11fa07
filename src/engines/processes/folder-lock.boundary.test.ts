/** The lock of an instance's folder, between real processes. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { lockFolder } from './folder-lock.ts'

let workshop: string
let script: string
let folder: string
const children: ChildProcess[] = []

beforeAll(async () => {
  workshop = mkdtempSync(path.join(tmpdir(), 'gantry-lock-'))
  script = path.join(workshop, 'child.mjs')
  // A child that takes the lock when told to and says whether it got it.
  await build({
    stdin: {
      contents: `
        import { lockFolder } from './folder-lock.ts'
        process.stdin.once('data', async () => {
          try { await lockFolder(process.argv[2], 'It', { socket: null }); console.log('got') }
          catch (error) { console.log(error.message) }
        })
        console.log('ready')`,
      resolveDir: path.dirname(fileURLToPath(import.meta.url)),
    },
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: script,
  })
})
beforeEach(() => {
  folder = path.join(mkdtempSync(path.join(workshop, 'one-')), 'lock')
})
afterAll(() => {
  for (const child of children) child.kill('SIGKILL')
  rmSync(workshop, { recursive: true, force: true })
})

async function child() {
  const spawned = spawn(process.execPath, [script, folder], { stdio: ['pipe', 'pipe', 'inherit'] })
  children.push(spawned)
  const lines = createInterface({ input: spawned.stdout })[Symbol.asyncIterator]()
  await lines.next()
  return {
    async take(): Promise<string> {
      spawned.stdin.write('take\n')
      return (await lines.next()).value as string
    },
    async kill() {
      spawned.kill('SIGKILL')
      await once(spawned, 'exit')
    },
  }
}

const take = () => lockFolder(folder, 'Instance i', { socket: null })

describe('the lock', () => {
  it('is had by one at a time, and again after its release', async () => {
    const lock = await take()
    await expect(take()).rejects.toThrow(new RegExp(`^Instance i is held by process ${process.pid} on `))
    await Promise.all([lock.release(), lock.release()])
    const again = await take()
    await again.release()
    expect(readdirSync(folder)).toHaveLength(1)
  })

  it('leaves no trace when it is forgotten', async () => {
    await (await take()).forget()
    expect(existsSync(folder)).toBe(false)
    await (await take()).release()
  })

  it('ends with a process that is killed', async () => {
    const other = await child()
    expect(await other.take()).toBe('got')
    await expect(take()).rejects.toThrow(/is held by process/)
    await other.kill()
    await (await take()).release()
  })

  it('goes to one of many that find a dead holder, and to one of many that find none', async () => {
    for (let round = 0; round < 3; round++) {
      const many = await Promise.all(Array.from({ length: 6 }, () => child()))
      const answers = await Promise.all(many.map((each) => each.take()))
      expect(answers.filter((answer) => answer === 'got')).toHaveLength(1)
      await Promise.all(many.map((each) => each.kill()))
    }
  })

  it('goes to one of many in this process too', async () => {
    const taken = await Promise.allSettled(Array.from({ length: 20 }, take))
    expect(taken.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  })

  it.each([
    ['rubbish', () => symlinkSync('rubbish', path.join(folder, '7'))],
    ['a file', () => writeFileSync(path.join(folder, '7'), '')],
    ['another name', () => writeFileSync(path.join(folder, 'notes'), '')],
  ])('is not held up by %s in its folder', async (_what, damage) => {
    await (await take()).release()
    damage()
    await (await take()).release()
  })

  it('asks the socket of a holder in another container, and believes one that answers', async () => {
    const socket = path.join(workshop, 'holder.sock')
    await (await lockFolder(folder, 'It', { socket })).release()
    // As if written in another pid namespace of this boot.
    const own = JSON.parse(await targetWhileHeld(socket)) as object
    symlinkSync(JSON.stringify({ ...own, pid: 1, namespace: 'pid:[1]', socket }), path.join(folder, '99'))
    const server = createServer().listen(socket)
    await once(server, 'listening')
    await expect(take()).rejects.toThrow(/held by process 1/)
    await new Promise((resolve) => server.close(resolve))
    await (await take()).release()
  })
})

async function targetWhileHeld(socket: string): Promise<string> {
  const lock = await lockFolder(folder, 'It', { socket })
  const highest = Math.max(...readdirSync(folder).map(Number))
  const target = readlinkSync(path.join(folder, String(highest)))
  await lock.release()
  return target
}
