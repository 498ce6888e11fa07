import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compileSql, SqlError, sqlLimits } from './sql.ts'
import { containing } from './sql-search.ts'

/** Properties of the message that the tables speak of; `gone` is not among them. */
const message: Readonly<Record<string, string>> = {
  price: '15',
  half: '1.5',
  negative: '-3',
  big: '3000000000',
  huge: '9223372036854775808',
  blank: '',
  spaced: ' 15 ',
  nan: 'NaN',
  region: 'hangzhou',
  yes: 'TRUE',
  no: 'no',
  TAGS: 'tagA',
  quote: "it's",
  $dollar_1: 'd',
}

const matches = (text: string, properties: Readonly<Record<string, string>> = message): boolean =>
  compileSql(text).matches((name) => (Object.hasOwn(properties, name) ? properties[name]! : null))

function positionOf(text: string): number | null {
  try {
    compileSql(text)
    return null
  } catch (error) {
    if (error instanceof SqlError) return error.position
    throw error
  }
}

describe('an expression', () => {
  it.each<[rule: string, lets: readonly string[], stops: readonly string[]]>([
    [
      'compares numbers as the literal says',
      [
        'price > 14',
        'price >= 15',
        'price < 15.5',
        'price <= 1.5E1',
        'half > 1.4',
        'half < 2.',
        'half > .5',
        'negative < -2',
      ],
      ['price > 15', 'price < 15', 'half > 1', 'half <> 1', 'region > 1', 'spaced > 1', 'blank > 1', 'blank = 0'],
    ],
    [
      'reads a text compared with a floating point number as Java does',
      ['spaced > 1.0e0', 'spaced = 15.', 'nan > 1.5', 'half = 1.5', 'price = 15.'],
      ['region > 1.5', 'nan < 1.5', 'blank < 1.5'],
    ],
    [
      'takes a literal for 32 bits when it fits, and the text must fit too',
      ['big > 2147483648', 'big = 3000000000', 'big > 5.5', 'big = 3000000000L'],
      // As Apache: 5 is a 32-bit number, "3000000000" is none, and what cannot be evaluated does not match.
      ['big > 5', 'NOT (big > 5)', 'huge > 2147483648'],
    ],
    [
      'compares two properties as floating point numbers',
      ['price > half', 'half < price', 'spaced <= price'],
      ['region > price'],
    ],
    [
      'compares for equality',
      [
        "region = 'hangzhou'",
        "region <> 'beijing'",
        "quote = 'it''s'",
        "blank = ''",
        'price = 15',
        'price = price',
        '5 = 5.0e0',
        '5 > 3',
      ],
      ["region = 'Hangzhou'", "region <> 'hangzhou'", 'price = 16', "5 = '6'", '5 = TRUE'],
    ],
    [
      'knows TRUE and FALSE as texts, on the right',
      ['yes = TRUE', 'no = FALSE', 'yes <> FALSE', 'TRUE = TRUE', '(price > 1) = TRUE'],
      // As Apache: with the literal on the left it cannot be evaluated.
      ['TRUE = yes', 'NOT (TRUE = yes)', 'no = TRUE'],
    ],
    [
      'does not know what a missing property says',
      ['NOT (gone IS NOT NULL)', 'gone > 1 OR TRUE', 'TRUE OR gone > 1', "'x' <> gone", 'gone = missing'],
      [
        'gone > 1',
        'NOT (gone > 1)',
        "gone = 'x'",
        "gone <> 'x'",
        "NOT (gone = 'x')",
        'gone > 1 AND TRUE',
        'NOT (gone > 1 AND TRUE)',
        "'x' = gone",
      ],
    ],
    [
      'asks for null',
      ['gone IS NULL', 'region IS NOT NULL', 'NULL IS NULL', 'region iS nOt NuLl'],
      ['gone IS NOT NULL', 'region IS NULL', '5 IS NULL', 'NULL'],
    ],
    [
      'looks between',
      [
        'price BETWEEN 10 AND 20',
        'price BETWEEN 15 AND 15',
        'price NOT BETWEEN 1 AND 2',
        'price BETWEEN half AND 20',
        '(price BETWEEN 10 AND 100) AND region IS NOT NUll',
      ],
      [
        'price BETWEEN 16 AND 20',
        'price NOT BETWEEN 10 AND 20',
        'gone BETWEEN 1 AND 2',
        'gone NOT BETWEEN 1 AND 2',
        'price BETWEEN 20 AND -10',
        'price BETWEEN gone AND 20',
        'price NOT BETWEEN 20 AND 10 AND FALSE',
      ],
    ],
    [
      'looks in a list of texts',
      [
        "region IN ('beijing', 'hangzhou')",
        "region NOT IN ('a','b','c','d','e')",
        "(region) IN ('hangzhou')",
        "price IN ('15')",
      ],
      [
        "region IN ('beijing')",
        "region NOT IN ('hangzhou')",
        "gone IN ('x')",
        "gone NOT IN ('x')",
        "NOT (gone IN ('x'))",
      ],
    ],
    [
      'looks inside a text',
      [
        "region CONTAINS 'angz'",
        "region NOT CONTAINS 'x'",
        "region STARTSWITH 'hang'",
        "region NOT STARTSWITH 'zhou'",
        "region ENDSWITH 'zhou'",
        "region not endswith 'hang'",
        "NOT (gone CONTAINS 'x')",
        "gone CONTAINS 'x' OR TRUE",
      ],
      [
        "region CONTAINS 'x'",
        "region NOT CONTAINS 'h'",
        "region CONTAINS ''",
        "region NOT CONTAINS ''",
        "gone CONTAINS 'x'",
        "gone NOT CONTAINS 'x'",
        "5 NOT CONTAINS 'x'",
        "region STARTSWITH 'angz'",
        "region ENDSWITH ''",
      ],
    ],
    [
      'takes a bare property for false, for it is a text',
      ['NOT yes', 'NOT region', 'gone OR TRUE'],
      ['yes', 'gone', 'NOT gone', 'yes OR no'],
    ],
    [
      'binds NOT before comparing, comparing before AND, AND before OR',
      [
        'TRUE OR FALSE AND FALSE',
        'NOT gone IS NULL',
        'NOT FALSE AND TRUE',
        'price > 1 AND half < 2.0 OR FALSE',
        '(NOT region) = TRUE',
        'NOT region = TRUE',
      ],
      ['(TRUE OR FALSE) AND FALSE', 'NOT (FALSE OR TRUE)', 'NOT price = 16', "NOT gone CONTAINS 'x'"],
    ],
    [
      'negates',
      ['negative = -3', 'negative = - +3', 'price > - -14', 'price = -(-15)', 'negative > -3.5'],
      ['price = -15', '-price = -15', '-TRUE IS NOT NULL'],
    ],
    [
      'stops at what decides it, and what cannot be evaluated before that stops the message',
      ['price = 15 OR region > 1', 'NOT (price = 16 AND region > 1)'],
      ['region > 1 OR price = 15', 'region > 1 OR TRUE', 'NOT (region > 1)', 'NOT (region > 1 AND FALSE)'],
    ],
    ['sees names as they are written', ["TAGS = 'tagA'", "$dollar_1 = 'd'"], ["tags = 'tagA'", 'Price = 15']],
    ['skips blanks and comments', ['/* a * b */ price /**/ > -- more\n 14', '\tTRUE\r\n-- end', '/***/TRUE'], []],
  ])('%s', (_, lets, stops) => {
    for (const text of lets) expect([text, matches(text)]).toEqual([text, true])
    for (const text of stops) expect([text, matches(text)]).toEqual([text, false])
  })

  it.each<[text: string, position: number]>([
    ['', 1],
    ['   ', 4],
    ['price', 0],
    ["'text'", 1],
    ['5', 1],
    ['-price', 2],
    ['price >', 8],
    ['> 5', 1],
    ['price > 5 half', 11],
    ['price ! 5', 7],
    ['price != 5', 7],
    ['price == 5', 8],
    ['price > 5 && half > 1', 11],
    ['a.b = 1', 2],
    ["region LIKE 'h%'", 8],
    ['price + 1 > 2', 7],
    ["price > 'a'", 9],
    ['price > TRUE', 9],
    ['price > NULL', 9],
    ['price > 1 > 2', 1],
    ['NOT price > 5', 5],
    ['NOT price BETWEEN 1 AND 2', 5],
    ['(a = 1) < 2', 2],
    ['a = NULL', 5],
    ['NULL <> a', 1],
    ["TRUE = 'x'", 8],
    ['TRUE = 5', 8],
    ['a BETWEEN 5 AND 1', 11],
    ["a BETWEEN 'a' AND 'b'", 11],
    ['a BETWEEN NULL AND 1', 11],
    ['a BETWEEN 1', 12],
    ["5 IN ('a')", 1],
    ['a IN (5)', 7],
    ["a IN ('a'", 10],
    ['a IN ()', 7],
    ['a CONTAINS b', 12],
    ['a IS 5', 6],
    ['a IS NOT 5', 10],
    ['a NOT = 5', 3],
    ["a = 'open", 5],
    ["a = 'open''", 5],
    ['a = 1 /* open', 7],
    ['a = 007', 5],
    ['a = 0L', 6],
    ['a = 9223372036854775808', 5],
    ['a = 1e999', 5],
    ['a = 0.0', 5],
    ['(a = 1', 7],
    ['a = 1)', 6],
    ['属性 = 1', 1],
    ['a = "x"', 5],
  ])('%j is refused where it goes wrong', (text, position) => {
    expect(positionOf(text)).toBe(position === 0 ? null : position)
  })

  it('names the properties it looks at', () => {
    expect([...compileSql("a > 1 AND TAGS IN ('x') OR NOT b IS NULL").names]).toEqual(['a', 'TAGS', 'b'])
  })
})

