// Generated from proto/ by scripts/generate-proto.mjs. Do not edit.
import type { Codec } from '../protobuf.ts'

export declare const AggregationTemporality: {
  readonly AGGREGATION_TEMPORALITY_UNSPECIFIED: 0
  readonly AGGREGATION_TEMPORALITY_DELTA: 1
  readonly AGGREGATION_TEMPORALITY_CUMULATIVE: 2
  readonly [value: number]: string | undefined
}

export interface ExportMetricsServiceRequest {
  readonly resourceMetrics: readonly ResourceMetrics[]
}
export interface ExportMetricsServiceRequestInit {
  resourceMetrics?: readonly ResourceMetricsInit[] | null | undefined
}
export declare const ExportMetricsServiceRequest: Codec<ExportMetricsServiceRequest, ExportMetricsServiceRequestInit>

export interface ExportMetricsServiceResponse {
  readonly partialSuccess: ExportMetricsPartialSuccess | null
}
export interface ExportMetricsServiceResponseInit {
  partialSuccess?: ExportMetricsPartialSuccessInit | null | undefined
}
export declare const ExportMetricsServiceResponse: Codec<ExportMetricsServiceResponse, ExportMetricsServiceResponseInit>

export interface ExportMetricsPartialSuccess {
  readonly rejectedDataPoints: number
  readonly errorMessage: string
}
export interface ExportMetricsPartialSuccessInit {
  rejectedDataPoints?: number | null | undefined
  errorMessage?: string | null | undefined
}
export declare const ExportMetricsPartialSuccess: Codec<ExportMetricsPartialSuccess, ExportMetricsPartialSuccessInit>

export interface AnyValue {
  readonly stringValue: string | null
  readonly boolValue: boolean | null
  readonly intValue: number | null
  readonly doubleValue: number | null
  /** Which of these is set. */
  readonly value?: 'stringValue' | 'boolValue' | 'intValue' | 'doubleValue' | undefined
}
export interface AnyValueInit {
  stringValue?: string | null | undefined
  boolValue?: boolean | null | undefined
  intValue?: number | null | undefined
  doubleValue?: number | null | undefined
}
export declare const AnyValue: Codec<AnyValue, AnyValueInit>

export interface KeyValue {
  readonly key: string
  readonly value: AnyValue | null
}
export interface KeyValueInit {
  key?: string | null | undefined
  value?: AnyValueInit | null | undefined
}
export declare const KeyValue: Codec<KeyValue, KeyValueInit>

export interface ResourceMetrics {
  readonly scopeMetrics: readonly ScopeMetrics[]
}
export interface ResourceMetricsInit {
  scopeMetrics?: readonly ScopeMetricsInit[] | null | undefined
}
export declare const ResourceMetrics: Codec<ResourceMetrics, ResourceMetricsInit>

export interface ScopeMetrics {
  readonly metrics: readonly Metric[]
}
export interface ScopeMetricsInit {
  metrics?: readonly MetricInit[] | null | undefined
}
export declare const ScopeMetrics: Codec<ScopeMetrics, ScopeMetricsInit>

export interface Metric {
  readonly name: string
  readonly description: string
  readonly unit: string
  readonly gauge: Gauge | null
  readonly sum: Sum | null
  readonly histogram: Histogram | null
  readonly exponentialHistogram: ExponentialHistogram | null
  readonly summary: Summary | null
  /** Which of these is set. */
  readonly data?: 'gauge' | 'sum' | 'histogram' | 'exponentialHistogram' | 'summary' | undefined
}
export interface MetricInit {
  name?: string | null | undefined
  description?: string | null | undefined
  unit?: string | null | undefined
  gauge?: GaugeInit | null | undefined
  sum?: SumInit | null | undefined
  histogram?: HistogramInit | null | undefined
  exponentialHistogram?: ExponentialHistogramInit | null | undefined
  summary?: SummaryInit | null | undefined
}
export declare const Metric: Codec<Metric, MetricInit>

export interface Gauge {
  readonly dataPoints: readonly NumberDataPoint[]
}
export interface GaugeInit {
  dataPoints?: readonly NumberDataPointInit[] | null | undefined
}
export declare const Gauge: Codec<Gauge, GaugeInit>

export interface Sum {
  readonly dataPoints: readonly NumberDataPoint[]
  /** A value of `AggregationTemporality`, or a number this version does not know. */
  readonly aggregationTemporality: number
  readonly isMonotonic: boolean
}
export interface SumInit {
  dataPoints?: readonly NumberDataPointInit[] | null | undefined
  aggregationTemporality?: number | null | undefined
  isMonotonic?: boolean | null | undefined
}
export declare const Sum: Codec<Sum, SumInit>

export interface Histogram {
  readonly dataPoints: readonly HistogramDataPoint[]
  /** A value of `AggregationTemporality`, or a number this version does not know. */
  readonly aggregationTemporality: number
}
export interface HistogramInit {
  dataPoints?: readonly HistogramDataPointInit[] | null | undefined
  aggregationTemporality?: number | null | undefined
}
export declare const Histogram: Codec<Histogram, HistogramInit>

export interface ExponentialHistogram {
  readonly dataPoints: readonly UnreadDataPoint[]
}
export interface ExponentialHistogramInit {
  dataPoints?: readonly UnreadDataPointInit[] | null | undefined
}
export declare const ExponentialHistogram: Codec<ExponentialHistogram, ExponentialHistogramInit>

export interface Summary {
  readonly dataPoints: readonly UnreadDataPoint[]
}
export interface SummaryInit {
  dataPoints?: readonly UnreadDataPointInit[] | null | undefined
}
export declare const Summary: Codec<Summary, SummaryInit>

export interface UnreadDataPoint {

}
export interface UnreadDataPointInit {

}
export declare const UnreadDataPoint: Codec<UnreadDataPoint, UnreadDataPointInit>

export interface NumberDataPoint {
  readonly attributes: readonly KeyValue[]
  readonly timeUnixNano: number
  readonly asDouble: number | null
  readonly asInt: number | null
  /** Which of these is set. */
  readonly value?: 'asDouble' | 'asInt' | undefined
}
export interface NumberDataPointInit {
  attributes?: readonly KeyValueInit[] | null | undefined
  timeUnixNano?: number | null | undefined
  asDouble?: number | null | undefined
  asInt?: number | null | undefined
}
export declare const NumberDataPoint: Codec<NumberDataPoint, NumberDataPointInit>

export interface HistogramDataPoint {
  readonly attributes: readonly KeyValue[]
  readonly timeUnixNano: number
  readonly count: number
  readonly sum: number | null
  readonly bucketCounts: readonly number[]
  readonly explicitBounds: readonly number[]
}
export interface HistogramDataPointInit {
  attributes?: readonly KeyValueInit[] | null | undefined
  timeUnixNano?: number | null | undefined
  count?: number | null | undefined
  sum?: number | null | undefined
  bucketCounts?: readonly number[] | null | undefined
  explicitBounds?: readonly number[] | null | undefined
}
export declare const HistogramDataPoint: Codec<HistogramDataPoint, HistogramDataPointInit>

export declare const MetricsService: {
  readonly typeName: 'opentelemetry.proto.collector.metrics.v1.MetricsService'
  readonly methods: {
    readonly export: {
      readonly kind: 'unary'
      readonly path: '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export'
      readonly request: typeof ExportMetricsServiceRequest
      readonly response: typeof ExportMetricsServiceResponse
    }
  }
}
