/**
 * What clients measure themselves: the latest value of each instrument for each set of labels, kept in memory until its
 * client is gone, for scrapes of the broker.
 *
 * Everything is bounded: series of one client and of the instance, labels and the bytes of their texts,
 * buckets. A point beyond a bound or of an unknown kind is refused by itself and counted; the rest of
 * what came with it is kept.
 */

import type { ClientMetric, MetricValue } from '../../model/clients.ts'
import type { ClientId } from '../../model/ids.ts'

const maxSeries = 50_000
const maxSeriesPerClient = 1_000
/** Characters of the names and labels of all series together; they are held twice. So many are 50,000 series as clients make them. */
const maxCharacters = 16 * 2 ** 20
/** Looked at of one request, each some 20 µs where its labels are as long as they may be; a client sends some hundred. */
const maxPointsPerRequest = 1_000
/** Of one point. The maker of points refuses larger ones. */
export const maxLabels = 16
export const maxTextBytes = 256
export const maxBuckets = 64

/** How many points were not kept, and the first reason. */
export interface Rejected {
  readonly points: number
  readonly reason: string
}

/** One value that a client measured. A text in place of labels or value says why they cannot be kept. */
export interface MeasuredPoint {
  readonly name: string
  readonly unit: string
  readonly labels: Readonly<Record<string, string>> | string
  readonly value: MetricValue | string
  /** It counts from the point before, not from the client's start. */
  readonly delta: boolean
}

/** What one client measured. */
interface OfClient {
  /** By instrument and labels. */
  readonly series: Map<string, ClientMetric>
  characters: number
}

export class ClientMetrics {
  readonly #clients = new Map<string, OfClient>()
  #count = 0
  #characters = 0

  /** Keeps what can be kept; null when that was everything. */
  take(clientId: ClientId, measured: Iterable<() => MeasuredPoint>, at: number): Rejected | null {
    let points = 0
    let reason = ''
    let looks = 0
    for (const point of measured) {
      const refusal =
        ++looks > maxPointsPerRequest
          ? `a request may hold ${maxPointsPerRequest} points`
          : this.#keep(clientId, point(), at)
      if (refusal === null) continue
      points++
      reason ||= refusal
    }
    return points === 0 ? null : { points, reason }
  }

  /** Of points that are not kept at all. */
  refuse(measured: Iterable<() => MeasuredPoint>, reason: string): Rejected | null {
    let points = 0
    for (const _ of measured) points++
    return points === 0 ? null : { points, reason }
  }

  forget(clientId: ClientId): void {
    const ofClient = this.#clients.get(clientId)
    if (ofClient === undefined) return
    this.#count -= ofClient.series.size
    this.#characters -= ofClient.characters
    this.#clients.delete(clientId)
  }

  list(): ClientMetric[] {
    return [...this.#clients.values()].flatMap(({ series }) => [...series.values()])
  }

  #keep(clientId: ClientId, point: MeasuredPoint, at: number): string | null {
    const { name, unit, labels, value, delta } = point
    if (typeof labels === 'string') return labels
    if (typeof value === 'string') return value
    if (name === '' || Buffer.byteLength(name) > maxTextBytes || Buffer.byteLength(unit) > maxTextBytes)
      return `an instrument's name has 1 to ${maxTextBytes} bytes`
    const ofClient = this.#clients.get(clientId) ?? { series: new Map<string, ClientMetric>(), characters: 0 }
    const { series } = ofClient
    const key = JSON.stringify([name, Object.entries(labels).sort()])
    const before = series.get(key)
    if (before === undefined) {
      if (series.size >= maxSeriesPerClient) return `a client may have ${maxSeriesPerClient} series`
      if (this.#count >= maxSeries) return `the instance keeps ${maxSeries} series`
      if (this.#characters + key.length > maxCharacters)
        return `the instance keeps series with ${maxCharacters} characters of names and labels together`
      this.#count++
      this.#characters += key.length
      ofClient.characters += key.length
    }
    const kept = delta && before !== undefined ? added(before.value, value) : value
    series.set(key, { clientId, name, unit, labels, at, value: kept })
    this.#clients.set(clientId, ofClient)
    return null
  }
}

/** What came since the last time, onto what was there before. */
function added(before: MetricValue, now: MetricValue): MetricValue {
  if (before.kind !== 'histogram' && now.kind !== 'histogram')
    return { kind: now.kind, value: before.value + now.value }
  if (before.kind !== 'histogram' || now.kind !== 'histogram') return now
  const same = before.bounds.length === now.bounds.length && before.bounds.every((bound, i) => bound === now.bounds[i])
  if (!same) return now
  return {
    kind: 'histogram',
    count: before.count + now.count,
    sum: before.sum + now.sum,
    bounds: now.bounds,
    counts: now.counts.map((count, i) => count + (before.counts[i] ?? 0)),
  }
}