describe('an expression that is too much', () => {
  const comparisons = (count: number) => Array.from({ length: count }, () => 'a=1').join(' OR ')

  it.each([
    ['long', `a = '${'x'.repeat(sqlLimits.characters)}'`],
    ['deep in brackets', `${'('.repeat(100_0)}TRUE${')'.repeat(100_0)}`],
    ['deep in NOT', `${'NOT '.repeat(1000)}TRUE`],
    ['deep in signs', `a > ${'- '.repeat(1000)}1`],
    ['deep to the left', `a${' = a'.repeat(1000)}`],
    ['rich in terms', Array.from({ length: 2_000 }, () => 'a=1').join(' OR ')],
    ['rich in texts', `a IN (${Array.from({ length: 4_090 }, () => "''").join(',')})`],
    ['rich in comparisons', comparisons(sqlLimits.comparisons + 1)],
    ['rich in searches', Array.from({ length: 65 }, () => "a CONTAINS 'b'").join(' OR ')],
    ['rich in ranges', Array.from({ length: 129 }, () => 'a BETWEEN 1 AND 2').join(' OR ')],
    ['rich in questions', Array.from({ length: 257 }, () => 'a IS NULL').join(' OR ')],
  ])('%s is refused', (_, text) => expect(positionOf(text)).not.toBeNull())

  it('may have as many comparisons as its limit says, and long lists', () => {
    expect(positionOf(comparisons(sqlLimits.comparisons))).toBeNull()
    expect(positionOf(`a IN (${Array.from({ length: 1_000 }, (_, i) => `'${i}'`).join(',')})`)).toBeNull()
    expect(() => compileSql(comparisons(257))).toThrow(
      "more than 256 comparisons (CONTAINS counts as 4); write a list of values as IN ('a', 'b')",
    )
  })

  it('is searched for in a text as the engine would, however long', () => {
    const letters = (maxLength: number) => fc.string({ unit: fc.constantFrom('a', 'b'), maxLength })
    fc.assert(
      fc.property(letters(400), letters(60), (text, pattern) => {
        expect(containing(pattern)(text)).toBe(text.includes(pattern))
        const part = text.slice(3, 103)
        expect(containing(part)(text)).toBe(true)
      }),
    )
  })

  it('is compiled or refused quickly, whatever its text', () => {
    const nasty = [
      "'".repeat(16_000),
      `${'1'.repeat(16_000)}x`,
      '/*'.repeat(8_000),
      '-'.repeat(16_000),
      `a = '${"''".repeat(7_000)}'`,
    ]
    const began = performance.now()
    for (const text of nasty) positionOf(text)
    // A property may be long as well.
    for (const end of ['', 'x', '.', 'e', '.5.'])
      for (const text of ['a > 1', 'a > 1.5', 'a > b', "a = 'x'"])
        matches(text, { a: `${'1'.repeat(16_000)}${end}`, b: ' '.repeat(16_000) })
    expect(performance.now() - began).toBeLessThan(500)
  })

  it('never fails but with SqlError', () => {
    const word = fc.constantFrom(
      ...'NOT AND OR BETWEEN IN TRUE FALSE NULL IS CONTAINS a b 1 2.5 ( ) , = <> < > <= >= + - -- /* */ \n'.split(' '),
      "'x'",
      "''",
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(word, { maxLength: 30 }).map((words) => words.join(' ')),
        ),
        (text) => {
          if (positionOf(text) === null) matches(text)
          else expect(positionOf(text)).toBeGreaterThan(0)
        },
      ),
      { numRuns: 3_000 },
    )
  })
})

