import { describe, expect, it } from 'vitest'
import { ExportMetricsServiceRequest, type MetricInit } from '../../../../grpc/gen/otlp.js'
import { ClientMetrics } from '../../../clients/client-metrics.ts'
import { pointsIn } from './otlp-points.ts'

/** As it arrives: fields that a client leaves out have their defaults. */
const sent = (...metrics: MetricInit[]) =>
  pointsIn(
    ExportMetricsServiceRequest.decode(
      ExportMetricsServiceRequest.encode({ resourceMetrics: [{ scopeMetrics: [{ metrics }] }] }).finish(),
    ),
  )

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i)
const histogram = (bounds: number[], counts: number[]): MetricInit => ({
  name: 'latency',
  histogram: {
    aggregationTemporality: 2,
    dataPoints: [{ count: 3, sum: 5, explicitBounds: bounds, bucketCounts: counts }],
  },
})

describe('a histogram of a client', () => {
  for (const { shape, bounds, counts, refused } of [
    { shape: 'without buckets', bounds: 0, counts: 0, refused: null },
    { shape: 'with one bucket more than bounds', bounds: 3, counts: 4, refused: null },
    { shape: 'with the most buckets', bounds: 63, counts: 64, refused: null },
    { shape: 'with a bucket too many', bounds: 64, counts: 65, refused: 'a histogram has at most 64 buckets' },
    {
      shape: 'with as many buckets as bounds',
      bounds: 4,
      counts: 4,
      refused: 'a histogram has one bucket more than bounds',
    },
    { shape: 'of bounds alone', bounds: 16_000, counts: 0, refused: 'a histogram has one bucket more than bounds' },
  ]) {
    it(`${shape} is ${refused === null ? 'kept' : 'refused by itself'}`, () => {
      const metrics = new ClientMetrics()
      const other: MetricInit = { name: 'other', gauge: { dataPoints: [{ asDouble: 1 }] } }
      const rejected = metrics.take('client', sent(histogram(numbers(bounds), numbers(counts)), other), 0)
      expect(rejected).toEqual(refused === null ? null : { points: 1, reason: refused })
      expect(metrics.list().map(({ name }) => name)).toEqual(refused === null ? ['latency', 'other'] : ['other'])
    })
  }

  it('that counts from zero each time is added up, bucket by bucket', () => {
    const metrics = new ClientMetrics()
    const part = (counts: number[]): MetricInit => ({
      name: 'latency',
      histogram: {
        aggregationTemporality: 1,
        dataPoints: [{ count: 2, sum: 1.5, explicitBounds: [10], bucketCounts: counts }],
      },
    })
    metrics.take('client', sent(part([1, 1])), 0)
    metrics.take('client', sent(part([0, 2])), 60_000)
    expect(metrics.list()).toMatchObject([
      { at: 60_000, value: { kind: 'histogram', count: 4, sum: 3, bounds: [10], counts: [1, 3] } },
    ])
  })
})

describe('what clients measure is bounded', () => {
  const gauge = (count: number, ...texts: string[]): MetricInit => ({
    name: 'gauge',
    gauge: {
      dataPoints: numbers(count).map((n) => ({
        asInt: n,
        attributes: [`${n}`, ...texts].map((stringValue, at) => ({ key: `label-${at}`, value: { stringValue } })),
      })),
    },
  })

  it('in points of one request', () => {
    const metrics = new ClientMetrics()
    expect(metrics.take('client', sent(gauge(1000)), 0)).toBeNull()
    // The same ones again, so that no other bound is met.
    expect(metrics.take('client', sent(gauge(1000), gauge(200)), 0)).toEqual({
      points: 200,
      reason: 'a request may hold 1000 points',
    })
  })

  it('beyond which no labels are made of what is only counted', () => {
    let made = 0
    const point = () => {
      made++
      return { name: 'cached', unit: '1', labels: {}, value: { kind: 'gauge' as const, value: 1 }, delta: false }
    }
    const metrics = new ClientMetrics()
    expect(metrics.take('client', Array(1_200).fill(point), 0)).toMatchObject({ points: 200 })
    expect(metrics.refuse(Array(1_200).fill(point), 'unknown')).toMatchObject({ points: 1_200 })
    expect(made).toBe(1_000)
  })

  it('in characters of labels of all clients; those of one that has gone are room for others', () => {
    const metrics = new ClientMetrics()
    const long = Array.from({ length: 15 }, () => 'x'.repeat(250))
    let clients = 0
    while (metrics.take(`client-${clients}`, sent(gauge(200, ...long)), 0) === null) clients++
    expect(clients).toBe(20)
    expect(metrics.take('late', sent(gauge(1, ...long)), 0)).toMatchObject({
      points: 1,
      reason: expect.stringContaining('characters of names and labels together'),
    })
    metrics.forget('client-0')
    expect(metrics.take('late', sent(gauge(150, ...long)), 0)).toBeNull()
  })
})
