/**
 * Regions and zones: fixed lists. A client that asks where it can go is told the regions this server
 * answers for. Only 5.x instances exist here.
 */

import { dateText } from '../date-text.ts'
import type { Handler } from './handler.ts'
import { regionOf } from './region-table.ts'

export const listRegions: Handler<'ListRegions'> = async ({ settings }) => {
  const time = dateText(OPENED_MS, settings.timeZoneOffsetMinutes)
  return settings.regionIds.map((regionId) => ({
    regionId,
    regionName: regionOf(regionId).regionName,
    supportRocketmqV4: false,
    supportRocketmqV5: true,
    tags: [],
    createTime: time,
    updateTime: time,
  }))
}

export const listAvailableZones: Handler<'ListAvailableZones'> = async ({ settings }, { regionId }) => {
  const time = dateText(OPENED_MS, settings.timeZoneOffsetMinutes)
  const region = regionOf(regionId)
  return region.zoneIds.map((zoneId) => ({
    zoneId,
    zoneName: `${region.regionName} Zone ${zoneId.slice(-1).toUpperCase()}`,
    createTime: time,
    updateTime: time,
  }))
}

/** The day of this API version, 2022-08-01 in UTC+8: stable, as a list that never changes should be. */
const OPENED_MS = Date.UTC(2022, 6, 31, 16)
