/**
 * Finds the home's broker host, or starts one. A host of another program version is asked to close
 * first: its instances come up again in the new one, on the same ports.
 */
import { spawn } from 'node:child_process'
import { chmodSync, closeSync, mkdirSync, openSync, statSync, truncateSync } from 'node:fs'
import path from 'node:path'
import type { Readable } from 'node:stream'
import type { Clock } from '../../world/world.ts'
import { EngineError } from '../engine.ts'
import { connectToHost, type HostLink } from './link.ts'
import { hostPlaces } from './places.ts'

export interface HostProcessOptions {
  readonly home: string
  /** The bundled `broker-host.mjs`. */
  readonly script: string
  readonly version: string
  readonly lingerMinutes: number
  readonly clock: Clock
}

const startLimitMs = 20_000
const closeLimitMs = 20_000
const logLimitBytes = 16 * 1024 * 1024

export async function findOrStartHost(options: HostProcessOptions): Promise<HostLink> {
  const { socket } = hostPlaces(options.home)
  const running = await connectToHost(socket, options.clock).catch(() => null)
  if (running !== null) {
    const greeting = await running.host.hello()
    if (greeting.version === options.version) return running
    const closed = new Promise<void>((resolve) => running.onClose(resolve))
    // The process may be gone before its answer is read; the link's end says the same.
    await running.host.shutdown().catch(() => {})
    await within(
      options.clock,
      closeLimitMs,
      closed,
      `The broker process ${greeting.pid} of version ${greeting.version} did not close.`,
    )
  }
  await start(options)
  return connectToHost(socket, options.clock)
}

function start(options: HostProcessOptions): Promise<void> {
  const places = hostPlaces(options.home)
  mkdirSync(path.dirname(places.log), { recursive: true, mode: 0o700 })
  trimLog(places.log)
  const log = openSync(places.log, 'a', 0o600)
  chmodSync(places.log, 0o600)
  const child = spawn(process.execPath, [options.script, options.home, String(options.lingerMinutes)], {
    detached: true,
    stdio: ['ignore', log, log, 'pipe'],
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  closeSync(log)
  child.unref()
  const announcement = child.stdio[3] as Readable
  const ready = new Promise<void>((resolve, reject) => {
    announcement.once('data', () => resolve())
    child.once('error', reject)
    child.once('exit', (code) => {
      reject(
        new EngineError(
          'unavailable',
          `The broker process ended with code ${code} while starting; ${places.log} says why.`,
        ),
      )
    })
  })
  return within(
    options.clock,
    startLimitMs,
    ready,
    `The broker process did not start within ${startLimitMs / 1000} s; see ${places.log}.`,
  ).finally(() => announcement.destroy())
}

function trimLog(file: string): void {
  try {
    if (statSync(file).size > logLimitBytes) truncateSync(file, 0)
  } catch {
    // No log yet.
  }
}

function within<T>(clock: Clock, limitMs: number, work: Promise<T>, sentence: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(limitMs, () => reject(new EngineError('unavailable', sentence)))
    work.then(resolve, reject).finally(cancel)
  })
}
