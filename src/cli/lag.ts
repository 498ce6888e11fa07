/** `gantry lag`: what a consumer group has yet to consume. */
import type { Settings } from '../config.ts'
import { instanceIdOf } from './arguments.ts'
import { callData, findTarget } from './client.ts'
import { given } from './members.ts'
import { type OutputOptions, print } from './output.ts'
import { shownDuration } from './processes.ts'
import { table } from './tables.ts'

interface Lag {
  readonly readyCount: number
  readonly inflightCount?: number
  /** Seconds. */
  readonly deliveryDuration: number
  readonly lastConsumeTimestamp?: number
}

export interface GroupLag {
  readonly totalLag: Lag
  readonly topicLagMap: Readonly<Record<string, Lag>>
  readonly liteTopicLagMap?: Readonly<Record<string, Lag>>
}

export async function lag(
  settings: Settings,
  instance: string,
  consumerGroupId: string,
  options: OutputOptions & { readonly topic?: string },
): Promise<void> {
  const target = findTarget(settings)
  const found = await callData<GroupLag>(target, 'GetConsumerGroupLag', {
    instanceId: await instanceIdOf(target, instance),
    consumerGroupId,
    ...given({ topicName: options.topic }),
  })
  print(found, options, () => lagTable(found))
}

export function lagTable({ totalLag, topicLagMap, liteTopicLagMap = {} }: GroupLag): string {
  const row = (name: string, each: Lag): string[] => [
    name,
    String(each.readyCount),
    each.inflightCount === undefined ? '' : String(each.inflightCount),
    shownDuration(each.deliveryDuration * 1000),
    each.lastConsumeTimestamp === undefined ? 'never' : new Date(each.lastConsumeTimestamp).toISOString(),
  ]
  const byName = (map: Readonly<Record<string, Lag>>, prefix = ''): string[][] =>
    Object.entries(map).map(([name, each]) => row(`${prefix}${name}`, each))
  return table(
    ['TOPIC', 'READY', 'IN FLIGHT', 'OLDEST WAITS', 'LAST CONSUMED'],
    [...byName(topicLagMap), ...byName(liteTopicLagMap, 'lite topic '), row('(all)', totalLag)],
  )
}
