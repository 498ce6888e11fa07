/** A server for one command: over a temporary home, on a free port, gone when the command is done. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { realClock } from '../world/real.ts'
import { CommandError } from './errors.ts'

export interface ThrowawayServer {
  readonly apiUrl: string
  readonly home: string
  stop(): Promise<void>
}

const startLimitMs = 30_000

/** Rejects with what the server said when it does not start. */
export async function startThrowawayServer(): Promise<ThrowawayServer> {
  const folder = await mkdtemp(path.join(tmpdir(), 'gantry-demo-'))
  const home = path.join(folder, 'home')
  // Apart from the terminal's process group: Ctrl-C is for the command, which stops the server when it has cleaned up.
  const child = spawn(process.execPath, [process.argv[1]!, 'up', '--json', '--home', home, '--port', '0'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    env: { ...process.env, GANTRY_LOG_LEVEL: 'warn' },
  })
  const endWithUs = (): void => void child.kill('SIGTERM')
  process.on('exit', endWithUs)
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-10_000)
  })
  const gone = once(child, 'exit')
  const cancelLimit = realClock.after(startLimitMs, () => child.kill('SIGKILL'))
  const line = await Promise.race([once(createInterface({ input: child.stdout }), 'line'), gone.then(() => null)])
  cancelLimit()
  if (line === null) {
    await rm(folder, { recursive: true, force: true })
    throw new CommandError(`The server for the demo did not start.\n${said}`)
  }
  return {
    apiUrl: (JSON.parse(line[0] as string) as { apiUrl: string }).apiUrl,
    home,
    async stop() {
      process.off('exit', endWithUs)
      child.kill('SIGTERM')
      await gone
      await rm(folder, { recursive: true, force: true })
    },
  }
}
