/** What options take, read once: numbers, durations, switches, names of instances. Each refusal names the option. */
import type { InstanceId } from '../model/ids.ts'
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

/** An id as the server makes them. A name may begin in the same way. */
const instanceIdForm = /^rmq-[a-z]{2}-[0-9a-z]{11}$/
const largestPage = 200

/**
 * The id of the instance that the text names: an id as it is, a name by looking it up. Throws `CommandError` when no
 * instance, or more than one, has the name; a text that may be the id of one that is gone is left to the API.
 */
export async function instanceIdOf(target: Target, text: string): Promise<string> {
  if (instanceIdForm.test(text) || text === '') return text
  const found = await instancesNamed(target, text)
  if (found.length === 1) return found[0]!
  if (found.length === 0 && text.startsWith('rmq-')) return text
  if (found.length === 0)
    throw new CommandError(`No instance has the id or the name ${quoted(text)}. "gantry list instances" shows them.`)
  throw new CommandError(
    `${found.length} instances have the name ${quoted(text)}; say which by its id: ${found.join(', ')}.`,
  )
}

/** Ids of the instances that have the text for their name, or their id. */
export async function instancesNamed(target: Target, text: string): Promise<string[]> {
  const found: string[] = []
  let seen = 0
  for (let pageNumber = 1; ; pageNumber++) {
    const { totalCount, list } = await callData<{
      totalCount: number
      list: ReadonlyArray<{ instanceId: InstanceId; instanceName: string }>
    }>(target, 'ListInstances', { filter: text, pageNumber, pageSize: largestPage })
    seen += list.length
    for (const { instanceId, instanceName } of list)
      if (instanceId === text || instanceName === text) found.push(instanceId)
    if (list.length === 0 || seen >= totalCount) return found
  }
}
