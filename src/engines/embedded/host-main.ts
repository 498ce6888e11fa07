/**
 * Entry of a broker process: `node broker-host.mjs <home> <name> <linger minutes>`.
 *
 * Started by the management server and outliving it: when the server dies, messages flow on and the
 * next server takes the host over. A host that no server has asked for `linger` minutes, or whose home
 * has vanished, ends by itself. One byte on file descriptor 3 says that the socket is open. A thread says whether it lives (pulse.ts).
 */
import { chmodSync, closeSync, existsSync, rmSync, unlinkSync, writeSync } from 'node:fs'
import path from 'node:path'
import { Worker } from 'node:worker_threads'
import { loadCertificate } from '../../gateway/certificate.ts'
import { pause, realWorld } from '../../world/real.ts'
import type { Cancel, Clock } from '../../world/world.ts'
import { cutLog } from '../processes/child-log.ts'
import { type FolderLock, type LockHolder, lockFolder } from '../processes/folder-lock.ts'
import { BrokerHost } from './host.ts'
import { serveHost } from './link.ts'
import { hostPaths, nameLockOf, processPaths } from './paths.ts'
import { keepPulse } from './pulse-keeper.ts'
import type { PulseThreadData } from './pulse-thread.ts'
import { ownSocketFolder } from './socket-folder.ts'

const [home = '', name = '1', lingerText = '10'] = process.argv.slice(2)
const homeLookMs = 10_000
const nameTries = 20
const namePauseMs = 100

async function main(): Promise<void> {
  const places = hostPaths(home)
  const { socket, pulse } = processPaths(home, name)
  const world = realWorld()
  const say = (text: string): void => {
    process.stderr.write(`${new Date(world.clock.now()).toISOString()} ${text}\n`)
  }
  const report = (error: unknown): void => say(error instanceof Error ? (error.stack ?? error.message) : String(error))
  // Its state is unknown. A process that is started again reads every instance from its log.
  process.on('uncaughtException', (error) => {
    report(error)
    process.exit(1)
  })
  process.on('unhandledRejection', report)

  ownSocketFolder(places)
  const holder = { socket }
  // Two starts under one name, by a server that was killed and the next one, must not take the socket from each other.
  const nameLock = await takeName(nameLockOf(home, name), holder)
  if (existsSync(socket)) unlinkSync(socket)
  const listening = startPulse(pulse, world.clock, report)
  const tls = await loadCertificate({ directory: places.certificates, hosts: [] })
  const host = new BrokerHost({
    world,
    directory: places.instances,
    self: { version: process.env.GANTRY_VERSION ?? 'unknown', home, name },
    lingerMinutes: Number(lingerText),
    lock: (instanceId) => lockFolder(path.join(places.locks, instanceId), `Instance ${instanceId}`, holder),
    tls,
    report,
    onShutdown: () => setImmediate(() => end(0)),
    onConfigure(settings) {
      lingerMinutes = settings.lingerMinutes
      linger(open)
    },
  })

  let lingerMinutes = Number(lingerText)
  let open = 0
  let stopLingering: Cancel = () => {}
  const linger = (openLinks: number): void => {
    open = openLinks
    stopLingering()
    if (openLinks > 0 || lingerMinutes === 0) return
    stopLingering = world.clock.after(lingerMinutes * 60_000, () => {
      say(`No server asked for ${lingerMinutes} minutes; closing.`)
      void stop()
    })
  }
  const server = await serveHost(socket, host, linger)
  chmodSync(socket, 0o600)
  await listening
  linger(0)
  watchHome()
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, () => {
      say(`${signal}: closing.`)
      void stop()
    })
  }
  say(`Broker process ${name} serves ${home}, process ${process.pid}.`)
  announce()

  let stopping = false
  async function stop(): Promise<void> {
    if (stopping) return
    stopping = true
    await host.close()
    end(0)
  }

  function end(code: number): void {
    // The socket goes first: a successor may make its own as soon as the name is free.
    server.close()
    rmSync(pulse, { force: true })
    void nameLock.release().finally(() => process.exit(code))
  }

  /** The home was deleted: there is nothing left to serve. Its log must not fill the disk. */
  function watchHome(): void {
    world.clock.after(homeLookMs, () => {
      if (!existsSync(home)) process.exit(0)
      cutLog(process.stderr.fd)
      watchHome()
    })
  }
}

/** Resolves when the thread listens. Without it the process is heard through its main loop alone. */
function startPulse(socket: string, clock: Clock, report: (error: unknown) => void): Promise<void> {
  const turns = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)
  const counter = new Int32Array(turns)
  const workerData: PulseThreadData = { socket, turns }
  return keepPulse({
    clock,
    report,
    turned: () => Atomics.add(counter, 0, 1),
    start() {
      rmSync(socket, { force: true })
      const thread = new Worker(new URL('pulse-thread.mjs', import.meta.url), {
        workerData,
        resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 2 },
      })
      thread.unref()
      return thread
    },
  })
}

/** A predecessor that is just ending is waited for. */
async function takeName(folder: string, holder: LockHolder): Promise<FolderLock> {
  for (let tries = 1; ; tries++) {
    try {
      return await lockFolder(folder, `The name ${name} of a broker process`, holder)
    } catch (error) {
      if (tries === nameTries) throw error
      // Not the clock's timer: nothing else keeps this process alive yet.
      await pause(namePauseMs)
    }
  }
}

/** Tells the starter, if it still listens, that the socket is open. */
function announce(): void {
  try {
    writeSync(3, '.')
    closeSync(3)
  } catch {
    // Started by hand, without the descriptor.
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.stack : error}\n`)
  process.exit(1)
})
