/**
 * Lines of our logs: read, chosen, and written for people. The server writes JSON, a broker process a time and a
 * sentence, and a crash any text. Pure.
 */
import type { InstanceId } from '../model/ids.ts'
import { cyan, dim, red, shown, yellow } from './safe-text.ts'
import { clockText, withZone } from './zone.ts'

export interface LogLine {
  /** `server`, or the name of a broker process. */
  readonly source: string
  /** Milliseconds; null for a line without a time. */
  readonly timeMs: number | null
  readonly level: string | null
  readonly message: string
  /** What else the line says; null when it was no JSON. */
  readonly fields: Readonly<Record<string, unknown>> | null
}

export const levels = ['debug', 'info', 'warn', 'error'] as const

export function readLine(source: string, text: string): LogLine {
  const parsed = parse(text)
  if (parsed === null) {
    const [, stamp, sentence] = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (.*)$/s.exec(text) ?? []
    const timeMs = stamp === undefined ? null : Date.parse(stamp)
    return { source, timeMs, level: null, message: sentence ?? text, fields: null }
  }
  const { time, level, msg, ...fields } = parsed
  const timeMs = typeof time === 'string' ? Date.parse(time) : Number.NaN
  return {
    source,
    timeMs: Number.isNaN(timeMs) ? null : timeMs,
    level: typeof level === 'string' ? level : null,
    message: typeof msg === 'string' ? msg : '',
    fields,
  }
}

function parse(text: string): Record<string, unknown> | null {
  if (!text.startsWith('{')) return null
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return null
  }
}

/** Lines of several logs in the order of their times; a line without one stays behind the line before it. */
export function inOrder(logs: ReadonlyArray<readonly LogLine[]>): LogLine[] {
  const timed = logs.flatMap((lines) => {
    let last = 0
    return lines.map((line) => {
      last = line.timeMs ?? last
      return { line, at: last }
    })
  })
  return timed.sort((a, b) => a.at - b.at).map(({ line }) => line)
}

export interface LogChoice {
  readonly instanceId?: InstanceId | undefined
  readonly level?: string | undefined
  /** The broker process that holds the instance: all it says may be about it. */
  readonly holder?: string | undefined
}

/** Whether the line is of the level or above, and speaks of the instance. A line without a level may be a crash's. */
export function isChosen(line: LogLine, { instanceId, level, holder }: LogChoice): boolean {
  if (level !== undefined && line.level !== null) {
    if (levels.indexOf(line.level as 'info') < levels.indexOf(level as 'info')) return false
  }
  if (instanceId === undefined) return true
  if (line.source === holder) return true
  return line.message.includes(instanceId) || (line.fields !== null && JSON.stringify(line.fields).includes(instanceId))
}

const paintLevel: Readonly<Record<string, (text: string) => string>> = {
  error: red,
  warn: yellow,
  info: cyan,
  debug: dim,
}

/** One line for people: time, source, level, message, and the fields behind it. */
export function logText({ source, timeMs, level, message, fields }: LogLine, zoneMinutes: number): string {
  const zoned = withZone(clockText(timeMs ?? 0, zoneMinutes, { fraction: true }), zoneMinutes)
  const time = timeMs === null ? ' '.repeat(zoned.length) : zoned
  const paint = (level !== null && paintLevel[level]) || ((text: string) => text)
  const more = Object.entries(fields ?? {}).map(([name, value]) => ` ${dim(`${shown(name)}=`)}${fieldText(value)}`)
  return `${dim(time)} ${shown(source)} ${paint(shown(level ?? '').padEnd(5))} ${shown(message)}${more.join('')}`.trimEnd()
}

function fieldText(value: unknown): string {
  if (isError(value))
    return `${shown(value.message)}${value.cause === undefined ? '' : ` <- ${fieldText(value.cause)}`}`
  return shown(typeof value === 'string' ? value : (JSON.stringify(value) ?? ''))
}

const isError = (value: unknown): value is { message: string; cause?: unknown } =>
  typeof value === 'object' && value !== null && typeof (value as { message?: unknown }).message === 'string'
