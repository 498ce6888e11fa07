/**
 * Reads the JSON body of a request, more strictly than JSON.parse: a member that appears twice, a name that could
 * reach a prototype, a number or text that could not be stored and read back exactly, too deep a nesting and bytes
 * that are not UTF-8 are refused with the place where they stand. One pass, no recursion beyond the depth limit.
 */
import { invalid } from '../catalogue/errors.ts'

export const MAX_DEPTH = 32
/** Values of all kinds in one body; far above any operation's need, far below what would cost memory. */
export const MAX_VALUES = 50_000

const FORBIDDEN_NAMES = new Set(['__proto__', 'constructor', 'prototype'])

/** Answers the object in the body; an empty body (or only blanks) is the empty object. Throws `ApiError` 400. */
export function parseJsonBody(body: Uint8Array): Record<string, unknown> {
  if (body.length === 0) return {}
  const text = decodeUtf8(body)
  if (/^[ \t\r\n]*$/.test(text)) return {}
  const value = new Parser(text).document()
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(FIELD, 'The body must be a JSON object.')
  }
  return value as Record<string, unknown>
}

function decodeUtf8(body: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body)
  } catch {
    throw invalid(FIELD, 'The body is not valid UTF-8; send application/json in UTF-8.')
  }
}

/** How a refusal names the whole, where no member of it can be named. */
const FIELD = 'body'

class Parser {
  readonly #text: string
  #at = 0
  #values = 0
  /** Names and indexes from the top to the value being read. */
  readonly #path: (string | number)[] = []

  constructor(text: string) {
    this.#text = text
  }

  document(): unknown {
    const value = this.#value(0)
    this.#skipBlanks()
    if (this.#at < this.#text.length) this.#malformed('nothing more is expected after the value')
    return value
  }

  #value(depth: number): unknown {
    if (depth > MAX_DEPTH) throw invalid(FIELD, `The JSON is nested deeper than ${MAX_DEPTH} levels.`)
    if (++this.#values > MAX_VALUES) throw invalid(FIELD, `The JSON holds more than ${MAX_VALUES} values.`)
    this.#skipBlanks()
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(depth)
      case '[':
        return this.#array(depth)
      case '"':
        return this.#string()
      case 't':
        return this.#word('true', true)
      case 'f':
        return this.#word('false', false)
      case 'n':
        return this.#word('null', null)
      case undefined:
        return this.#malformed('a value is expected, but the text ends')
      default:
        return this.#number()
    }
  }

  #object(depth: number): Record<string, unknown> {
    const object: Record<string, unknown> = {}
    this.#at++
    this.#skipBlanks()
    if (this.#take('}')) return object
    do {
      this.#skipBlanks()
      if (this.#text[this.#at] !== '"') this.#malformed('a member name in double quotes is expected')
      const name = this.#string()
      this.#checkName(object, name)
      this.#skipBlanks()
      if (!this.#take(':')) this.#malformed('":" is expected after the member name')
      this.#path.push(name)
      object[name] = this.#value(depth + 1)
      this.#path.pop()
      this.#skipBlanks()
    } while (this.#take(','))
    if (!this.#take('}')) this.#malformed('"," or "}" is expected')
    return object
  }

  #checkName(object: Record<string, unknown>, name: string): void {
    if (FORBIDDEN_NAMES.has(name)) throw invalid(FIELD, `The member name "${name}" is not allowed.`)
    if (Object.hasOwn(object, name)) {
      const shown = JSON.stringify(name.length > 64 ? `${name.slice(0, 64)}…` : name)
      throw invalid(this.#pathTo(name), `The member ${shown} appears more than once in one JSON object.`)
    }
  }

  #array(depth: number): unknown[] {
    const array: unknown[] = []
    this.#at++
    this.#skipBlanks()
    if (this.#take(']')) return array
    do {
      this.#path.push(array.length)
      array.push(this.#value(depth + 1))
      this.#path.pop()
      this.#skipBlanks()
    } while (this.#take(','))
    if (!this.#take(']')) this.#malformed('"," or "]" is expected')
    return array
  }

  #string(): string {
    const start = ++this.#at
    const text = this.#text
    let plain = true
    for (;;) {
      const code = text.charCodeAt(this.#at)
      if (Number.isNaN(code)) this.#malformed('the text ends inside a string')
      if (code === 0x22) break
      if (code < 0x20) this.#malformed('a control character in a string must be escaped')
      if (code === 0x5c) {
        plain = false
        this.#skipEscape()
      } else {
        this.#at++
      }
    }
    const raw = text.slice(start, this.#at++)
    const value = plain ? raw : (JSON.parse(`"${raw}"`) as string)
    if (!plain && !isStorable(value)) {
      throw invalid(this.#pathTo(), 'U+0000 and half surrogate pairs cannot be stored as text.')
    }
    return value
  }

  #skipEscape(): void {
    const next = this.#text[this.#at + 1]
    if (next === 'u') {
      if (!/^[0-9A-Fa-f]{4}$/.test(this.#text.slice(this.#at + 2, this.#at + 6))) {
        this.#malformed('\\u must be followed by four hexadecimal digits')
      }
      this.#at += 6
    } else if (next !== undefined && '"\\/bfnrt'.includes(next)) {
      this.#at += 2
    } else {
      this.#malformed('the escape is not one of JSON')
    }
  }

  #number(): number {
    NUMBER.lastIndex = this.#at
    const match = NUMBER.exec(this.#text)
    if (match === null) return this.#malformed('a value is expected')
    const number = Number(match[0])
    const whole = match[1] === undefined
    if (!Number.isFinite(number) || (whole && !Number.isSafeInteger(number))) {
      throw invalid(this.#pathTo(), `The number ${match[0].slice(0, 40)} is too large to be kept exactly.`)
    }
    this.#at += match[0].length
    return number
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) this.#malformed('a value is expected')
    this.#at += word.length
    return value
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }

  #skipBlanks(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return
      this.#at++
    }
  }

  /** The place being read, as errors name it. A name that is no identifier is too odd to become part of a code. */
  #pathTo(name?: string): string {
    const steps = name === undefined ? this.#path : [...this.#path, name]
    if (steps.length === 0) return FIELD
    if (steps.some((step) => typeof step === 'string' && !/^\w{1,64}$/.test(step))) return FIELD
    return steps.map((step, i) => (typeof step === 'number' ? `[${step}]` : i === 0 ? step : `.${step}`)).join('')
  }

  #malformed(what: string): never {
    const before = this.#text.slice(0, this.#at)
    const line = before.split('\n').length
    const column = this.#at - before.lastIndexOf('\n')
    throw invalid(FIELD, `Malformed JSON at line ${line}, column ${column}: ${what}.`)
  }
}

const NUMBER = /-?(?:0|[1-9]\d*)(\.\d+(?:[eE][+-]?\d+)?|[eE][+-]?\d+)?/y

/** No NUL (PostgreSQL has no text with it) and no half of a surrogate pair (UTF-8 has none). */
export function isStorable(text: string): boolean {
  return !text.includes('\0') && !/\p{Surrogate}/u.test(text)
}
