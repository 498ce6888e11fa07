/**
 * The API as Alibaba's own npm SDK has it: methods, paths and places read out of its client's code, fields out of its
 * compiled model classes, required marks out of its type comments. Only these three say what the SDK really sends.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'

const require = createRequire(import.meta.url)
const folder = path.dirname(require.resolve('@alicloud/rocketmq20220801'))
const models = require('@alicloud/rocketmq20220801') as Record<string, ModelClass>

interface ModelClass {
  readonly name: string
  names(): Record<string, string>
  types(): Record<string, ModelType>
}
type ModelType =
  | string
  | ModelClass
  | { readonly type: 'array'; readonly itemType: ModelType }
  | { readonly type: 'map'; readonly valueType: ModelType }

export interface SdkOperation {
  readonly action: string
  readonly call: string
  /** Path places in order, then `query name type` and `body name type`, sorted. */
  readonly fields: readonly string[]
  readonly required: readonly string[]
  readonly reply: readonly string[]
}

export function sdkOperations(): SdkOperation[] {
  const client = readFileSync(path.join(folder, 'client.js'), 'utf8')
  return client
    .split(/\n {4}async (?=\w+WithOptions\()/)
    .slice(1)
    .map(operationIn)
}

function operationIn(code: string): SdkOperation {
  const one = (pattern: RegExp) => {
    const found = pattern.exec(code)
    if (found === null) throw new Error(`The SDK's client no longer has ${pattern} in ${code.slice(0, 80)}`)
    return found[1]!
  }
  const action = one(/action: "(\w+)"/)
  const places = [...code.matchAll(/^ {8,}(query|body)\["([^"]+)"\] =/gm)].map(([, place, name]) => [place!, name!])
  const request = models[`${action}Request`]
  const types = request === undefined ? [] : fieldsOf(request)
  const placeOf = (field: string) => {
    const top = field.split(/[.[{ ]/)[0]
    const place = places.find(([, name]) => name === top)?.[0]
    if (place === undefined) throw new Error(`${action} has a request field "${top}" that its client never sends.`)
    return `${place} ${field}`
  }
  const pathname = one(/pathname: `([^`]+)`/).replace(/\$\{[^}]*?\((\w+)\)\}/g, '{$1}')
  return {
    action,
    call: `${one(/method: "(\w+)"/)} ${pathname}`,
    fields: types.map(placeOf).sort(),
    required: (request === undefined ? [] : requiredOf(request, '', `${action}Request`)).sort(),
    reply: fieldsOf(models[`${action}ResponseBody`]!).sort(),
  }
}

/** `name type`, `list[] object`, `list[].member type`, `map{} type`. */
function fieldsOf(model: ModelClass, prefix = ''): string[] {
  const names = model.names()
  return Object.entries(model.types()).flatMap(([member, type]) => described(`${prefix}${names[member]}`, type))
}

function described(field: string, type: ModelType): string[] {
  if (typeof type === 'string') return [`${field} ${type}`]
  if (typeof type === 'function') return [`${field} object`, ...fieldsOf(type as ModelClass, `${field}.`)]
  const [mark, inner] =
    'itemType' in type ? ['[]', type.itemType] : ['{}', (type as { valueType: ModelType }).valueType]
  return [`${field} ${mark === '[]' ? 'array' : 'map'}`, ...described(`${field}${mark}`, inner)]
}

/** Members whose comment says so; only the type declarations carry it. */
function requiredOf(model: ModelClass, prefix: string, file: string): string[] {
  const text = readFileSync(path.join(folder, 'models', `${file}.d.ts`), 'utf8')
  const start = text.indexOf(`declare class ${model.name} `)
  if (start < 0) throw new Error(`${file}.d.ts does not declare ${model.name}.`)
  const declared = text.slice(start, text.indexOf('static names()', start))
  const marked = new Set(
    [...declared.matchAll(/\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*(\w+)\?:/g)]
      .filter(([, comment]) => comment!.includes('This parameter is required.'))
      .map(([, , member]) => member!),
  )
  return Object.entries(model.types()).flatMap(([member, type]) => {
    const field = `${prefix}${model.names()[member]}`
    const inner =
      typeof type === 'function'
        ? requiredOf(type as ModelClass, `${field}.`, file)
        : typeof type === 'object' && 'itemType' in type && typeof type.itemType === 'function'
          ? requiredOf(type.itemType as ModelClass, `${field}[].`, file)
          : []
    return [...(marked.has(member) ? [field] : []), ...inner]
  })
}
