/**
 * Starts broker processes and finds those that run: what the supervisor needs of the machine. A process
 * that is found is asked who it is; one of another version or protocol is asked to close, and its
 * instances come up again in its successor, on the same ports.
 */
import { existsSync, mkdirSync } from 'node:fs'
import { rm, unlink } from 'node:fs/promises'
import path from 'node:path'
import { EngineError } from '../../model/refusals.ts'
import { answers, describeSelf, isAlive, isJudgedBy } from '../../world/process-identity.ts'
import type { Clock } from '../../world/world.ts'
import { saidFrom, startChild } from '../processes/child-process.ts'
import { holderOf } from '../processes/folder-lock.ts'
import { isHung, listenToHeart, type Patience } from '../processes/heartbeat.ts'
import { type Ending, goneLimitMs, type Launcher, type RunningProcess } from '../processes/supervisor.ts'
import { within } from '../processes/time-limit.ts'
import { type HostApi, type HostGreeting, hostProtocol } from './host-api.ts'
import { connectToHost, type HostLink } from './link.ts'
import { hostPaths, nameLockOf, processPaths } from './paths.ts'
import { linkToPulse, type PulseLink } from './pulse.ts'
import { namesWithSocket, ownSocketFolder } from './socket-folder.ts'

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
const helloLimitMs = 2_000
/** How long an end is waited for that the kernel has not reported yet. */
const exitLimitMs = 1_000

export class HostLauncher implements Launcher<HostApi> {
  readonly #options: HostProcessOptions
  readonly #places: ReturnType<typeof hostPaths>
  /** The first process makes the certificate that all of them show; the others wait for it. */
  #certificate: Promise<unknown> | null = null

  constructor(options: HostProcessOptions) {
    this.#options = options
    this.#places = hostPaths(options.home)
  }

  async names(): Promise<string[]> {
    return namesWithSocket(this.#places)
  }

  async find(name: string, patience: Patience): Promise<RunningProcess<HostApi> | null> {
    const { home, clock, lingerMinutes } = this.#options
    const { socket, pulse: pulsePath, log } = processPaths(home, name)
    ownSocketFolder(this.#places)
    const link = await connectToHost(socket, clock).catch(() => null)
    if (link === null) {
      // Left over by a process that was killed.
      if ((await answers(socket)) === 'no') await unlink(socket).catch(() => {})
      return null
    }
    const pulse = linkToPulse(pulsePath)
    const greeting = await this.#greetingOf({ link, pulse }, name, patience).catch((error: unknown) => {
      link.close()
      pulse.close()
      throw error
    })
    if (greeting === null || !this.#isOurs(greeting, name)) {
      pulse.close()
      if (greeting !== null) await this.#replace(link, greeting)
      return null
    }
    if (greeting.lingerMinutes !== lingerMinutes) await link.host.configure({ lingerMinutes })
    const said = saidFrom(log)
    // Not our child: the kernel tells its exit status to nobody we could ask.
    return running(
      { link, pulse, greeting },
      () => this.#kill(name),
      async () => ({ how: 'without saying how', said: said() }),
    )
  }

