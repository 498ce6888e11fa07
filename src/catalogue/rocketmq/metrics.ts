/** Names of metrics (api-semantics §15). Their values are served by the vendor's monitoring product, not by this API. */
import Type from 'typebox'
import { limits } from './limits.ts'
import { operation } from './operation.ts'
import { object, page, requiredPaging } from './schema.ts'

export const listMetricMeta = operation({
  action: 'ListMetricMeta',
  call: 'GET /monitor/metrics/meta',
  summary: 'List the metrics',
  family: 'metrics',
  access: ['list', 'any'],
  query: requiredPaging(limits.pages.sizes.ListMetricMeta),
  data: page(object({ metricName: Type.String(), category: Type.String(), description: Type.String() })),
})
