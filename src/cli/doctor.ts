/** `gantry doctor`: checks this machine and this home, and prints each problem with its remedy. Changes nothing. */

import { createPrivateKey, X509Certificate } from 'node:crypto'
import { closeSync, existsSync, openSync, readFileSync, readSync, statfsSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import { readAccount } from '../account.ts'
import type { Settings } from '../config.ts'
import { lookAtProcesses, type ProcessSeen } from '../engines/embedded/inspect.ts'
import { homeHolder } from '../ledger/home.ts'
import { hostileHome } from '../ledger/home-trust.ts'
import { keyProblem } from '../ledger/key-check.ts'
import type { InstanceId } from '../model/ids.ts'
import { realClock, realWorld } from '../world/real.ts'
import { callOperation, findTarget, readServerFile, zoneOfHome } from './client.ts'
import { exitCodes } from './errors.ts'
import { columnsOf, type OutputOptions, print } from './output.ts'
import { processFacts, titleOf } from './processes.ts'
import { dim, green, red, shown, wrapped } from './safe-text.ts'

export interface Finding {
  readonly ok: boolean
  readonly what: string
  /** The remedy, when the check failed. */
  readonly mend?: string
}

const smallestFreeBytes = 512 * 1024 * 1024
const fewFiles = 4096
const oldestNode = [20, 15] as const

export async function doctor(settings: Settings, options: OutputOptions): Promise<void> {
  const brokers = await lookAtProcesses(settings.home, realClock)
  const findings = [
    nodeVersion(),
    openFileLimit(),
    homeFolder(settings.home),
    freeSpace(settings.home),
    ...secretFiles(settings.home),
    ...keptFiles(settings.home),
    ...(await keyOfDatabase(settings)),
    ...(await serverState(settings)),
    ...brokerStates(brokers, { serverRuns: await doesServerRun(settings), zoneMinutes: zoneOfHome(settings) }),
    await portState(settings),
    ...(await instanceStates(settings, brokers)),
    ...damages(brokers),
  ]
  const plain = findings.map(({ ok, what, mend }) => ({ ok, what, ...(ok || mend === undefined ? {} : { mend }) }))
  // In a pipe a finding is one line, so that it can be searched.
  const columns = process.stdout.isTTY === true ? columnsOf() : Number.POSITIVE_INFINITY
  print(plain, options, () => findingsText(findings, columns))
  if (findings.some(({ ok }) => !ok)) process.exitCode = exitCodes.refused
}

/** A line for each finding, wrapped to the columns, with the remedy under each failed one. */
export function findingsText(findings: readonly Finding[], columns: number): string {
  const block = (text: string, first: string): string =>
    wrapped(shown(text), columns - 2)
      .map((line, index) => `${index === 0 ? first : ' '} ${line}`)
      .join('\n')
  const lines = findings.flatMap(({ ok, what, mend }) => [
    block(what, ok ? green('✓') : red('✗')),
    ...(mend === undefined || ok ? [] : [block(mend, ' ')]),
  ])
  const wrong = findings.filter(({ ok }) => !ok).length
  return [...lines, wrong === 0 ? dim('Nothing is wrong.') : `${wrong} thing${wrong === 1 ? '' : 's'} to mend.`].join(
    '\n',
  )
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
  const hostile = hostileHome(home)
  if (hostile !== null) return { ok: false, what: `home ${home} is not this user's alone`, mend: hostile }
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

/** Files that `gantry up` would refuse, reported without starting it. */
function keptFiles(home: string): Finding[] {
  const looks: ReadonlyArray<readonly [file: string, look: (file: string) => string | null, mend: string]> = [
    [
      'account.json',
      () => (readAccount(home) === null ? 'is not there' : null),
      'Restore it from a copy, or move it away.',
    ],
    [
      'secret.key',
      (file) =>
        statSync(file).size === secretKeyBytes ? null : `has ${statSync(file).size} bytes, not ${secretKeyBytes}`,
      'Restore it from a copy of this home; without it the stored secrets cannot be opened.',
    ],
    ['gantry.db', databaseProblem, 'Restore it from a copy, or move it and gantry.db-wal away to start empty.'],
    [
      'tls/tls.crt',
      () => certificateProblem(home),
      'Replace them, or move the folder tls away to have both made anew.',
    ],
  ]
  return looks.flatMap(([name, look, mend]) => {
    const file = path.join(home, name)
    if (!existsSync(file)) return []
    const problem = answerOf(() => look(file))
    return problem === null ? [] : [{ ok: false, what: `${name}: ${problem}`, mend }]
  })
}

const secretKeyBytes = 32

async function keyOfDatabase({ home, databaseUrl }: Settings): Promise<Finding[]> {
  const problem = await keyProblem({ home, databaseUrl, world: realWorld() }).catch(() => null)
  if (problem === null) return []
  return [found(`secret.key: ${problem}`)]
}

function answerOf(look: () => string | null): string | null {
  try {
    return look()
  } catch (error) {
    return (error as Error).message
  }
}

/** A look at the first bytes only: the whole file is checked when the server opens it. */
function databaseProblem(file: string): string | null {
  const bytes = Buffer.alloc(16)
  const descriptor = openSync(file, 'r')
  const length = readSync(descriptor, bytes, 0, bytes.length, 0)
  closeSync(descriptor)
  const start = bytes.toString('latin1', 0, length)
  return start === '' || start === 'SQLite format 3\0' ? null : 'is not a SQLite database'
}

function certificateProblem(home: string): string | null {
  const folder = path.join(home, 'tls')
  const certificate = new X509Certificate(readFileSync(path.join(folder, 'tls.crt')))
  const key = createPrivateKey(readFileSync(path.join(folder, 'tls.key')))
  return certificate.checkPrivateKey(key) ? null : 'does not belong to tls.key'
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

/** The broker processes, one finding each. */
function brokerStates(
  seen: readonly ProcessSeen[],
  { serverRuns, zoneMinutes }: { readonly serverRuns: boolean; readonly zoneMinutes: number },
): Finding[] {
  if (seen.length === 0) return [{ ok: true, what: 'no broker process; the server starts one with the first instance' }]
  return seen.map((process) => {
    const { name, greeting, silent, record, log } = process
    if (greeting !== null) {
      return { ok: true, what: `${titleOf(process)}: ${processFacts(process, zoneMinutes)}; its log is ${log}` }
    }
    if (silent !== null) {
      return {
        ok: false,
        what: `${titleOf(process)} does not answer: ${silent}`,
        mend: serverRuns
          ? `The server kills one that hangs and starts another (brokerHangSeconds); ${log} may say why it does.`
          : `See ${log}; end that process, and the next server starts another.`,
      }
    }
    if (!serverRuns) return { ok: true, what: `${titleOf(process)} does not run; the server starts it` }
    const ended = record.lastEnd === null ? '' : `, it last ended ${record.lastEnd.how}`
    return {
      ok: false,
      what: record.failure ?? `${titleOf({ name })} does not run, though the server does${ended}`,
      mend: `The server tries again by itself; ${log} and the server's log say why it fails.`,
    }
  })
}

/** Running instances with something wrong in what they keep. */
const damages = (seen: readonly ProcessSeen[]): Finding[] =>
  seen
    .flatMap(({ observed }) => observed)
    .filter(({ state, reason }) => state !== 'failed' && reason !== null)
    .map(({ reason }) => found(reason!))

/** A sentence, and those that say what to do. */
function found(text: string): Finding {
  const [what = '', ...mend] = text.split(/(?<=\.) (?=[A-Z])/)
  return { ok: false, what, mend: mend.join(' ') }
}

/** Reasons the broker processes give for instances that are not in force, by instance. */
function brokerReasons(seen: readonly ProcessSeen[]): ReadonlyMap<string, string> {
  const reasons = new Map<string, string>()
  for (const { observed, instances, record, greeting } of seen) {
    for (const { instanceId, state, reason } of observed)
      if (state === 'failed' && reason !== null) reasons.set(instanceId, reason)
    if (greeting === null && record.failure !== null)
      for (const instanceId of instances) reasons.set(instanceId, record.failure)
  }
  return reasons
}

async function doesServerRun(settings: Settings): Promise<boolean> {
  return readServerFile(settings.home) !== null && (await homeHolder(settings.home).catch(() => null)) !== null
}

async function portState(settings: Settings): Promise<Finding> {
  const file = readServerFile(settings.home)
  // A server that was killed leaves its file behind; another program may use its port by now.
  if (file !== null && (await doesServerRun(settings)))
    return { ok: true, what: `API port ${new URL(file.apiUrl).port}: in use by this server` }
  if (settings.port === 0) return { ok: true, what: 'API port: a free one is picked at start' }
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
async function instanceStates(settings: Settings, brokers: readonly ProcessSeen[]): Promise<Finding[]> {
  if (readServerFile(settings.home) === null) return []
  try {
    const { status, body } = await callOperation(findTarget(settings), 'ListInstances', {
      pageNumber: 1,
      pageSize: 200,
    })
    if (status !== 200) return []
    const data = body.data as { totalCount: number; list: ReadonlyArray<{ instanceId: InstanceId; status: string }> }
    const fromBrokers = brokerReasons(brokers)
    const waiting = data.list.filter((instance) => instance.status !== 'RUNNING' && instance.status !== 'STOPPED')
    const reasons = await Promise.all(
      waiting.map(async ({ instanceId }, n) =>
        n < instancesAsked ? await reasonOf(settings, instanceId) : (fromBrokers.get(instanceId) ?? null),
      ),
    )
    return [
      { ok: true, what: `instances: ${data.totalCount}` },
      ...waiting.map(({ instanceId, status: state }, n) => ({
        ok: false,
        what: `instance ${instanceId} is ${state}${reasons[n] === null ? '' : `: ${reasons[n]}`}`,
        mend: "If it stays so, the server's log says why (a taken port, a full disk); it comes up by itself once that is mended.",
      })),
    ]
  } catch {
    return []
  }
}

/** Number of instances whose reason is asked from the server; reasons of the others come from the broker processes. */
const instancesAsked = 20

async function reasonOf(settings: Settings, instanceId: InstanceId): Promise<string | null> {
  const { body } = await callOperation(findTarget(settings), 'GetInstance', { instanceId })
  return body.message === 'Success' ? null : String(body.message)
}
