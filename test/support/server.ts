/**
 * A real Gantry for tests: `bin/gantry.js up --json` in a process of its own over a temporary home. The
 * home and both processes are gone after `close`; only processes started here are ended, by their id.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { lookAtProcesses } from '../../src/engines/embedded/inspect.ts'
import { connectToHost } from '../../src/engines/embedded/link.ts'
import { processPaths } from '../../src/engines/embedded/paths.ts'
import { realClock } from '../../src/world/real.ts'

export const gantry = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', '..', 'bin', 'gantry.js')

export interface Ready {
  readonly event: 'ready'
  readonly apiUrl: string
  readonly region: string
  readonly accountId: string
  readonly accessKeyId: string
  readonly accessKeySecret: string
  readonly home: string
  readonly pid: number
  readonly startupMs: number
}

export interface TestServer {
  readonly ready: Ready
  readonly process: ChildProcess
  /** What it wrote to stderr so far. */
  log(): string
  /** SIGTERM; answers the exit code. */
  stop(): Promise<number | null>
  /** SIGKILL to the management server alone. */
  kill(): Promise<void>
  /** SIGKILL to one broker process alone; unless named, to the first of the pool. */
  killBroker(name?: string): Promise<void>
}

export interface TestHome {
  readonly home: string
  start(options?: { args?: readonly string[]; env?: Readonly<Record<string, string>> }): Promise<TestServer>
  close(): Promise<void>
}

export async function temporaryHome(): Promise<TestHome> {
  return homeAt(path.join(await mkdtemp(path.join(tmpdir(), 'gantry-test-')), 'home'))
}

/** A home in a folder of its own, which goes with it. */
export function homeAt(home: string): TestHome {
  /** From the moment they are started, so that one that never gets ready is ended too. */
  const children: ChildProcess[] = []
  return {
    home,
    start(options = {}) {
      const child = spawnServer(home, options.args ?? [], options.env ?? {})
      children.push(child)
      return serverOf(home, child)
    },
    async close() {
      for (const child of children) {
        child.kill('SIGTERM')
        await endOf(child)
      }
      await endBrokers(home)
      await rm(path.dirname(home), { recursive: true, force: true })
    },
  }
}

/** Environment of a child: ours without settings that would leak into it. */
export function cleanEnv(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  const inherited = Object.entries(process.env).filter(
    ([name, value]) => value !== undefined && !name.startsWith('GANTRY_'),
  )
  return { ...(Object.fromEntries(inherited) as Record<string, string>), NO_COLOR: '1', ...extra }
}

/**
 * Each test file has a process of its own and so, nearly always, ports of its own: while a server or a broker of one is
 * down, no server of another takes the port of an instance that is to come back. Below what the system assigns by itself.
 */
const firstInstancePort = 11_000 + (process.pid % 130) * 80

function spawnServer(home: string, args: readonly string[], env: Readonly<Record<string, string>>): ChildProcess {
  return spawn(process.execPath, [gantry, 'up', '--json', '--home', home, '--port', '0', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: cleanEnv({ GANTRY_LOG_LEVEL: 'warn', GANTRY_FIRST_INSTANCE_PORT: String(firstInstancePort), ...env }),
  })
}

/** The exit code; null for one that a signal ended. */
async function endOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  return child.exitCode
}

/** Resolves when the server is ready. */
async function serverOf(home: string, child: ChildProcess): Promise<TestServer> {
  let log = ''
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    log += text
  })
  const lines = createInterface({ input: child.stdout! })
  const first = await Promise.race([
    once(lines, 'line').then(([line]) => line as string),
    once(child, 'exit').then(([code]) => {
      throw new Error(`gantry up ended with code ${code}:\n${log}`)
    }),
  ])
  return {
    ready: JSON.parse(first) as Ready,
    process: child,
    log: () => log,
    async stop() {
      child.kill('SIGTERM')
      return endOf(child)
    },
    async kill() {
      child.kill('SIGKILL')
      await endOf(child)
    },
    async killBroker(name) {
      const pid = await brokerPid(home, name)
      if (pid !== null) process.kill(pid, 'SIGKILL')
    },
  }
}

/** Process id of a broker process of the home, or null; unless named, the first of the pool. */
export async function brokerPid(home: string, name = '1'): Promise<number | null> {
  const link = await connectToHost(processPaths(home, name).socket, realClock).catch(() => null)
  if (link === null) return null
  const { pid } = await link.host.hello()
  link.close()
  return pid
}

/** Broker processes whose server was killed stay; tests leave none behind. */
async function endBrokers(home: string): Promise<void> {
  for (const { name } of await lookAtProcesses(home, realClock)) {
    const link = await connectToHost(processPaths(home, name).socket, realClock).catch(() => null)
    if (link === null) continue
    const closed = new Promise<void>((resolve) => link.onClose(resolve))
    await link.host.shutdown().catch(() => {})
    await closed
  }
}
