/** Regions and zones (api-semantics §4). Neither takes a parameter nor a permission. */
import Type from 'typebox'
import { operation } from './operation.ts'
import { anyJson, dateTime, list, maybe, object, regionId } from './schema.ts'

const family = 'regions'

export const listRegions = operation({
  action: 'ListRegions',
  call: 'GET /regions',
  summary: 'List the regions',
  family,
  access: ['none', 'any'],
  data: list(
    object({
      regionId: regionId(),
      regionName: Type.String(),
      supportRocketmqV4: Type.Boolean(),
      supportRocketmqV5: Type.Boolean(),
      tags: maybe(list(object({ tagCode: Type.String(), tagValue: anyJson() }), 100)),
      createTime: maybe(dateTime('When the region was opened.')),
      updateTime: maybe(dateTime('When it was last changed.')),
    }),
    1000,
  ),
})

export const listAvailableZones = operation({
  action: 'ListAvailableZones',
  call: 'GET /zones',
  summary: 'List the zones of the region',
  description: "The region is that of the endpoint's address.",
  family,
  access: ['none', 'any'],
  data: list(
    object({
      zoneId: Type.String(),
      zoneName: Type.String(),
      createTime: maybe(dateTime('When the zone was opened.')),
      updateTime: maybe(dateTime('When it was last changed.')),
    }),
    1000,
  ),
})
