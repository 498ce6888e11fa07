/** `gantry get` and `gantry delete` of what is in an instance, by the operation that reads or removes it. */
import type { Settings } from '../config.ts'
import { instanceIdOf } from './arguments.ts'
import { callAndNote, callData, findTarget } from './client.ts'
import { type OutputOptions, print, step } from './output.ts'
import { facts, flat } from './tables.ts'
import { withZone } from './zone.ts'

/** One thing, by the operation that reads it. */
export async function show(
  settings: Settings,
  action: string,
  instance: string,
  place: Readonly<Record<string, string>>,
  options: OutputOptions,
): Promise<void> {
  const target = findTarget(settings)
  const instanceId = await instanceIdOf(target, instance)
  const data = await callAndNote<Part>(target, action, { instanceId, ...place })
  print(data, options, () => partFacts(data, target.zoneMinutes))
}

/** A topic or a consumer group as the API answers it. */
export type Part = Readonly<Record<string, unknown>>

/** The API's members, with what a reader would have to look up: the zone of times, and what a number counts. */
export const partFacts = (part: Part, zoneMinutes: number | null): string =>
  facts(flat(part).map(([name, value]) => [name, (meanings[name] ?? asItIs)(value, zoneMinutes)]))

type Meaning = (value: string, zoneMinutes: number | null) => string
const asItIs: Meaning = (value) => value
const meanings: Readonly<Record<string, Meaning>> = {
  createTime: withZone,
  updateTime: withZone,
  priority: (value) => `${value} (the highest; a larger one counts as this)`,
  liteTopicExpiration: (value) => (value === '-1' ? '-1 (never)' : `${value} min`),
  'consumeRetryPolicy.fixedIntervalRetryTime': (value) => `${value} s`,
}

export async function remove(
  settings: Settings,
  action: string,
  instance: string,
  place: Readonly<Record<string, string>>,
  options: OutputOptions,
): Promise<void> {
  const target = findTarget(settings)
  const instanceId = await instanceIdOf(target, instance)
  await step(`${action} ${Object.values(place).join(' ')}`, () => callData(target, action, { instanceId, ...place }))
  print({ instanceId, ...place }, options, () => '')
}
