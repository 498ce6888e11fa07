/** `gantry get` and `gantry delete` of what is in an instance, by the operation that reads or removes it. */
import type { Settings } from '../config.ts'
import { instanceIdOf } from './arguments.ts'
import { callData, findTarget } from './client.ts'
import { type OutputOptions, print, step } from './output.ts'
import { anyTable } from './tables.ts'

/** One thing, by the operation that reads it. */
export async function show(
  settings: Settings,
  action: string,
  instance: string,
  place: Readonly<Record<string, string>>,
  options: OutputOptions,
): Promise<void> {
  const target = findTarget(settings)
  const data = await callData(target, action, { instanceId: await instanceIdOf(target, instance), ...place })
  print(data, options, () => anyTable(data))
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
