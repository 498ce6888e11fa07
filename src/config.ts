/**
 * Every setting once: its name, its default, what it means, and where it may come from.
 *
 * A flag beats the environment, the environment beats `gantry.yaml` in the home, and that beats the
 * default. The result is plain data; nothing else in Gantry reads `process.env` or the settings file.
 */
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import path from 'node:path'
import { parse as parseYaml } from 'yaml'
import { lookAtHome } from './ledger/home-trust.ts'

export interface Settings {
  readonly home: string
  readonly host: string
  readonly port: number
  readonly region: string
  readonly databaseUrl: string | null
  readonly advertisedHost: string | null
  readonly firstInstancePort: number
  readonly lastInstancePort: number
  readonly accountId: string | null
  readonly accessKeyId: string | null
  readonly accessKeySecret: string | null
  readonly timeZoneOffsetMinutes: number
  readonly requireContentMd5: boolean
  readonly allowedHosts: readonly string[]
  readonly readsPerSecond: number | null
  readonly writesPerSecond: number | null
  /** Broker processes that share the instances; Platinum instances have their own besides. */
  readonly brokerProcesses: number
  /** Minutes a broker process goes on without a server; 0 means for ever. */
  readonly brokerLingerMinutes: number
  readonly brokerHangSeconds: number
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent'
}

interface SettingRule<T> {
  /** Member of gantry.yaml; the environment variable and the flag are derived from it. */
  readonly key: keyof Settings
  readonly env: string
  readonly flag: string | null
  readonly help: string
  readonly fallback: T
  readonly read: (text: string) => T
}

const text = (value: string): string => value

function wholeNumber(low: number, high: number): (value: string) => number {
  return (value) => {
    const number = Number(value)
    if (value.trim() === '' || !Number.isInteger(number) || number < low || number > high) {
      throw new Error(`must be a whole number from ${low} to ${high}`)
    }
    return number
  }
}

function oneOf<const T extends string>(values: readonly T[]): (value: string) => T {
  return (value) => {
    const found = values.find((known) => known === value)
    if (found === undefined) throw new Error(`must be one of ${values.join(', ')}`)
    return found
  }
}

function trueOrFalse(value: string): boolean {
  if (value !== 'true' && value !== 'false') throw new Error('must be true or false')
  return value === 'true'
}

function hostNames(value: string): readonly string[] {
  const names = value.split(',').map((name) => name.trim().toLowerCase())
  if (names.some((name) => name !== '*' && !/^\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(name))) {
    throw new Error('must be host names separated by commas, such as gantry,.example.com')
  }
  return names
}

function matching(pattern: RegExp, rule: string): (value: string) => string {
  return (value) => {
    if (!pattern.test(value)) throw new Error(rule)
    return value
  }
}

