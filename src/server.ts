/**
 * The management server, put together: the only file that sees every folder.
 *
 * Order of starting: the home is ours, the ledger opens while the broker processes start beside it, the
 * loop brings up what the ledger wants, the API listens. Order of stopping: the reverse, each step
 * bounded.
 */
import { existsSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Account, ensureAccount } from './account.ts'
import { createApi } from './api/server.ts'
import type { Settings } from './config.ts'
import { EmbeddedEngine } from './engines/embedded/engine.ts'
import { HostLauncher } from './engines/embedded/host-process.ts'
import { hostPaths } from './engines/embedded/paths.ts'
import { storedFormats } from './engines/embedded/stored-formats.ts'
import { loadCertificate } from './gateway/certificate.ts'
import { noPolicies } from './iam/authorize.ts'
import { ledgerKeyRing } from './iam/key-ring.ts'
import { openLedgerNonces } from './iam/ledger-nonces.ts'
import { ensureAccountKey } from './ledger/access-keys.ts'
import { acquireHome, HomeError, refuseHostile } from './ledger/home.ts'
import { type KnownFormats, recordFormats, refuseNewerHome } from './ledger/home-format.ts'
import type { Ledger } from './ledger/ledger.ts'
import { migrations } from './ledger/migrations.ts'
import { openLedger } from './ledger/open.ts'
import { createHousekeeping } from './lifecycle/housekeeping.ts'
import { createPortSource } from './lifecycle/ports.ts'
import { createReconciler, type Reconciler } from './lifecycle/reconciler.ts'
import type { Log } from './observability/log.ts'
import type { Services } from './resources/handler.ts'
import { products } from './resources/index.ts'
import { publishedRegionIds } from './resources/rocketmq/region-table.ts'
import { realWorld } from './world/real.ts'
import type { Cancel, Clock, World } from './world/world.ts'

export interface RunningServer {
  readonly apiUrl: string
  readonly account: Account
  readonly startupMs: number
  stop(): Promise<void>
}

export const version = process.env.GANTRY_VERSION ?? '0.0.0-source'

/** Of everything that is kept in a home. */
const formats: KnownFormats = { ledger: migrations.length, ...storedFormats }

/** Starting does not wait longer than this for instances to come up; the loop goes on behind it. */
const instancesReadyLimitMs = 10_000
/** A reply does not wait longer for what it can do without, such as how much is stored: clients give up after three seconds. */
const briefAnswerMs = 500

/** Pauses between tries to start the broker process and to look at the instances, when either fails. */
const firstBringUpPauseMs = 500
const lastBringUpPauseMs = 30_000

/** Steps of stopping, carried out last first. */
type Undo = Array<() => Promise<unknown>>