/**
 * The reference: the same rules, written as plainly as they are stated in the vendor's terms (whole numbers are
 * bigints, what cannot be evaluated throws, AND and OR take two), over a tree that is made first and written out after.
 */
describe('an expression made at random', () => {
  type Constant = {
    readonly is: 'constant'
    readonly text: string
    readonly value: boolean | string | bigint | number | null
  }
  type Tree =
    | Constant
    | { readonly is: 'property'; readonly name: string }
    | { readonly is: 'minus' | 'not' | 'null' | 'some'; readonly of: Tree }
    | { readonly is: 'and' | 'or' | '=' | '<>' | '<' | '<=' | '>' | '>='; readonly of: Tree; readonly and: Tree }
    | { readonly is: 'between' | 'not between'; readonly of: Tree; readonly low: Tree; readonly high: Tree }
    | { readonly is: 'in' | 'not in'; readonly of: Tree; readonly texts: readonly string[] }
    | {
        readonly is: 'contains' | 'startswith' | 'endswith'
        readonly not: boolean
        readonly of: Tree
        readonly text: string
      }

  const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`
  const texts = ['', 'a', "it's", '1', '-1', '15', '1.5', 'true', 'FALSE', 'NaN', '2147483648', ' 7 ', '1e3', '+3', '0']
  const property = fc.constantFrom('a', 'b', 'c').map((name): Tree => ({ is: 'property', name }))
  const number = fc.oneof(
    fc
      .constantFrom(0n, 1n, 15n, 2147483647n, 3000000000n)
      .map((value): Constant => ({ is: 'constant', text: `${value}`, value })),
    fc
      .constantFrom(['1.5', 1.5], ['15.', 15], ['1e3', 1000], ['.25', 0.25] as const)
      .map(([text, value]): Constant => ({ is: 'constant', text: text as string, value: value as number })),
  )
  const literal: fc.Arbitrary<Constant> = fc.oneof(
    number,
    fc.constantFrom(...texts).map((value): Constant => ({ is: 'constant', text: quoted(value), value })),
    fc.constantFrom(true, false).map((value): Constant => ({ is: 'constant', text: `${value}`.toUpperCase(), value })),
  )
  const numeric = fc.oneof(
    property,
    number,
    number.map((of): Tree => ({ is: 'minus', of })),
  )
  const isNotNull = (tree: Tree): boolean => tree.is !== 'constant' || tree.value !== null
  const { truth } = fc.letrec<{ truth: Tree }>((tie) => ({
    truth: fc.oneof(
      { maxDepth: 4 },
      fc.oneof(
        fc.record({ is: fc.constantFrom('<', '<=', '>', '>='), of: numeric, and: numeric }),
        fc.record({ is: fc.constantFrom('=', '<>'), of: property, and: fc.oneof(literal, property) }),
        fc.record({ is: fc.constantFrom('=', '<>'), of: number, and: fc.oneof(literal, property) }),
        fc.record({ is: fc.constantFrom('null', 'some'), of: fc.oneof(property, literal) }),
        fc.record({ is: fc.constantFrom('between', 'not between'), of: property, low: property, high: numeric }),
        fc.record({
          is: fc.constantFrom('in', 'not in'),
          of: property,
          texts: fc.array(fc.constantFrom(...texts), { minLength: 1, maxLength: 6 }),
        }),
        fc.record({
          is: fc.constantFrom('contains', 'startswith', 'endswith'),
          not: fc.boolean(),
          of: fc.oneof(property, literal),
          text: fc.constantFrom(...texts),
        }),
        property,
        fc
          .constantFrom(true, false, null)
          .map((value): Constant => ({ is: 'constant', text: `${value}`.toUpperCase(), value })),
      ) as fc.Arbitrary<Tree>,
      fc.record({ is: fc.constantFrom('and', 'or'), of: tie('truth'), and: tie('truth') }) as fc.Arbitrary<Tree>,
      fc.record({ is: fc.constant('not'), of: tie('truth') }) as fc.Arbitrary<Tree>,
      fc.record({
        is: fc.constantFrom('=', '<>'),
        of: tie('truth').filter(isNotNull),
        and: tie('truth').filter(isNotNull),
      }) as fc.Arbitrary<Tree>,
    ),
  }))

  function written(tree: Tree): string {
    const of =
      'of' in tree
        ? tree.of.is === 'property' || tree.of.is === 'constant'
          ? written(tree.of)
          : `(${written(tree.of)})`
        : ''
    switch (tree.is) {
      case 'constant':
        return tree.text
      case 'property':
        return tree.name
      case 'minus':
        return `-${of}`
      case 'not':
        return `NOT ${of}`
      case 'null':
        return `${of} IS NULL`
      case 'some':
        return `${of} IS NOT NULL`
      case 'between':
      case 'not between':
        return `${of} ${tree.is} (${written(tree.low)}) AND (${written(tree.high)})`
      case 'in':
      case 'not in':
        return `${of} ${tree.is} (${tree.texts.map(quoted).join(', ')})`
      case 'contains':
      case 'startswith':
      case 'endswith':
        return `${of} ${tree.not ? 'NOT ' : ''}${tree.is} ${quoted(tree.text)}`
      default:
        return `${of} ${tree.is} (${written(tree.and)})`
    }
  }

  class Impossible extends Error {}
  type Said = boolean | string | bigint | number | null

  function wholeNumber(text: string, like: bigint): bigint {
    if (!/^[+-]?[0-9]+$/.test(text)) throw new Impossible()
    const value = BigInt(text.replace('+', ''))
    const isSmall = like >= -2147483648n && like <= 2147483647n
    if (BigInt.asIntN(isSmall ? 32 : 64, value) !== value) throw new Impossible()
    return value
  }

  function floating(text: string): number {
    if (!/^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?$|^NaN$/.test(text.trim())) throw new Impossible()
    return Number.parseFloat(text)
  }

  /** −1, 0 or 1. How many bits a literal has shows in its size (no literal here is 2147483648, whose negative fits into 32). */
  function order(left: Exclude<Said, null>, right: Exclude<Said, null>): number {
    const sign = <T>(one: T, other: T): number => (one < other ? -1 : one > other ? 1 : 0)
    const float = (one: number, other: number): number =>
      Number.isNaN(one) || Number.isNaN(other)
        ? Number(Number.isNaN(one)) - Number(Number.isNaN(other))
        : sign(one, other)
    if (typeof left === typeof right) return typeof left === 'number' ? float(left, right as number) : sign(left, right)
    if (typeof left === 'boolean') {
      if (typeof right === 'string') throw new Impossible()
      return -1
    }
    if (typeof left === 'string') {
      if (typeof right === 'boolean') return sign(left.toLowerCase() === 'true', right)
      return typeof right === 'bigint' ? sign(wholeNumber(left, right), right) : float(floating(left), right as number)
    }
    if (typeof right === 'boolean') return -1
    if (typeof right === 'string')
      return typeof left === 'bigint' ? sign(left, wholeNumber(right, left)) : float(left, floating(right))
    return float(Number(left), Number(right))
  }

  function ask(tree: Tree, of: Readonly<Record<string, string>>): Said {
    /** A property where a truth belongs. */
    const truthOf = (part: Tree): boolean | null => {
      const value = ask(part, of)
      return part.is === 'property' && value !== null ? false : (value as boolean | null)
    }
    const ordered = (one: Tree, other: Tree, holds: (order: number) => boolean): boolean | null => {
      const left = ask(one, of)
      if (left === null) return null
      const right = ask(other, of)
      if (right === null) return null
      if (typeof left === 'string' && typeof right === 'string') return holds(order(floating(left), floating(right)))
      return holds(order(left, right))
    }
    const not = (value: boolean | null): boolean | null => (value === null ? null : !value)
    const equal = (one: Tree, other: Tree): boolean | null => {
      const left = ask(one, of)
      const right = ask(other, of)
      if (left === null) return right === null ? true : null
      return right !== null && order(left, right) === 0
    }
    switch (tree.is) {
      case 'constant':
        return tree.value
      case 'property':
        return of[tree.name] ?? null
      case 'minus': {
        const value = ask(tree.of, of)
        return typeof value === 'bigint' || typeof value === 'number' ? -value : null
      }
      case 'not':
        return not(truthOf(tree.of))
      case 'null':
        return ask(tree.of, of) === null
      case 'some':
        return ask(tree.of, of) !== null
      case 'and': {
        const left = truthOf(tree.of)
        if (left === false) return false
        const right = truthOf(tree.and)
        return right === false ? false : left === null || right === null ? null : true
      }
      case 'or': {
        const left = truthOf(tree.of)
        if (left === true) return true
        const right = truthOf(tree.and)
        return right === true ? true : left === null || right === null ? null : false
      }
      case '=':
        return equal(tree.of, tree.and)
      case '<>':
        return not(equal(tree.of, tree.and))
      case '<':
        return ordered(tree.of, tree.and, (at) => at < 0)
      case '<=':
        return ordered(tree.of, tree.and, (at) => at <= 0)
      case '>':
        return ordered(tree.of, tree.and, (at) => at > 0)
      case '>=':
        return ordered(tree.of, tree.and, (at) => at >= 0)
      case 'between':
        return ask(
          { is: 'and', of: { is: '>=', of: tree.of, and: tree.low }, and: { is: '<=', of: tree.of, and: tree.high } },
          of,
        )
      case 'not between':
        return ask(
          { is: 'or', of: { is: '<', of: tree.of, and: tree.low }, and: { is: '>', of: tree.of, and: tree.high } },
          of,
        )
      case 'in':
      case 'not in': {
        const value = ask(tree.of, of)
        return typeof value === 'string' ? tree.texts.includes(value) === (tree.is === 'in') : null
      }
      case 'contains':
      case 'startswith':
      case 'endswith': {
        const value = ask(tree.of, of)
        if (typeof value !== 'string' || tree.text === '') return false
        const at = tree.is === 'endswith' ? value.lastIndexOf(tree.text) : value.indexOf(tree.text)
        const found =
          tree.is === 'contains'
            ? at >= 0
            : tree.is === 'startswith'
              ? at === 0
              : at >= 0 && at + tree.text.length === value.length
        return found !== tree.not
      }
    }
  }

  function expected(tree: Tree, of: Readonly<Record<string, string>>): boolean {
    try {
      return tree.is !== 'property' && ask(tree, of) === true
    } catch (error) {
      if (error instanceof Impossible) return false
      throw error
    }
  }

  it('says what the reference says', () => {
    const values = fc.constantFrom(...texts)
    const properties = fc.record({ a: values, b: values, c: values }, { requiredKeys: [] }) as fc.Arbitrary<
      Record<string, string>
    >
    const said = { true: 0, false: 0 }
    fc.assert(
      fc.property(truth, properties, (tree, of) => {
        const answer = matches(written(tree), of)
        said[`${answer}`]++
        expect([written(tree), answer]).toEqual([written(tree), expected(tree, of)])
      }),
      { numRuns: 20_000 },
    )
    // A test that only ever sees one answer tests little.
    expect(Math.min(said.true, said.false)).toBeGreaterThan(1_000)
  })
})
