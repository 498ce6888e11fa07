/**
 * Tag expressions: `*` or nothing takes everything; otherwise tags joined by `||`, trimmed, empty
 * parts ignored, compared exactly. SQL92 expressions belong to a later version and are refused.
 */
import { BrokerRefusal, type TagFilter } from '../broker.ts'
import { Code } from './code.ts'

const maxExpressionLength = 16_384
const maxTags = 1024
const filterTypeSql = 2

export function parseFilter(
  filter: { type?: number | null; expression?: string | null } | null | undefined,
): TagFilter {
  if (filter === null || filter === undefined) return null
  if (filter.type === filterTypeSql) {
    throw new BrokerRefusal(
      Code.ILLEGAL_FILTER_EXPRESSION,
      'SQL92 filter expressions are not supported by this broker yet; subscribe with a tag expression.',
    )
  }
  const expression = (filter.expression ?? '').trim()
  if (expression === '' || expression === '*') return null
  if (expression.length > maxExpressionLength) {
    throw new BrokerRefusal(
      Code.ILLEGAL_FILTER_EXPRESSION,
      `The tag expression has ${expression.length} characters; at most ${maxExpressionLength} are allowed.`,
    )
  }
  const tags = expression
    .split('||')
    .map((tag) => tag.trim())
    .filter((tag) => tag !== '')
  if (tags.length === 0) {
    throw new BrokerRefusal(
      Code.ILLEGAL_FILTER_EXPRESSION,
      'The tag expression names no tag; use "*" or "TagA || TagB".',
    )
  }
  if (tags.length > maxTags) {
    throw new BrokerRefusal(
      Code.ILLEGAL_FILTER_EXPRESSION,
      `The tag expression names ${tags.length} tags; at most ${maxTags} are allowed.`,
    )
  }
  return new Set(tags)
}
