import { chmod, chown, mkdir, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { namesWithSocket, ownSocketFolder } from './socket-folder.ts'

let root: string
let folder: string
beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'gantry-sockets-'))
  folder = path.join(root, 'sockets')
})
afterEach(() => rm(root, { recursive: true, force: true }))

/** As for a home whose own folder is too long for sockets. */
const places = () => ({ sockets: folder, brokers: path.join(root, 'brokers') })

describe('the folder of sockets', () => {
  it('is made for its owner alone, and is fine when it is there', async () => {
    ownSocketFolder(places())
    ownSocketFolder(places())
    expect((await stat(folder)).mode & 0o777).toBe(0o700)
  })

  it('names the processes that have a socket in it', async () => {
    expect(namesWithSocket(places())).toEqual([])
    ownSocketFolder(places())
    for (const file of ['1.sock', 'rmq-cn-abc.sock', '1.log', '..sock', 'a b.sock'])
      await writeFile(path.join(folder, file), '')
    expect(namesWithSocket(places()).sort()).toEqual(['1', 'rmq-cn-abc'])
  })

  it.each<[string, () => Promise<void>]>([
    [
      'others may write to it',
      async () => {
        await mkdir(folder)
        await chmod(folder, 0o777)
      },
    ],
    [
      'it is a link to another',
      async () => {
        await mkdir(path.join(root, 'elsewhere'), { mode: 0o700 })
        await symlink(path.join(root, 'elsewhere'), folder)
      },
    ],
    ['a file is in its place', () => writeFile(folder, '')],
  ])('is refused when %s', async (_what, make) => {
    await make()
    expect(() => namesWithSocket(places())).toThrow(/shorter path/)
    expect(() => ownSocketFolder(places())).toThrow(/shorter path|EEXIST/)
  })

  it('is fine with whatever mode it has in the home, which is closed to others', async () => {
    await mkdir(folder)
    await chmod(folder, 0o775)
    ownSocketFolder({ sockets: folder, brokers: folder })
    expect(namesWithSocket({ sockets: folder, brokers: folder })).toEqual([])
  })

  it.skipIf(process.getuid?.() !== 0)('is refused when it is another user’s (needs root to make one)', async () => {
    await mkdir(folder, { mode: 0o700 })
    await chown(folder, 12_345, 12_345)
    expect(() => ownSocketFolder(places())).toThrow(/shorter path/)
  })
})
