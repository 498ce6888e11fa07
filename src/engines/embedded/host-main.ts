/**
 * Entry of the broker host process: `node broker-host.mjs <home> <linger minutes>`.
 *
 * Started by the management server and outliving it: when the server dies, messages flow on and the
 * next server takes the host over. A host that no server has asked for `linger` minutes, or whose home
 * has vanished, ends by itself. One byte on file descriptor 3 says that the socket is open.
 */
import { chmodSync, closeSync, existsSync, mkdirSync, unlinkSync, writeSync } from 'node:fs'
import { connect } from 'node:net'
import path from 'node:path'
import { loadCertificate } from '../../grpc/certificate.ts'
import { realWorld } from '../../world/real.ts'
import type { Cancel } from '../../world/world.ts'
import { createBrokerHost } from './host.ts'
import { serveHost } from './link.ts'
import { hostPlaces } from './places.ts'

const [home = '', lingerMinutes = '10'] = process.argv.slice(2)
const homeLookMs = 10_000

async function main(): Promise<void> {
  const places = hostPlaces(home)
  const world = realWorld()
  const say = (text: string): void => {
    process.stderr.write(`${new Date(world.clock.now()).toISOString()} ${text}\n`)
  }
  const report = (error: unknown): void => say(error instanceof Error ? (error.stack ?? error.message) : String(error))
  process.on('uncaughtException', report)
  process.on('unhandledRejection', report)

  mkdirSync(path.dirname(places.socket), { recursive: true, mode: 0o700 })
  if (await answers(places.socket)) {
    say('Another broker host serves this home already.')
    process.exit(3)
  }
  if (existsSync(places.socket)) unlinkSync(places.socket)
  const tls = await loadCertificate({ directory: places.certificates, hosts: [] })
  const host = await createBrokerHost({
    world,
    directory: places.instances,
    version: process.env.GANTRY_VERSION ?? 'unknown',
    tls,
    report,
    onShutdown: () => setImmediate(() => end(0)),
  })

  let stopLingering: Cancel = () => {}
  const linger = (openLinks: number): void => {
    stopLingering()
    if (openLinks > 0 || Number(lingerMinutes) === 0) return
    stopLingering = world.clock.after(Number(lingerMinutes) * 60_000, () => {
      say(`No server asked for ${lingerMinutes} minutes; closing.`)
      void stop()
    })
  }
  const server = await serveHost(places.socket, host, linger)
  chmodSync(places.socket, 0o600)
  linger(0)
  watchHome()
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, () => {
      say(`${signal}: closing.`)
      void stop()
    })
  }
  say(`Serving ${home}, process ${process.pid}.`)
  announce()

  let stopping = false
  async function stop(): Promise<void> {
    if (stopping) return
    stopping = true
    await host.close()
    end(0)
  }

  function end(code: number): void {
    server.close()
    process.exit(code)
  }

  /** A home that was deleted under us leaves nothing worth serving. */
  function watchHome(): void {
    world.clock.after(homeLookMs, () => {
      if (!existsSync(home)) process.exit(0)
      watchHome()
    })
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

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.stack : error}\n`)
  process.exit(1)
})
