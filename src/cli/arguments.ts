/** What options take, read once: numbers, durations, switches, names of instances. Each refusal names the option. */
import { callData, type Target } from './client.ts'
import { CommandError, UsageError } from './errors.ts'
import { shown } from './safe-text.ts'

export function wholeNumber(option: string, text: string, low = 0, high = 999_999_999): number {
  const value = Number(text)
  if (!/^-?\d{1,9}$/.test(text) || value < low || value > high) {
    const range = low === 0 && high === 999_999_999 ? '' : ` from ${low} to ${high}`
    throw new UsageError(`${option} takes a whole number${range}, not ${quoted(text)}.`)
  }
  return value
}

export function decimal(option: string, text: string): number {
  if (!/^\d{1,9}(\.\d{1,9})?$/.test(text)) throw new UsageError(`${option} takes a number, not ${quoted(text)}.`)
  return Number(text)
}

export function trueOrFalse(option: string, text: string): boolean {
  if (text !== 'true' && text !== 'false') throw new UsageError(`${option} takes true or false, not ${quoted(text)}.`)
  return text === 'true'
}

const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** `500ms`, `30s`, `5m`, `2h`, `1d` in milliseconds. */
export function duration(option: string, text: string, lowMs: number, highMs: number): number {
  const match = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text)
  const ms = match === null ? Number.NaN : Number(match[1]) * unitMs[match[2] as keyof typeof unitMs]
  if (!(ms >= lowMs && ms <= highMs)) {
    const examples = [30_000, 300_000, 10_000].filter((each) => each >= lowMs && each <= highMs).slice(0, 2)
    const suchAs = examples.length === 0 ? '' : `, such as ${examples.map(durationText).join(' or ')}`
    throw new UsageError(
      `${option} takes a time from ${durationText(lowMs)} to ${durationText(highMs)}${suchAs}, not ${quoted(text)}.`,
    )
  }
  return ms
}

function durationText(ms: number): string {
  const [unit, size] = Object.entries(unitMs)
    .reverse()
    .find(([, each]) => ms >= each && ms % each === 0) ?? ['ms', 1]
  return `${ms / size}${unit}`
}

export const quoted = (text: string): string => shown(JSON.stringify(text))

/**
 * The id of the instance that the text names: an id as it is, a name by looking it up. Throws `CommandError` when no
 * instance, or more than one, has the name.
 */
export async function instanceIdOf(target: Target, text: string): Promise<string> {
  if (/^rmq-/.test(text) || text === '') return text
  const { list } = await callData<{ list: ReadonlyArray<{ instanceId: string; instanceName: string }> }>(
    target,
    'ListInstances',
    { filter: text, pageNumber: 1, pageSize: 200 },
  )
  const named = list.filter(({ instanceId, instanceName }) => instanceName === text || instanceId === text)
  if (named.length === 1) return named[0]!.instanceId
  if (named.length === 0)
    throw new CommandError(`No instance has the id or the name ${quoted(text)}. "gantry list instances" shows them.`)
  throw new CommandError(
    `${named.length} instances have the name ${quoted(text)}; say which by its id: ${named.map(({ instanceId }) => instanceId).join(', ')}.`,
  )
}
