/**
 * What clients measure themselves, as they send it over OTLP: the latest value of each instrument for
 * each set of labels, kept in memory until its client is gone, for whoever scrapes the broker.
 *
 * Everything is bounded: series of one client and of the instance, labels and the bytes of their texts,
 * buckets. A point beyond a bound or of a kind nobody sends is refused by itself and counted; the rest of
 * its request is kept (partial success, as OTLP says it).
 */

import type * as otlp from '../../../../grpc/gen/otlp.js'
import type { ClientMetric, MetricValue } from '../../../../model/clients.ts'

const maxSeries = 50_000
const maxSeriesPerClient = 1_000
const maxLabels = 16
const maxTextBytes = 256
const maxBuckets = 64
/** AggregationTemporality DELTA of OTLP. */
const deltaTemporality = 1

/** How many points were not kept, and the first reason. */
export interface Rejected {
  readonly points: number
  readonly reason: string
}

type Point = { labels: Readonly<Record<string, string>> | string; value: MetricValue | string; delta: boolean }

export class ClientMetrics {
  /** By client, then by instrument and labels. */
  readonly #series = new Map<string, Map<string, ClientMetric>>()
  #count = 0

  /** Keeps what can be kept; null when that was everything. */
  take(clientId: string, request: otlp.ExportMetricsServiceRequest, at: number): Rejected | null {
    let points = 0
    let reason = ''
    for (const metric of metricsOf(request))
      for (const point of pointsOf(metric)) {
        const refusal = this.#keep(clientId, metric, point, at)
        if (refusal === null) continue
        points++
        reason ||= refusal
      }
    return points === 0 ? null : { points, reason }
  }

  /** Of a request that is not kept at all. */
  refuse(request: otlp.ExportMetricsServiceRequest, reason: string): Rejected | null {
    let points = 0
    for (const metric of metricsOf(request)) for (const _ of pointsOf(metric)) points++
    return points === 0 ? null : { points, reason }
  }

  forget(clientId: string): void {
    this.#count -= this.#series.get(clientId)?.size ?? 0
    this.#series.delete(clientId)
  }

  list(): ClientMetric[] {
    return [...this.#series.values()].flatMap((ofClient) => [...ofClient.values()])
  }

  #keep(clientId: string, metric: otlp.Metric, { labels, value, delta }: Point, at: number): string | null {
    if (typeof labels === 'string') return labels
    if (typeof value === 'string') return value
    const { name, unit } = metric
    if (name === '' || Buffer.byteLength(name) > maxTextBytes || Buffer.byteLength(unit) > maxTextBytes)
      return `an instrument's name has 1 to ${maxTextBytes} bytes`
    const ofClient = this.#series.get(clientId) ?? new Map<string, ClientMetric>()
    const key = JSON.stringify([name, Object.entries(labels).sort()])
    const before = ofClient.get(key)
    if (before === undefined) {
      if (ofClient.size >= maxSeriesPerClient) return `a client may have ${maxSeriesPerClient} series`
      if (this.#count >= maxSeries) return `the instance keeps ${maxSeries} series`
      this.#count++
    }
    const kept = delta && before !== undefined ? added(before.value, value) : value
    this.#series.set(clientId, ofClient.set(key, { clientId, name, unit, labels, at, value: kept }))
    return null
  }
}

function* metricsOf(request: otlp.ExportMetricsServiceRequest): Iterable<otlp.Metric> {
  for (const { scopeMetrics } of request.resourceMetrics) for (const { metrics } of scopeMetrics) yield* metrics
}

function* pointsOf(metric: otlp.Metric): Iterable<Point> {
  for (const { attributes, asDouble, asInt } of metric.gauge?.dataPoints ?? [])
    yield { labels: labelsOf(attributes), value: number('gauge', asDouble ?? asInt), delta: false }
  for (const { attributes, asDouble, asInt } of metric.sum?.dataPoints ?? [])
    yield {
      labels: labelsOf(attributes),
      value: number('sum', asDouble ?? asInt),
      delta: metric.sum?.aggregationTemporality === deltaTemporality,
    }
  for (const point of metric.histogram?.dataPoints ?? [])
    yield {
      labels: labelsOf(point.attributes),
      value: histogram(point),
      delta: metric.histogram?.aggregationTemporality === deltaTemporality,
    }
  const unread = metric.exponentialHistogram ?? metric.summary
  for (const _ of unread?.dataPoints ?? [])
    yield { labels: {}, value: 'only gauges, sums and histograms with explicit bounds are kept', delta: false }
}

function number(kind: 'gauge' | 'sum', value: number | null): MetricValue | string {
  return value !== null && Number.isFinite(value) ? { kind, value } : 'a value is missing or not finite'
}

function histogram(point: otlp.HistogramDataPoint): MetricValue | string {
  const { count, sum, explicitBounds: bounds, bucketCounts: counts } = point
  if (counts.length > maxBuckets) return `a histogram has at most ${maxBuckets} buckets`
  // One without buckets has no bounds either (OTLP): those alone could be as many as a request holds.
  if (bounds.length !== Math.max(0, counts.length - 1)) return 'a histogram has one bucket more than bounds'
  return { kind: 'histogram', count, sum: sum !== null && Number.isFinite(sum) ? sum : 0, bounds, counts }
}

function labelsOf(attributes: readonly otlp.KeyValue[]): Record<string, string> | string {
  if (attributes.length > maxLabels) return `a point has at most ${maxLabels} labels`
  const labels: Record<string, string> = {}
  for (const { key, value } of attributes) {
    const text = String(value?.stringValue ?? value?.boolValue ?? value?.intValue ?? value?.doubleValue ?? '')
    if (Buffer.byteLength(key) > maxTextBytes || Buffer.byteLength(text) > maxTextBytes)
      return `a label has at most ${maxTextBytes} bytes`
    labels[key] = text
  }
  return labels
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
