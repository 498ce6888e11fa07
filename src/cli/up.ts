/** `gantry up`: the server in the foreground. Everything but the card or the ready line goes to stderr. */
import type { Settings } from '../config.ts'
import { createLog } from '../observability/log.ts'
import { type RunningServer, startServer } from '../server.ts'
import { realClock } from '../world/real.ts'
import { shellQuoted } from './env.ts'
import { createLogFile, type LogFile } from './log-file.ts'
import { logText, readLine } from './log-lines.ts'
import { out, outText, say, sayText, shownMs } from './output.ts'
import { bold, dim, safeJson, safeJsonText, shown } from './safe-text.ts'
import { facts } from './tables.ts'

const stopLimitMs = 30_000
/** One Ctrl-C may arrive twice: from the terminal, and from npm or a shell that passes it on. */
const sameSignalMs = 1_000

export async function up(settings: Settings, options: { json: boolean }): Promise<void> {
  if (!isLoopback(settings.host)) {
    say(`Listening on ${shown(settings.host)}: others on the network can reach this server.`)
  }
  const log = createLog({
    clock: realClock,
    level: settings.logLevel,
    to: logStream(createLogFile(settings.home), process.stderr.isTTY === true, settings.timeZoneOffsetMinutes),
  })
  const asked = stopAsked()
  const server = await startServer(settings, log)
  if (!asked.already()) {
    if (options.json) out(safeJson(readyEvent(settings, server), 0))
    else outText(card(settings, server))
  }
  await asked.wait
  await server.stop()
  process.exit(0)
}

/** Listens for signals from now on, so that one that comes while the server starts stops it cleanly too. */
function stopAsked(): { readonly wait: Promise<void>; already(): boolean } {
  let askedAt: number | null = null
  const wait = new Promise<void>((resolve) => {
    const stop = (signal: NodeJS.Signals): void => {
      const now = realClock.monotonic()
      if (askedAt !== null) {
        if (now - askedAt < sameSignalMs) return
        say('Stopping at once; what was acknowledged is kept.')
        process.exit(1)
      }
      askedAt = now
      if (signal === 'SIGINT') say('\nStopping… (Ctrl-C again stops at once)')
      realClock.after(stopLimitMs, () => {
        say(`Not everything stopped within ${stopLimitMs / 1000} s; leaving it.`)
        process.exit(1)
      })
      resolve()
    }
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
  })
  return { wait, already: () => askedAt !== null }
}

/** Lines for whoever reads stderr (people on a terminal, else machines), and for `gantry logs`. */
function logStream(file: LogFile, forPeople: boolean, zoneMinutes: number): { write(line: string): void } {
  return {
    write(written) {
      const line = safeJsonText(written)
      file.write(line)
      sayText(forPeople ? `${logText(readLine('server', line.trimEnd()), zoneMinutes)}\n` : line)
    },
  }
}

function readyEvent(settings: Settings, { apiUrl, account, startupMs }: RunningServer): object {
  return {
    event: 'ready',
    apiUrl,
    // The console is not part of this version.
    consoleUrl: null,
    region: settings.region,
    accountId: account.accountId,
    accessKeyId: account.accessKeyId,
    accessKeySecret: account.accessKeySecret,
    home: settings.home,
    pid: process.pid,
    startupMs,
  }
}

/** What a person sees when the server is ready. */
export function card(
  settings: Pick<Settings, 'home' | 'region'>,
  { apiUrl, account, startupMs }: Pick<RunningServer, 'apiUrl' | 'account' | 'startupMs'>,
): string {
  const where = facts([
    ['API', `${apiUrl}  RocketMQ 2022-08-01, plain HTTP`],
    ['Region', settings.region],
    ['Account', account.accountId],
    ['AccessKey id', account.accessKeyId],
    ['AccessKey secret', account.accessKeySecret],
    ['Home', settings.home],
  ])
  const homeFlag =
    process.env.GANTRY_HOME === undefined && settings.home !== `${process.env.HOME}/.gantry`
      ? ` --home ${shellQuoted(settings.home)}`
      : ''
  const next = facts([
    [`gantry demo${homeFlag}`, 'an instance, a topic, a group, and messages through the official client'],
    [`eval "$(gantry env${homeFlag})"`, 'point SDKs, the aliyun CLI and Terraform here'],
    [`gantry create instance orders${homeFlag}`, 'an instance of your own'],
  ])
  return `\n${bold('Gantry is ready')} ${dim(`in ${shownMs(startupMs)}`)}\n\n${indent(where)}\n\n${indent(next)}\n\n${dim('gantry is bin/gantry.js here: node bin/gantry.js demo, or npm link. Ctrl-C stops the server.')}\n\n`
}

const indent = (text: string): string => text.replace(/^/gm, '  ')

const isLoopback = (host: string): boolean => /^(127\.|::1$|localhost$)/.test(host)