export const settingRules = {
  home: rule<string>(
    'home',
    '--home <dir>',
    'folder that holds everything this server keeps',
    path.join(homedir(), '.gantry'),
    text,
  ),
  host: rule<string>(
    'host',
    '--host <addr>',
    'address to listen on; anything but loopback is reachable by others',
    '127.0.0.1',
    text,
  ),
  port: rule<number>(
    'port',
    '--port <n>',
    'port of the management API; 0 picks a free one',
    7800,
    wholeNumber(0, 65535),
  ),
  region: rule<string>(
    'region',
    '--region <id>',
    'region this server stands for',
    'cn-hangzhou',
    matching(/^[a-z]{2}(-[a-z0-9]+)+$/, 'must look like cn-hangzhou'),
  ),
  databaseUrl: rule(
    'databaseUrl',
    null,
    'PostgreSQL to keep the ledger in, postgres://…; without it SQLite in the home',
    null as string | null,
    matching(/^postgres(ql)?:\/\//, 'must start with postgres://'),
  ),
  advertisedHost: rule(
    'advertisedHost',
    null,
    'host name in instance endpoints; by default the one the caller used',
    null as string | null,
    matching(/^[A-Za-z0-9.:-]+$/, 'must be a host name or an address'),
  ),
  firstInstancePort: rule<number>(
    'firstInstancePort',
    null,
    'instances take the lowest port from this one up that none had before, then the one that has rested longest',
    7801,
    wholeNumber(1, 65535),
  ),
  lastInstancePort: rule<number>(
    'lastInstancePort',
    null,
    'the last port an instance may take, where only a range is let through',
    65535,
    wholeNumber(1, 65535),
  ),
  accountId: rule(
    'accountId',
    null,
    'main account id (16 digits); random at first start',
    null as string | null,
    matching(/^\d{6,20}$/, 'must be 6 to 20 digits'),
  ),
  accessKeyId: rule(
    'accessKeyId',
    null,
    "the account's AccessKey id; random at first start",
    null as string | null,
    matching(/^[A-Za-z0-9._-]{4,128}$/, 'must be 4 to 128 letters, digits, dots, underscores or hyphens'),
  ),
  accessKeySecret: rule(
    'accessKeySecret',
    null,
    "the account's AccessKey secret; random at first start",
    null as string | null,
    matching(/^[\x21-\x7e]{4,128}$/, 'must be 4 to 128 visible ASCII characters'),
  ),
  timeZoneOffsetMinutes: rule<number>(
    'timeZoneOffsetMinutes',
    null,
    'zone of the date texts in replies, minutes east of UTC',
    480,
    wholeNumber(-840, 840),
  ),
  allowedHosts: rule<readonly string[]>(
    'allowedHosts',
    null,
    'names clients may call this server by, separated by commas, besides addresses and localhost; .example.com for all below, * for any',
    [],
    hostNames,
  ),
  requireContentMd5: rule<boolean>(
    'requireContentMd5',
    null,
    'refuse bodies signed in the legacy way without Content-MD5; Terraform and SDKs in v2 mode send none, the aliyun CLI does',
    false,
    trueOrFalse,
  ),
  readsPerSecond: rule(
    'readsPerSecond',
    null,
    'reads a second an account may make; unlimited by default',
    null as number | null,
    wholeNumber(1, 1_000_000),
  ),
  writesPerSecond: rule(
    'writesPerSecond',
    null,
    'writes a second an account may make; unlimited by default',
    null as number | null,
    wholeNumber(1, 1_000_000),
  ),
  brokerProcesses: rule<number>(
    'brokerProcesses',
    '--broker-processes <n>',
    'broker processes that share the instances; one uses about one core',
    1,
    wholeNumber(1, 64),
  ),
  brokerLingerMinutes: rule<number>(
    'brokerLingerMinutes',
    null,
    'minutes a broker process serves on after the server died; 0 means for ever',
    10,
    wholeNumber(0, 525_600),
  ),
  brokerHangSeconds: rule<number>(
    'brokerHangSeconds',
    null,
    'seconds for which the event loop of a broker process may stand still until the process is killed and started again; 0 means for ever',
    120,
    wholeNumber(0, 3600),
  ),
  logLevel: rule<Settings['logLevel']>(
    'logLevel',
    '--log-level <level>',
    'debug, info, warn, error or silent',
    'info',
    oneOf(['debug', 'info', 'warn', 'error', 'silent']),
  ),
} satisfies { [K in keyof Settings]: SettingRule<Settings[K]> }

function rule<T>(
  key: keyof Settings,
  flag: string | null,
  help: string,
  fallback: T,
  read: (text: string) => NonNullable<T>,
): SettingRule<T> {
  return {
    key,
    flag,
    help,
    fallback,
    env: `GANTRY_${key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`,
    read,
  }
}

/** A setting that cannot be used: says which one, where it came from, and what is accepted. */
export class SettingError extends Error {
  override readonly name = 'SettingError'
}

export type Flags = Readonly<Partial<Record<keyof Settings, string>>>

/** Resolves every setting. Throws `SettingError`. */
export function readSettings(flags: Flags, env: Readonly<Record<string, string | undefined>>): Settings {
  const given = path.resolve(flags.home ?? nonEmpty(env[settingRules.home.env]) ?? settingRules.home.fallback)
  const { folder, hostile } = lookAtHome(given)
  // Of a home that is not this user's alone nothing is obeyed; whoever uses it looks again, and says why.
  const home = hostile === null ? folder : given
  const file = hostile === null ? readSettingsFile(path.join(home, 'gantry.yaml')) : new Map<string, string>()
  const result: Record<string, unknown> = {}
  for (const rule of Object.values(settingRules) as SettingRule<unknown>[]) {
    const sources: ReadonlyArray<readonly [string, string | undefined]> = [
      [rule.flag?.split(' ')[0] ?? rule.key, flags[rule.key]],
      [rule.env, nonEmpty(env[rule.env])],
      [`gantry.yaml: ${rule.key}`, file.get(rule.key)],
    ]
    const found = sources.find(([, value]) => value !== undefined)
    result[rule.key] = found === undefined ? rule.fallback : readOne(rule, found[0], found[1]!)
  }
  if ((result.accessKeyId === null) !== (result.accessKeySecret === null)) {
    throw new SettingError(
      `${settingRules.accessKeyId.env} and ${settingRules.accessKeySecret.env} belong together; only one of them is set.`,
    )
  }
  return { ...(result as unknown as Settings), home }
}

function readOne(rule: SettingRule<unknown>, source: string, value: string): unknown {
  try {
    return rule.read(value)
  } catch (error) {
    const shown =
      rule.key === 'accessKeySecret' || rule.key === 'databaseUrl' ? '' : ` is ${JSON.stringify(value)} but it`
    throw new SettingError(`${source}${shown} ${(error as Error).message}.`)
  }
}

function readSettingsFile(file: string): Map<string, string> {
  let source: string
  try {
    source = readFileSync(file, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return new Map()
    throw new SettingError(`${file} cannot be read: ${(error as Error).message}.`)
  }
  let parsed: unknown
  try {
    parsed = parseYaml(source)
  } catch (error) {
    // Only its first line: the others quote the file, and a secret may stand there.
    const [reason = ''] = (error as Error).message.split('\n')
    throw new SettingError(`${file} is not valid YAML: ${reason.replace(/:$/, '')}.`)
  }
  if (parsed === null || parsed === undefined) return new Map()
  if (typeof parsed !== 'object' || Array.isArray(parsed))
    throw new SettingError(`${file} must hold "name: value" lines.`)
  const found = new Map<string, string>()
  for (const [key, value] of Object.entries(parsed)) {
    if (!(key in settingRules) || key === 'home') {
      throw new SettingError(
        `${file} has an unknown setting "${key}". Known: ${Object.keys(settingRules)
          .filter((known) => known !== 'home')
          .join(', ')}.`,
      )
    }
    if (value !== null && typeof value === 'object') throw new SettingError(`${file}: ${key} must be a plain value.`)
    if (value !== null) found.set(key, String(value))
  }
  return found
}

const nonEmpty = (value: string | undefined): string | undefined => (value === '' ? undefined : value)
