/** What a client measured, as it sends it over OTLP: each value by itself, or why it cannot be kept (`clients/client-metrics.ts`). */
import type * as otlp from '../../../../grpc/gen/otlp.js'
import type { MetricValue } from '../../../../model/clients.ts'
import { type MeasuredPoint, maxBuckets, maxLabels, maxTextBytes } from '../../../clients/client-metrics.ts'

/** AggregationTemporality DELTA of OTLP. */
const deltaTemporality = 1

/** Every value of the request; its labels and buckets are made when it is called, as one that is only counted needs none. */
export function* pointsIn(request: otlp.ExportMetricsServiceRequest): Iterable<() => MeasuredPoint> {
  for (const { scopeMetrics } of request.resourceMetrics)
    for (const { metrics } of scopeMetrics) for (const metric of metrics) yield* pointsOf(metric)
}

function* pointsOf(metric: otlp.Metric): Iterable<() => MeasuredPoint> {
  const { name, unit } = metric
  for (const { attributes, asDouble, asInt } of metric.gauge?.dataPoints ?? [])
    yield () => ({ name, unit, labels: labelsOf(attributes), value: number('gauge', asDouble ?? asInt), delta: false })
  for (const { attributes, asDouble, asInt } of metric.sum?.dataPoints ?? [])
    yield () => ({
      name,
      unit,
      labels: labelsOf(attributes),
      value: number('sum', asDouble ?? asInt),
      delta: metric.sum?.aggregationTemporality === deltaTemporality,
    })
  for (const point of metric.histogram?.dataPoints ?? [])
    yield () => ({
      name,
      unit,
      labels: labelsOf(point.attributes),
      value: histogram(point),
      delta: metric.histogram?.aggregationTemporality === deltaTemporality,
    })
  const unread = metric.exponentialHistogram ?? metric.summary
  for (const _ of unread?.dataPoints ?? [])
    yield () => ({
      name,
      unit,
      labels: {},
      value: 'only gauges, sums and histograms with explicit bounds are kept',
      delta: false,
    })
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
