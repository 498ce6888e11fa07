/** What the figures were measured on. */
import { execFileSync } from 'node:child_process'
import { closeSync, fdatasyncSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { cpus, release, tmpdir, totalmem, type } from 'node:os'
import path from 'node:path'
import { percentile } from './numbers.mjs'
import { root } from './source.mjs'

export function describeMachine() {
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()}`,
    node: process.version,
    sqlite: hasNodeSqlite() ? 'node:sqlite' : 'node-sqlite3-wasm',
    disk: { fileSystem: fileSystemOf(tmpdir()), ...syncTimes() },
    date: new Date().toISOString().slice(0, 10),
    commit:
      git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', '--', 'src') === '' ? '' : ' with changes'),
  }
}

/** CPU time all programs used so far, what the hypervisor took away included, milliseconds. */
export function machineCpuMs() {
  const [user, nice, system, , , irq, softirq, steal] = readFileSync('/proc/stat', 'utf8')
    .split('\n', 1)[0]
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number)
  return (user + nice + system + irq + softirq + steal) * 10
}

/** CPU time of this process and of all that it started and that has ended, milliseconds. */
function ownCpuMs() {
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1).split(' ')
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) * 10
}

/** Answers later what share of a core others used since; what was started meanwhile must have ended by then. */
export function watchOthers() {
  const from = performance.now()
  const machine = machineCpuMs()
  const own = ownCpuMs()
  return () => Math.max(0, machineCpuMs() - machine - (ownCpuMs() - own)) / (performance.now() - from)
}

const quietShare = 0.1
const quietLimitMs = 15_000

/** Waits until others use less than a tenth of a core, for at most 15 s; answers the share they used last. */
export async function untilQuiet() {
  for (const end = performance.now() + quietLimitMs; ; ) {
    const before = { cpu: machineCpuMs(), at: performance.now() }
    await new Promise((resolve) => setTimeout(resolve, 500))
    const share = (machineCpuMs() - before.cpu) / (performance.now() - before.at)
    if (share < quietShare || performance.now() > end) return share
  }
}

function hasNodeSqlite() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  return major > 22 || (major === 22 && minor >= 13)
}

/** One write of 4 KiB at the end of a file and one fdatasync, milliseconds. */
function syncTimes() {
  const folder = mkdtempSync(path.join(tmpdir(), 'gantry-bench-disk-'))
  const file = openSync(path.join(folder, 'file'), 'w')
  const times = []
  try {
    for (let i = 0; i < 300; i++) {
      const from = performance.now()
      writeSync(file, Buffer.alloc(4096, i))
      fdatasyncSync(file)
      times.push(performance.now() - from)
    }
  } finally {
    closeSync(file)
    rmSync(folder, { recursive: true, force: true })
  }
  return { syncMedianMs: percentile(times, 0.5), syncP99Ms: percentile(times, 0.99) }
}

function fileSystemOf(folder) {
  try {
    const mounts = readFileSync('/proc/mounts', 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.split(' '))
    const inside = (mount) => folder === mount || folder.startsWith(mount === '/' ? '/' : `${mount}/`)
    return mounts.filter(([, mount]) => inside(mount)).sort((a, b) => b[1].length - a[1].length)[0]?.[2] ?? 'unknown'
  } catch {
    return 'unknown'
  }
}

function git(...args) {
  try {
    return execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return 'unknown'
  }
}