  async start(name: string): Promise<RunningProcess<HostApi>> {
    if (this.#certificate === null && !existsSync(path.join(this.#places.certificates, 'tls.crt'))) {
      const first = this.#startNow(name)
      this.#certificate = first.catch(() => {
        this.#certificate = null
      })
      return first
    }
    await this.#certificate
    return this.#startNow(name)
  }

  async forget(name: string): Promise<void> {
    const { home } = this.#options
    const { log, pulse } = processPaths(home, name)
    await rm(log, { force: true })
    await rm(pulse, { force: true })
    await rm(nameLockOf(home, name), { recursive: true, force: true })
  }

  async #startNow(name: string): Promise<RunningProcess<HostApi>> {
    const { home, clock, script, lingerMinutes } = this.#options
    const { socket, pulse, log } = processPaths(home, name)
    mkdirSync(this.#places.brokers, { recursive: true, mode: 0o700 })
    const { child, exit, announced, said } = startChild({
      command: [process.execPath, script, home, name, String(lingerMinutes)],
      log,
    })
    try {
      await within(clock, startLimitMs, announced, `It did not start within ${startLimitMs / 1000} s.`)
      const link = await connectToHost(socket, clock)
      const greeting = await link.host.hello()
      return running(
        { link, pulse: linkToPulse(pulse), greeting },
        () => this.#kill(name),
        async () => {
          // The end counts when the kernel reports it, also when nothing else is left to do.
          child.ref()
          const how = await within(clock, exitLimitMs, exit, '').catch(() => 'without saying how')
          child.unref()
          return { how, said: said() }
        },
      )
    } catch (error) {
      // One that hangs would keep its name and its folders from the next.
      child.kill('SIGKILL')
      throw new StartError((error as Error).message, said())
    }
  }

  #isOurs(greeting: HostGreeting, name: string): boolean {
    const { version, home } = this.#options
    return (
      greeting.version === version &&
      greeting.protocol === hostProtocol &&
      greeting.home === home &&
      greeting.name === name
    )
  }

  /** Null when it had to be killed. */
  async #greetingOf(
    { link, pulse }: { readonly link: HostLink; readonly pulse: PulseLink },
    name: string,
    patience: Patience,
  ): Promise<HostGreeting | null> {
    const { home, clock } = this.#options
    const { socket } = processPaths(home, name)
    if (patience.beats === 0)
      return within(clock, helloLimitMs, link.host.hello(), `The process behind ${socket} does not answer.`)
    const closed = new Promise<void>((resolve) => link.onClose(resolve))
    let heard: HostGreeting | null = null
    await new Promise<void>((resolve) => {
      const stop = listenToHeart({
        clock,
        // Of a process of an earlier program, which has no such thread, silence is all there is to go by.
        ask: () => pulse.ask().catch(() => new Promise<number>(() => {})),
        onPulse: (beat) => (isHung(beat, patience) ? done() : undefined),
      })
      function done(): void {
        stop()
        resolve()
      }
      void link.host.hello().then((greeting) => {
        heard = greeting
        done()
      }, done)
    })
    if (heard !== null) return heard
    await this.#kill(name)
    await within(clock, goneLimitMs, closed, `The process behind ${socket} does not answer, and was killed in vain.`)
    return null
  }

  /** By the number in its lock, which it took itself; never one that may be another's by now, or that counts elsewhere. */
  async #kill(name: string): Promise<void> {
    const holder = await holderOf(nameLockOf(this.#options.home, name))
    const self = await describeSelf()
    if (holder === null || !(await isAlive(holder, self, null))) return
    if (!isJudgedBy(holder, self)) {
      throw new EngineError(
        'unavailable',
        `Broker process ${name} hangs, but runs as process ${holder.pid} in another container or on another machine (${holder.host}); end it there.`,
      )
    }
    process.kill(holder.pid, 'SIGKILL')
  }

  async #replace(link: HostLink, greeting: HostGreeting): Promise<void> {
    const closed = new Promise<void>((resolve) => link.onClose(resolve))
    // The process may be gone before its answer is read; the link's end says the same.
    await link.host.shutdown().catch(() => {})
    await within(
      this.#options.clock,
      closeLimitMs,
      closed,
      `The broker process ${greeting.pid} of version ${greeting.version} did not close.`,
    )
  }
}

/** A process that ended, or hung, before it served. */
class StartError extends Error {
  readonly said: readonly string[]
  constructor(message: string, said: readonly string[]) {
    super(message)
    this.said = said
  }
}

interface Connected {
  readonly link: HostLink
  readonly pulse: PulseLink
  readonly greeting: HostGreeting
}

function running(
  { link, pulse, greeting }: Connected,
  kill: () => Promise<void>,
  ending: () => Promise<Ending>,
): RunningProcess<HostApi> {
  const ended = new Promise<Ending>((resolve) => {
    link.onClose(() => {
      pulse.close()
      void ending().then(resolve)
    })
  })
  return { host: link.host, greeting, pulse: () => pulse.ask(), ended, kill, disconnect: () => link.close() }
}
