/** A home whose broker processes a test stops, kills and looks at, with instances under load. */
import { expect } from 'vitest'
import { lookAtProcesses, type ProcessSeen } from '../../src/engines/embedded/inspect.ts'
import { realClock } from '../../src/world/real.ts'
import { runningGroup, runningInstance, sdkClient, until } from '../support/sdk.ts'
import { type TestHome, type TestServer, temporaryHome } from '../support/server.ts'
import { everythingKept, type Load, startLoad } from './load.ts'

export class ProcessBench {
  readonly home: TestHome
  readonly #firstPort: number
  /** Processes a test stopped: one that still is would hold up the end of its server. */
  readonly #stopped: number[] = []

  private constructor(home: TestHome, firstPort: number) {
    this.home = home
    this.#firstPort = firstPort
  }

  /** Instances listen from this port on. */
  static async make(firstPort: number): Promise<ProcessBench> {
    return new ProcessBench(await temporaryHome(), firstPort)
  }

  start(env: Record<string, string> = {}): Promise<TestServer> {
    return this.home.start({ env: { GANTRY_FIRST_INSTANCE_PORT: String(this.#firstPort), ...env } })
  }

  look(): Promise<ProcessSeen[]> {
    return lookAtProcesses(this.home.home, realClock)
  }

  /** Process name by instance, as the processes themselves say. */
  async whereabouts(): Promise<Record<string, string>> {
    return Object.fromEntries(
      (await this.look()).flatMap(({ name, observed }) => observed.map(({ instanceId }) => [instanceId, name])),
    )
  }

  signal(pid: number, name: 'SIGSTOP' | 'SIGCONT'): void {
    if (name === 'SIGSTOP') this.#stopped.push(pid)
    try {
      process.kill(pid, name)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }

  async close(): Promise<void> {
    for (const pid of this.#stopped.splice(0)) this.signal(pid, 'SIGCONT')
    await this.home.close()
  }
}

export const pool = (processes: number): Record<string, string> => ({ GANTRY_BROKER_PROCESSES: String(processes) })

export interface Loaded {
  readonly instanceId: string
  readonly endpoint: string
  readonly load: Load
}

/** An instance with a topic, a group that consumes under load, and one that has consumed nothing. */
export async function loaded(client: any, changes: object = {}): Promise<Loaded> {
  const { instanceId, endpoint } = await runningInstance(client, {
    topic: 'load',
    group: 'workers',
    changes: { ...changes },
  })
  await runningGroup(client, instanceId, 'auditor')
  const load = await startLoad(endpoint, 'load', 'workers')
  await moved(load)
  return { instanceId, endpoint, load }
}

export function moved(load: Load, messages = 20): Promise<unknown> {
  const [sent, consumed] = [load.sent.size, load.consumed.size]
  return until(
    async () => load.sent.size >= sent + messages && load.consumed.size >= consumed + messages / 2,
    Boolean,
    `messages flow: ${sent} sent and ${consumed} consumed so far`,
  )
}

export async function expectAllKept({ endpoint, load }: Loaded): Promise<void> {
  expect(load.returned, 'came again after their acknowledgement was answered').toEqual([])
  const kept = await everythingKept(endpoint, 'load', 'auditor', load.sent)
  expect(
    [...load.sent.keys()].filter((id) => !kept.has(id)),
    'acknowledged and lost',
  ).toEqual([])
}

export const getInstance = async (server: TestServer, instanceId: string): Promise<any> =>
  (await sdkClient(server.ready).getInstance(instanceId)).body

export const runs = (server: TestServer, instanceId: string): Promise<unknown> =>
  until(
    () => getInstance(server, instanceId),
    ({ data }) => data.status === 'RUNNING',
    `${instanceId} runs`,
  )
