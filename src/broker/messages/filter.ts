/**
 * Filter expressions of a receive, whatever protocol names them. By tag: `*` or nothing takes everything; otherwise tags
 * joined by `||`, trimmed, empty parts ignored, compared exactly. SQL92: core/filters/sql.ts, over the properties of the
 * message.
 *
 * A client sends its expression with each receive, so expressions are kept compiled, the latest thousand of each instance
 * and so many characters of them; the broker knows an expression again by being the same object.
 */
import { Code } from '../../model/codes.ts'
import { BrokerRefusal } from '../../model/refusals.ts'
import { compileSql, type Filter, SqlError, type SqlFilter } from '../broker.ts'
import { readerOf } from './properties.ts'

const maxExpressionLength = 16_384
const maxTags = 1024
const keptExpressions = 1_000
/** An expression with a long list of tags or texts takes some twelve bytes a character: 3 MB at this number. */
const keptCharacters = 256 * 1024

interface Kept {
  readonly filters: Map<string, Filter>
  characters: number
}

/** By instance: the expressions of one do not displace those of another. */
const keptOf = new WeakMap<object, Kept>()

/** `instance` is any object that the instance has to itself. Throws ILLEGAL_FILTER_EXPRESSION. */
export function filterOf(language: 'tag' | 'sql', given: string, instance: object): Filter {
  const isSql = language === 'sql'
  const expression = isSql ? given : given.trim()
  if (!isSql && (expression === '' || expression === '*')) return null
  const key = isSql ? `SQL ${expression}` : `TAG ${expression}`
  const kept = keptOf.get(instance) ?? { filters: new Map<string, Filter>(), characters: 0 }
  keptOf.set(instance, kept)
  const { filters } = kept
  const known = filters.get(key)
  const compiled = known ?? (isSql ? sqlFilter(expression) : tagFilter(expression))
  // The one used last stands last; the first is the one to forget.
  if (known === undefined) kept.characters += key.length
  else filters.delete(key)
  filters.set(key, compiled)
  while (filters.size > keptExpressions || kept.characters > keptCharacters) {
    const first = filters.keys().next().value!
    filters.delete(first)
    kept.characters -= first.length
  }
  return compiled
}

function sqlFilter(expression: string): SqlFilter {
  try {
    const compiled = compileSql(expression)
    const read = readerOf(compiled.names)
    return { sql: expression, passes: (payload) => compiled.matches(read(payload)) }
  } catch (error) {
    if (!(error instanceof SqlError)) throw error
    throw illegal(`The SQL92 expression cannot be used: ${error.message}.`)
  }
}

function tagFilter(expression: string): ReadonlySet<string> {
  if (expression.length > maxExpressionLength)
    throw illegal(`The tag expression has ${expression.length} characters; at most ${maxExpressionLength} are allowed.`)
  const tags = expression
    .split('||')
    .map((tag) => tag.trim())
    .filter((tag) => tag !== '')
  if (tags.length === 0) throw illegal('The tag expression names no tag; use "*" or "TagA || TagB".')
  if (tags.length > maxTags)
    throw illegal(`The tag expression names ${tags.length} tags; at most ${maxTags} are allowed.`)
  return new Set(tags)
}

const illegal = (message: string): BrokerRefusal => new BrokerRefusal(Code.ILLEGAL_FILTER_EXPRESSION, message)
