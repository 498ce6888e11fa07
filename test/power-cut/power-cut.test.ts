/**
 * A real power cut: an ext4 file system of its own on a loop device, shut down under the writer with the
 * ioctl EXT4_IOC_SHUTDOWN and no flush of its journal. Every page that was not synced is gone, as when
 * the machine loses power (a disk that lies about its cache is not modelled).
 *
 * What was acknowledged before the cut is judged. The ioctl lets an fdatasync that is under way while it
 * runs succeed without its data: a bare pwrite and fdatasync loses its last number in one cut of eight.
 *
 * Needs root, loop devices, mkfs.ext4 and perl (for the ioctl); elsewhere it is skipped, with the reason.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { batchesIn, buildWriter, writeUntil } from './judge.ts'

const folder = mkdtempSync(join(tmpdir(), 'gantry-power-'))
const mountPoint = join(folder, 'disk')
const image = join(folder, 'image')
const unable = whyNot()
let writer: string

beforeAll(async () => {
  if (!unable) writer = await buildWriter(folder)
})
afterAll(() => {
  quietly('umount', '-l', mountPoint)
  rmSync(folder, { recursive: true, force: true })
})

it.skipIf(unable !== null)(
  `a real power cut loses nothing acknowledged${unable ? ` (skipped: ${unable})` : ''}`,
  async () => {
    const directory = join(mountPoint, 'instance', 'log')
    let first = 0
    for (const count of [3, 250, 60]) {
      const { before: acknowledged } = await writeUntil({ writer, directory, first, count }, () => cutPower())
      run('umount', mountPoint)
      run('mount', '-o', 'loop', image, mountPoint)
      const found = await batchesIn(directory)
      const there = new Set(found)
      const lost = acknowledged.filter((number) => number >= (found[0] ?? 0) && !there.has(number))
      expect(lost, `after ${count}`).toEqual([])
      expect(found.at(-1), `after ${count}`).toBeGreaterThanOrEqual(Math.max(...acknowledged))
      first = found.at(-1)! + 1
    }
  },
)

/** Flag 2 is EXT4_GOING_FLAGS_NOLOGFLUSH; 0x8004587d is _IOR('X', 125, __u32). From then on every call on the disk fails. */
function cutPower(): void {
  run(
    'perl',
    '-e',
    'open(my $f, "<", $ARGV[0]) or die $!; my $flag = pack("L", 2); ioctl($f, 0x8004587d, $flag) or die $!',
    mountPoint,
  )
}

/** Makes and mounts the disk; null when that works here, else the reason why not. */
function whyNot(): string | null {
  if (process.platform !== 'linux') return 'it needs Linux'
  if (process.getuid?.() !== 0) return 'it needs root'
  if (!existsSync('/dev/loop-control')) return 'there are no loop devices'
  try {
    mkdirSync(mountPoint, { recursive: true })
    writeFileSync(image, '')
    truncateSync(image, 64 * 2 ** 20)
    run('mkfs.ext4', '-q', '-F', image)
    run('mount', '-o', 'loop', image, mountPoint)
    run('perl', '-e', '1')
    return null
  } catch (error) {
    return `it could not mount a disk of its own: ${(error as Error).message.split('\n')[0]}`
  }
}

function run(command: string, ...args: string[]): void {
  execFileSync(command, args, { stdio: 'pipe', timeout: 20_000 })
}

function quietly(command: string, ...args: string[]): void {
  try {
    run(command, ...args)
  } catch {
    // It was not mounted.
  }
}
