/** `gantry doctor`: looks at this machine and this home, says what is wrong and how to mend it. Changes nothing. */
import { existsSync, readFileSync, statfsSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import { readAccount } from '../account.ts'
import type { Settings } from '../config.ts'
import { connectToHost } from '../engines/embedded/link.ts'
import { hostPlaces } from '../engines/embedded/places.ts'
import { homeHolder } from '../ledger/home.ts'
import { realClock } from '../world/real.ts'
import { callOperation, findTarget, readServerFile } from './client.ts'
import { dim, green, red } from './terminal.ts'

interface Finding {
  readonly ok: boolean
  readonly what: string
  /** How to mend it, when it is not. */
  readonly mend?: string
}

const smallestFreeBytes = 512 * 1024 * 1024
const fewFiles = 4096
const oldestNode = [20, 15] as const

export async function doctor(settings: Settings): Promise<void> {
  const findings = [
    nodeVersion(),
    openFileLimit(),
    homeFolder(settings.home),
    freeSpace(settings.home),
    ...secretFiles(settings.home),
    ...(await serverState(settings)),
    await brokerState(settings),
    await portState(settings),
    ...(await instanceStates(settings)),
  ]
  for (const { ok, what, mend } of findings) {
    process.stdout.write(`${ok ? green('✓') : red('✗')} ${what}\n${mend === undefined || ok ? '' : `  ${mend}\n`}`)
  }
  const wrong = findings.filter(({ ok }) => !ok).length
  process.stdout.write(wrong === 0 ? dim('Nothing is wrong.\n') : `${wrong} thing${wrong === 1 ? '' : 's'} to mend.\n`)
  if (wrong > 0) process.exitCode = 1
}

function nodeVersion(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const ok = major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1])
  return { ok, what: `Node ${process.versions.node}`, mend: `Gantry needs Node ${oldestNode.join('.')} or newer.` }
}

function openFileLimit(): Finding {
  let limit = Number.POSITIVE_INFINITY
  try {
    const line = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
    if (line?.[1] !== undefined && line[1] !== 'unlimited') limit = Number(line[1])
  } catch {
    return { ok: true, what: 'open file limit: not known on this system' }
  }
  return {
    ok: limit >= fewFiles,
    what: `open files allowed: ${limit}`,
    mend: `Many clients need many sockets; raise it with "ulimit -n ${fewFiles}" or more.`,
  }
}

function homeFolder(home: string): Finding {
  try {
    const stat = statSync(home)
    if (!stat.isDirectory())
      return {
        ok: false,
        what: `home ${home} is not a folder`,
        mend: 'Move the file away, or choose another home with --home.',
      }
    const open = stat.mode & 0o077
    return {
      ok: open === 0,
      what: `home ${home}${open === 0 ? '' : ` can be read by others (mode ${(stat.mode & 0o777).toString(8)})`}`,
      mend: `chmod 700 ${home}`,
    }
  } catch {
    return { ok: true, what: `home ${home} does not exist yet; "gantry up" makes it` }
  }
}

function freeSpace(home: string): Finding {
  let folder = home
  while (!existsSync(folder)) folder = path.dirname(folder)
  const { bavail, bsize } = statfsSync(folder)
  const free = bavail * bsize
  return {
    ok: free >= smallestFreeBytes,
    what: `free disk space: ${(free / 1024 ** 3).toFixed(1)} GiB`,
    mend: 'Messages and the ledger stop when the disk is full; free space, or move the home.',
  }
}

function secretFiles(home: string): Finding[] {
  return ['account.json', 'secret.key', 'tls/tls.key'].flatMap((name) => {
    try {
      const mode = statSync(path.join(home, name)).mode & 0o777
      return [
        {
          ok: (mode & 0o077) === 0,
          what: `${name} has mode ${mode.toString(8)}`,
          mend: `chmod 600 ${path.join(home, name)}`,
        },
      ]
    } catch {
      return []
    }
  })
}

async function serverState(settings: Settings): Promise<Finding[]> {
  const holder = await homeHolder(settings.home).catch(() => null)
  const file = readServerFile(settings.home)
  if (holder === null) {
    if (file === null) return [{ ok: true, what: 'no server runs on this home; "gantry up" starts one' }]
    return [
      {
        ok: true,
        what: `the last server (process ${file.pid}) did not stop cleanly; "gantry up" recovers what it kept`,
      },
    ]
  }
  if (file === null) return [{ ok: true, what: `a server (process ${holder.pid}) is starting or stopping` }]
  try {
    const started = realClock.monotonic()
    const { status } = await callOperation(findTarget(settings), 'ListRegions', {})
    const ms = Math.round(realClock.monotonic() - started)
    return [
      {
        ok: status === 200,
        what: `server at ${file.apiUrl} (process ${holder.pid}) answers a signed call in ${ms} ms`,
        mend: `It answered HTTP ${status}; are the keys in account.json this server's?`,
      },
    ]
  } catch (error) {
    return [
      {
        ok: false,
        what: `server at ${file.apiUrl} (process ${holder.pid}) does not answer: ${(error as Error).message}`,
        mend: `Stop it (kill ${holder.pid}) and start it again.`,
      },
    ]
  }
}

async function brokerState(settings: Settings): Promise<Finding> {
  const { socket, log } = hostPlaces(settings.home)
  const link = await connectToHost(socket, realClock).catch(() => null)
  if (link === null) return { ok: true, what: 'no broker process; the server starts one' }
  try {
    const { pid, version } = await link.host.hello()
    return { ok: true, what: `broker process ${pid}, version ${version}; its log is ${log}` }
  } catch (error) {
    return {
      ok: false,
      what: `the broker process does not answer: ${(error as Error).message}`,
      mend: `See ${log}; restart the server.`,
    }
  } finally {
    link.close()
  }
}

async function portState(settings: Settings): Promise<Finding> {
  const file = readServerFile(settings.home)
  if (file !== null || settings.port === 0)
    return { ok: true, what: `API port ${settings.port}: in use by this server or picked at start` }
  const free = await new Promise<boolean>((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(settings.port, settings.host, () => probe.close(() => resolve(true)))
  })
  return {
    ok: free,
    what: `API port ${settings.port} is ${free ? 'free' : 'taken by another program'}`,
    mend: 'Stop that program, or choose another port with --port or GANTRY_PORT.',
  }
}

/** Instances that are not what is wanted, with the loop's reason. */
async function instanceStates(settings: Settings): Promise<Finding[]> {
  if (readServerFile(settings.home) === null || readAccount(settings.home) === null) return []
  try {
    const { status, body } = await callOperation(findTarget(settings), 'ListInstances', {
      pageNumber: 1,
      pageSize: 200,
    })
    if (status !== 200) return []
    const data = body.data as { totalCount: number; list: ReadonlyArray<{ instanceId: string; status: string }> }
    const waiting = data.list.filter((instance) => instance.status !== 'RUNNING' && instance.status !== 'STOPPED')
    return [
      { ok: true, what: `instances: ${data.totalCount}` },
      ...waiting.map(({ instanceId, status: state }) => ({
        ok: false,
        what: `instance ${instanceId} is ${state}`,
        mend: "If it stays so, the server's log says why (a taken port, a full disk); it comes up by itself once that is mended.",
      })),
    ]
  } catch {
    return []
  }
}
