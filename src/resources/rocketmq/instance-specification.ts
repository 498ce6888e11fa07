/** What an instance was bought as: the specification behind its row. */
import { type Specification, specificationOfStored } from '../../catalogue/rocketmq/specifications.ts'
import { productInfoOf } from '../../ledger/instance-documents.ts'
import type { InstanceRow } from '../../ledger/instances.ts'

export function specificationOfRow(row: InstanceRow): Specification {
  const { msgProcessSpec, capacityType, provisionedCapacity } = productInfoOf(row)
  return specificationOfStored({
    seriesCode: row.series_code,
    subSeriesCode: row.sub_series_code,
    msgProcessSpec,
    capacityType,
    provisionedCapacity,
  })
}
