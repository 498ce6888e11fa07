/** Runs `bin/gantry.js` once and waits for its end, within a bound, with nothing of our environment's settings. */
import { type ChildProcess, spawn } from 'node:child_process'
import { cleanEnv, gantry } from '../support/server.ts'

export interface Run {
  /** Null when a signal ended it. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly limitMs?: number
  /** Told of the process as soon as it runs, and of all it has written to stderr whenever that grows. */
  readonly onStderr?: (soFar: string, child: ChildProcess) => void
}

/** Rejects when the command does not end within its limit: nothing here may hang. */
export function run(args: readonly string[], options: RunOptions = {}): Promise<Run> {
  const { env = {}, limitMs = 90_000 } = options
  const child = spawn(process.execPath, [gantry, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: cleanEnv(env),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  return new Promise((resolve, reject) => {
    let stdout = ''
    let stderr = ''
    const limit = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`gantry ${args.join(' ')} did not end within ${limitMs} ms:\n${stdout}${stderr}`))
    }, limitMs)
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
      options.onStderr?.(stderr, child)
    })
    child.once('error', reject)
    child.once('close', (code) => {
      clearTimeout(limit)
      resolve({ code, stdout, stderr })
    })
  })
}
