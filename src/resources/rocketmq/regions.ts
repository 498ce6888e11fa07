/**
 * Regions and zones: fixed lists. A client that asks where it can go is told the regions this server
 * answers for. Only 5.x instances exist here. When the vendor opened a region is not known, so no times are told.
 */

import type { Handler } from './handler.ts'
import { regionOf } from './region-table.ts'

export const listRegions: Handler<'ListRegions'> = async ({ settings }) =>
  settings.regionIds.map((regionId) => ({
    regionId,
    regionName: regionOf(regionId).regionName,
    supportRocketmqV4: false,
    supportRocketmqV5: true,
    tags: [],
  }))

export const listAvailableZones: Handler<'ListAvailableZones'> = async (_services, { regionId }) => {
  const region = regionOf(regionId)
  return region.zoneIds.map((zoneId) => ({
    zoneId,
    zoneName: `${region.regionName} Zone ${zoneId.slice(-1).toUpperCase()}`,
  }))
}
