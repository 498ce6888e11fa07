/** `gantry stop`: ends the server of a home cleanly, with its broker processes. */
import type { Settings } from '../config.ts'
import { lookAtProcesses } from '../engines/embedded/inspect.ts'
import { homeHolder } from '../ledger/home.ts'
import { describeSelf, isJudgedBy } from '../world/process-identity.ts'
import { pause, realClock } from '../world/real.ts'
import { duration } from './arguments.ts'
import { refuseHostileHome } from './client.ts'
import { CommandError, LateError } from './errors.ts'
import { type OutputOptions, print, say, shownMs, step } from './output.ts'
import { titleOf } from './processes.ts'
import { shown } from './safe-text.ts'

const pollMs = 50

export async function stop(settings: Settings, options: OutputOptions & { readonly timeout: string }): Promise<void> {
  const limitMs = duration('--timeout', options.timeout, 1000, 10 * 60_000)
  const { home } = settings
  refuseHostileHome(settings.home)
  const holder = await homeHolder(home)
  if (holder === null) {
    say(`No Gantry server runs on ${shown(home)}; there is nothing to stop.`)
    await tellOfBrokers(home)
    print({ home, stopped: false }, options, () => '')
    return
  }
  // The number in the lock means a process of ours only where the lock was taken: a signal must reach no other process.
  if (!isJudgedBy(holder, await describeSelf())) {
    throw new CommandError(
      `The server of ${shown(home)} runs as process ${holder.pid} in another container or on another machine (${shown(holder.host)}); stop it there.`,
    )
  }
  const started = realClock.monotonic()
  try {
    process.kill(holder.pid, 'SIGTERM')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EPERM')
      throw new CommandError(`The server (process ${holder.pid}) belongs to another user; stop it as that user.`)
    // It ended by itself just now.
    if (code !== 'ESRCH') throw error
  }
  await step(`stop the server (process ${holder.pid})`, () => untilGone(home, holder.pid, limitMs))
  const ms = Math.round(realClock.monotonic() - started)
  print(
    { home, stopped: true, pid: holder.pid, ms },
    options,
    () => `Stopped the server (process ${holder.pid}) in ${shownMs(ms)}.`,
  )
  await tellOfBrokers(home)
}

async function untilGone(home: string, pid: number, limitMs: number): Promise<void> {
  const end = realClock.monotonic() + limitMs
  for (;;) {
    const holder = await homeHolder(home)
    if (holder === null || holder.pid !== pid) return
    if (realClock.monotonic() > end) {
      throw new LateError(
        `The server (process ${pid}) is still stopping after ${shownMs(limitMs)}. "gantry logs" may say why; "kill -9 ${pid}" ends it at once, and what was acknowledged is kept.`,
      )
    }
    await pause(pollMs)
  }
}

/** A server that was killed leaves its broker processes to the next one. */
async function tellOfBrokers(home: string): Promise<void> {
  for (const seen of await lookAtProcesses(home, realClock)) {
    if (seen.greeting === null) continue
    say(
      `${titleOf(seen)} (process ${seen.greeting.pid}) still serves clients and waits for the next server; "kill ${seen.greeting.pid}" ends it cleanly.`,
    )
  }
}
