/** The filter expression of a receive or a pull; `messages/filter.ts` has what it may say. */
import { FilterType } from '../../../../grpc/gen/rocketmq.js'
import type { Filter } from '../../../broker.ts'
import { filterOf } from '../../../messages/filter.ts'

/** `instance` is any object that the instance has to itself. Throws ILLEGAL_FILTER_EXPRESSION. */
export function parseFilter(
  filter: { type?: number | null; expression?: string | null } | null | undefined,
  instance: object,
): Filter {
  if (filter === null || filter === undefined) return null
  return filterOf(filter.type === FilterType.SQL ? 'sql' : 'tag', filter.expression ?? '', instance)
}
