/** `gantry lag`: what a consumer group has yet to consume. */

import type { Settings } from '../config.ts'
import type { ConsumerGroupId, TopicName } from '../model/ids.ts'
import { instanceIdOf } from './arguments.ts'
import { callData, findTarget } from './client.ts'
import { given } from './members.ts'
import { type OutputOptions, print, say } from './output.ts'
import { shownDuration } from './processes.ts'
import { shown } from './safe-text.ts'
import { table } from './tables.ts'
import { clockText, withZone } from './zone.ts'

interface Lag {
  readonly readyCount: number
  readonly inflightCount?: number
  /** Seconds. */
  readonly deliveryDuration: number
  /** When the last message that the group is done with was stored. */
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
  consumerGroupId: ConsumerGroupId,
  options: OutputOptions & { readonly topic?: TopicName },
): Promise<void> {
  const target = findTarget(settings)
  const found = await callData<GroupLag>(target, 'GetConsumerGroupLag', {
    instanceId: await instanceIdOf(target, instance),
    consumerGroupId,
    ...given({ topicName: options.topic }),
  })
  print(found, options, () => {
    if (Object.keys(found.topicLagMap).length === 0) say(`Group ${shown(consumerGroupId)} has read no topic yet.`)
    return lagTable(found, target.zoneMinutes)
  })
}

export function lagTable(
  { totalLag, topicLagMap, liteTopicLagMap = {} }: GroupLag,
  zoneMinutes: number | null,
): string {
  const row = (name: string, each: Lag): string[] => [
    name,
    String(each.readyCount),
    each.inflightCount === undefined ? '' : String(each.inflightCount),
    shownDuration(each.deliveryDuration * 1000),
    each.lastConsumeTimestamp === undefined ? '' : clockText(each.lastConsumeTimestamp, zoneMinutes),
  ]
  const byName = (map: Readonly<Record<string, Lag>>, prefix = ''): string[][] =>
    Object.entries(map).map(([name, each]) => row(`${prefix}${name}`, each))
  return table(
    ['TOPIC', 'READY', 'IN FLIGHT', 'OLDEST WAITS', withZone('CONSUMED UP TO', zoneMinutes ?? 0)],
    [...byName(topicLagMap), ...byName(liteTopicLagMap, 'lite topic '), row('(all)', totalLag)],
  )
}
