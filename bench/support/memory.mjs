/**
 * What a running process of Node holds: the kernel's counts (resident memory, descriptors, threads) and V8's, which only
 * the process itself can tell. `tellMemory` has it write them down: SIGUSR1 opens its inspector, one expression starts a
 * timer in it, and the inspector is closed again.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { residentMb } from './gantry.mjs'
import { told } from './inspector.mjs'

/** The process writes `process.memoryUsage()` into `file` (replaced each time) every `everyMs`, until it ends. */
export async function tellMemory(pid, file, everyMs) {
  await told(
    pid,
    `(() => {
      const { renameSync, writeFileSync } = process.getBuiltinModule('fs')
      const file = ${JSON.stringify(file)}
      const write = () => {
        try {
          writeFileSync(file + '.new', JSON.stringify(process.memoryUsage()))
          renameSync(file + '.new', file)
        } catch {}
      }
      write()
      setInterval(write, ${everyMs}).unref()
      setImmediate(() => process.getBuiltinModule('inspector').close())
      return true
    })()`,
  )
}

/** MiB, and numbers of descriptors and threads. */
export function holds(pid, file) {
  const mb = (bytes) => bytes / 1024 / 1024
  const { heapTotal, heapUsed, external, arrayBuffers } = JSON.parse(readFileSync(file, 'utf8'))
  return {
    resident: residentMb(pid).all,
    heapTotal: mb(heapTotal),
    heapUsed: mb(heapUsed),
    external: mb(external),
    arrayBuffers: mb(arrayBuffers),
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    threads: readdirSync(`/proc/${pid}/task`).length,
  }
}