/** Starts everything. Rejects with `HomeError`, `SettingError` or an error of listen, each with a sentence. */
export async function startServer(given: Settings, log: Log): Promise<RunningServer> {
  const world = realWorld()
  const { clock } = world
  const started = clock.monotonic()
  const undo: Undo = []
  let ready = false
  const stop = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) {
      try {
        await step()
      } catch (error) {
        log.error({ err: error }, 'a part of the server did not stop cleanly')
      }
    }
  }

  try {
    refuseNewerHome(refuseHostile(given.home), formats)
    const held = await acquireHome(given.home)
    undo.push(() => held.release())
    const settings = { ...given, home: held.home }
    await recordFormats(settings.home, version, formats)
    const account = ensureAccount(settings, world.random)

    await checkCertificate(settings.home)

    let storageKey = (_purpose: string): Uint8Array => {
      throw new Error('The ledger is not open yet.')
    }
    const engine = createEngine({ settings, world, log, storageKey: (purpose) => storageKey(purpose) })
    // Broker processes start while the ledger opens; whoever needs one waits for it.
    const engineStarted = engine.start()
    // Heard below, once there is a loop to go on with.
    engineStarted.catch(() => {})
    // A start that fails must not end a process that served clients before it.
    undo.push(() => (ready ? engine.stop() : engine.detach()))

    const ledger = await openLedger({ home: settings.home, databaseUrl: settings.databaseUrl, world, log })
    undo.push(() => ledger.close())
    storageKey = (purpose) => ledger.secrets.deriveKey(purpose)
    await ledger.change(
      { at: clock.now(), requestId: world.random.uuid(), principal: 'system', action: 'Start' },
      ({ tx }) =>
        ensureAccountKey(tx, ledger.secrets, {
          random: world.random,
          at: clock.now(),
          wanted: { accessKeyId: account.accessKeyId, secret: account.accessKeySecret },
        }),
    )
    const nonces = await openLedgerNonces({
      ledger,
      clock,
      onError: (error) => log.warn({ err: error }, 'used signature nonces could not be written'),
    })
    undo.push(() => nonces.close())

    const { reconciler, firstTry } = startLoop({ settings, world, log, ledger, engine, engineStarted, undo })
    const api = createApi({
      products,
      services: servicesOf({ settings, account, world, ledger, engine, reconciler }),
      keyRing: ledgerKeyRing({ ledger, accountId: account.accountId, clock }),
      nonces,
      requireContentMd5: settings.requireContentMd5,
      policies: noPolicies,
      allowedHosts: [settings.host.toLowerCase(), ...settings.allowedHosts],
      limits: { readsPerSecond: settings.readsPerSecond, writesPerSecond: settings.writesPerSecond },
      log,
      version,
    })
    const { port } = await api.listen(settings.host, settings.port)
    undo.push(() => api.close())
    if (await hasInstances(ledger)) await orNull(clock, instancesReadyLimitMs, firstTry)

    const apiUrl = `http://${settings.host.includes(':') ? `[${settings.host}]` : settings.host}:${port}`
    const serverFile = path.join(settings.home, 'server.json')
    undo.push(() => rm(serverFile, { force: true }))
    const { region, timeZoneOffsetMinutes } = settings
    writeServerFile(serverFile, { apiUrl, region, timeZoneOffsetMinutes, pid: process.pid, version })
    ready = true
    engine.warm()
    return { apiUrl, account, startupMs: Math.round(clock.monotonic() - started), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

interface Parts {
  readonly settings: Settings
  readonly world: World
  readonly log: Log
  readonly ledger: Ledger
  readonly engine: EmbeddedEngine
}

/** `storageKey` derives a key for a purpose from the ledger's; the engine asks once the ledger is open. */
function createEngine({
  settings,
  world: { clock, disk },
  log,
  storageKey,
}: Pick<Parts, 'settings' | 'world' | 'log'> & {
  readonly storageKey: (purpose: string) => Uint8Array
}): EmbeddedEngine {
  return new EmbeddedEngine({
    clock,
    disk,
    home: settings.home,
    launcher: new HostLauncher({
      home: settings.home,
      script: path.join(path.dirname(fileURLToPath(import.meta.url)), '..', 'broker-host.mjs'),
      version,
      lingerMinutes: settings.brokerLingerMinutes,
      clock,
    }),
    pool: settings.brokerProcesses,
    hangSeconds: settings.brokerHangSeconds,
    storageKey: (instanceId, keyId) => storageKey(`storage ${instanceId} ${keyId}`),
    report: (error) => log.warn({ err: error }, 'the embedded engine'),
  })
}

/** The loop and its housekeeping, brought up behind what starts next; how each is stopped joins `undo`. */
function startLoop({
  settings,
  world,
  log,
  ledger,
  engine,
  engineStarted,
  undo,
}: Parts & { readonly engineStarted: Promise<void>; readonly undo: Undo }): {
  readonly reconciler: Reconciler
  /** Settles with the first try to bring the instances up, and never rejects. */
  readonly firstTry: Promise<void>
} {
  const reconciler = createReconciler({
    ledger,
    engine,
    world,
    log,
    ports: createPortSource({
      base: settings.firstInstancePort,
      last: settings.lastInstancePort,
      host: settings.host,
    }),
    listenHost: settings.host,
  })
  undo.push(() => reconciler.stop())
  const housekeeping = createHousekeeping({
    ledger,
    world,
    log,
    zoneMinutes: settings.timeZoneOffsetMinutes,
    wake: (instanceId) => reconciler.wake(instanceId),
  })
  undo.push(() => housekeeping.stop())
  let swept: Promise<void> | null = null
  const sweepOnce = (): Promise<void> => {
    swept ??= housekeeping.start().catch((error: unknown) => {
      swept = null
      throw error
    })
    return swept
  }
  const bringUp = bringUpUntilDone({
    clock: world.clock,
    first: Promise.all([engineStarted, sweepOnce()]).then(() => reconciler.start()),
    again: async () => {
      await Promise.all([engine.start(), sweepOnce()])
      await reconciler.start()
    },
    onFailure: (error) => log.error({ err: error }, 'the instances could not be brought up; trying again'),
  })
  undo.push(async () => bringUp.cancel())
  return { reconciler, firstTry: bringUp.firstTry }
}

/** What handlers may use. */
function servicesOf({
  settings,
  account,
  world,
  ledger,
  engine,
  reconciler,
}: Omit<Parts, 'log'> & { readonly account: Account; readonly reconciler: Reconciler }): Services {
  return {
    world,
    ledger,
    settings: {
      accountId: account.accountId,
      defaultRegionId: settings.region,
      regionIds: [settings.region, ...publishedRegionIds().filter((regionId) => regionId !== settings.region)],
      timeZoneOffsetMinutes: settings.timeZoneOffsetMinutes,
      advertisedHost: settings.advertisedHost,
      softwareVersion: `gantry-${version}`,
    },
    engine: { name: engine.name, ...engine.capabilities },
    wake: (instanceId) => reconciler.wake(instanceId),
    ask: engine.ask,
    askBriefly: (...question) => orNull(world.clock, briefAnswerMs, engine.ask(...question)),
  }
}

/** A key or certificate that the broker process could not use stops the start here, where someone reads why. */
async function checkCertificate(home: string): Promise<void> {
  const { certificates } = hostPaths(home)
  if (!existsSync(certificates)) return
  try {
    await loadCertificate({ directory: certificates, hosts: [] })
  } catch (error) {
    throw new HomeError(
      `The TLS files of this home cannot be used: ${(error as Error).message} (Moving ${certificates} away has both made anew.)`,
      { cause: error },
    )
  }
}

function writeServerFile(file: string, content: object): void {
  try {
    writeFileSync(file, `${JSON.stringify(content)}\n`, { mode: 0o600 })
  } catch (error) {
    throw new HomeError(
      `${file} cannot be written: ${(error as Error).message}. Make the home writable and free space on its disk.`,
      { cause: error },
    )
  }
}

/** Tries until it succeeds or is cancelled; `firstTry` settles with the first try and never rejects. */
function bringUpUntilDone(options: {
  readonly clock: Clock
  readonly first: Promise<void>
  readonly again: () => Promise<void>
  readonly onFailure: (error: unknown) => void
}): { readonly firstTry: Promise<void>; cancel(): void } {
  let cancelled = false
  let cancelPause: Cancel = () => {}
  const attempt = async (work: Promise<void>, pauseMs: number): Promise<void> => {
    try {
      await work
    } catch (error) {
      if (cancelled) return
      options.onFailure(error)
      cancelPause = options.clock.after(
        pauseMs,
        () => void attempt(options.again(), Math.min(pauseMs * 2, lastBringUpPauseMs)),
      )
    }
  }
  return {
    firstTry: attempt(options.first, firstBringUpPauseMs),
    cancel() {
      cancelled = true
      cancelPause()
    },
  }
}

async function hasInstances(ledger: Ledger): Promise<boolean> {
  const row = await ledger.read.selectFrom('instances').select('instance_id').limit(1).executeTakeFirst()
  return row !== undefined
}

/** What `work` answers, or null when it fails (that is reported elsewhere) or takes longer than the limit. */
function orNull<T>(clock: Clock, limitMs: number, work: Promise<T>): Promise<T | null> {
  return new Promise((resolve) => {
    const cancel = clock.after(limitMs, () => resolve(null))
    const finish = (answer: T | null): void => {
      cancel()
      resolve(answer)
    }
    work.then(finish, () => finish(null))
  })
}
