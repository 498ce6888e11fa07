// Generates src/grpc/gen/ from proto/: encoders and decoders by protobufjs's pbjs, our own type declarations, and a
// typed descriptor of each service. `--check` writes nothing and fails when a file differs from what is committed.
//
// pbjs's own declarations are not used: they type every nested field of a decoded message as optional, and they need
// the package `long`. Ours say what is there after decoding (`Message`) and what may be left out when encoding
// (`MessageInit`).
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import protobuf from 'protobufjs'
import pbjs from 'protobufjs-cli/pbjs.js'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const protoRoot = path.join(root, 'proto')
/** Each schema becomes a module of its own, so that the names of one do not meet those of another. */
const schemas = [
  { name: 'rocketmq', source: 'apache/rocketmq/v2/service.proto' },
  { name: 'otlp', source: 'opentelemetry/proto/metrics_service.proto' },
]
const out = path.join(root, 'src/grpc/gen')
const numbers = new Set([
  'int32',
  'uint32',
  'sint32',
  'fixed32',
  'sfixed32',
  'fixed64',
  'sfixed64',
  'int64',
  'uint64',
  'sint64',
  'float',
  'double',
])
/**
 * Entries of fields that a request could hold tens of thousands of, beyond which it is not decoded: twice what its handler
 * takes, so that whoever sends a few too many hears from the handler.
 */
const mostEntries = {
  SendMessageRequest: { messages: 2_048 },
  AckMessageRequest: { entries: 2_048 },
}
/** Values (see `maxMessageValues`) of a request with all that is in it, where fewer than 65,536 are enough for its handler. */
const mostValues = {
  // Of a histogram's point some 40, of a gauge's 20: more than 400 points; a client sends some hundred.
  ExportMetricsServiceRequest: 16_384,
}
const banner = '// Generated from proto/ by scripts/generate-proto.mjs. Do not edit.\n'

/** The generated files, name to content. The same input gives the same bytes. */
export async function generateProto() {
  const files = { 'index.ts': `${banner}export * from './rocketmq.js'\n` }
  for (const { name, source } of schemas) {
    const types = collect(loadSchema(source))
    files[`${name}.js`] = `${banner}${await encoders(name, source)}\n${flatExports(types)}`
    files[`${name}.d.ts`] = `${banner}${declarations(types)}`
  }
  return files
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const files = await generateProto()
  const check = process.argv.includes('--check')
  let stale = false
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(out, name)
    if (existsSync(file) && readFileSync(file, 'utf8') === content) continue
    stale = true
    if (check)
      console.error(`${path.relative(root, file)} is not what proto/ gives: run node scripts/generate-proto.mjs`)
    else {
      mkdirSync(out, { recursive: true })
      writeFileSync(file, content)
      console.log(`wrote ${path.relative(root, file)}`)
    }
  }
  if (check && stale) process.exitCode = 1
}

function loadSchema(source) {
  const schema = new protobuf.Root()
  const common = (target) => protobuf.common.get(target)
  schema.resolvePath = (_origin, target) => (common(target) ? target : path.join(protoRoot, target))
  schema.loadSync(source)
  schema.resolveAll()
  return schema
}

function encoders(name, source) {
  const args = ['-t', 'static-module', '-w', 'esm', '--es6', '--dependency', '../protobuf.ts', '-r', name]
  args.push(
    '--no-create',
    '--no-verify',
    '--no-convert',
    '--no-delimited',
    '--no-typeurl',
    '--no-service',
    '--no-comments',
  )
  args.push('--force-number', '-p', protoRoot, source)
  return new Promise((resolve, reject) => {
    pbjs.main(args, (error, text) =>
      error ? reject(error) : resolve(name === 'rocketmq' ? withBounds(text) : withMostValues(text)),
    )
  })
}

/** Decoders count the entries of `mostEntries` before they make one more. */
function withBounds(text) {
  for (const [type, fields] of Object.entries(mostEntries)) {
    for (const [field, most] of Object.entries(fields)) {
      const from = text.indexOf(` ${type}.decode = function`)
      const at = text.indexOf(`message.${field}.push(`, from)
      const end = text.indexOf('.decode = function', from + type.length + 20)
      if (from < 0 || at < 0 || (end > 0 && at > end)) throw new Error(`the decoder of ${type} adds to no ${field}`)
      const check = `if (message.${field}.length === ${most}) throw $Reader.tooMany(${most}, "${field}");`
      text = `${text.slice(0, at)}${check}\n${' '.repeat(32)}${text.slice(at)}`
    }
  }
  return text
}

/** Readers made by decoders of `mostValues` stop at so many. */
function withMostValues(text) {
  for (const [type, most] of Object.entries(mostValues)) {
    const from = text.indexOf(` ${type}.decode = function`)
    const at = text.indexOf('$Reader.create(reader)', from)
    if (from < 0 || at < 0) throw new Error(`the decoder of ${type} makes no reader`)
    text = `${text.slice(0, at)}$Reader.create(reader, ${most})${text.slice(at + '$Reader.create(reader)'.length)}`
  }
  return text
}

/** Messages, enums and services of the schema, flat and in the schema's order; a nested type's name is joined by `_`. */
function collect(schema) {
  const found = { messages: [], enums: [], services: [] }
  const visit = (node) => {
    if (node instanceof protobuf.Type) found.messages.push(node)
    if (node instanceof protobuf.Enum) found.enums.push(node)
    if (node instanceof protobuf.Service) found.services.push(node)
    for (const child of node.nestedArray ?? []) visit(child)
  }
  visit(schema)
  const names = Object.values(found).flat().map(flatName)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice) throw new Error(`two types would both be exported as ${twice}`)
  return found
}

function flatName(type) {
  const parts = []
  for (let node = type; node.parent; node = node.parent) {
    if (node instanceof protobuf.Namespace && !(node instanceof protobuf.Type) && !(node instanceof protobuf.Service))
      break
    parts.unshift(node.name)
  }
  return parts.join('_')
}

function flatExports({ messages, enums, services }) {
  const lines = [...messages, ...enums].map((type) => `export const ${flatName(type)} = $root${type.fullName};`)
  for (const service of services) {
    const methods = service.methodsArray.map((method) => {
      const request = flatName(method.resolvedRequestType)
      const response = flatName(method.resolvedResponseType)
      const at = `/${service.fullName.slice(1)}/${method.name}`
      return `    ${lowerFirst(method.name)}: { kind: "${kindOf(method)}", path: "${at}", request: ${request}, response: ${response} },`
    })
    lines.push(
      `export const ${service.name} = {\n  typeName: "${service.fullName.slice(1)}",\n  methods: {\n${methods.join('\n')}\n  },\n};`,
    )
  }
  return `${lines.join('\n')}\n`
}

function declarations({ messages, enums, services }) {
  const parts = ["import type { Codec } from '../protobuf.ts'\n"]
  for (const type of enums) {
    const values = Object.entries(type.values).map(([name, value]) => `  readonly ${name}: ${value}`)
    parts.push(
      `${doc(type, '')}export declare const ${flatName(type)}: {\n${values.join('\n')}\n  readonly [value: number]: string | undefined\n}\n`,
    )
  }
  for (const type of messages) parts.push(messageDeclaration(type))
  for (const service of services) {
    const methods = service.methodsArray.map((method) => {
      const message = (resolved) => `typeof ${flatName(resolved)}`
      return `${doc(method, '    ')}    readonly ${lowerFirst(method.name)}: {
      readonly kind: '${kindOf(method)}'
      readonly path: '/${service.fullName.slice(1)}/${method.name}'
      readonly request: ${message(method.resolvedRequestType)}
      readonly response: ${message(method.resolvedResponseType)}
    }`
    })
    parts.push(
      `export declare const ${service.name}: {\n  readonly typeName: '${service.fullName.slice(1)}'\n  readonly methods: {\n${methods.join('\n')}\n  }\n}\n`,
    )
  }
  return parts.join('\n')
}

function messageDeclaration(type) {
  const name = flatName(type)
  const decoded = type.fieldsArray.map((field) => `${doc(field, '  ')}  readonly ${field.name}: ${decodedType(field)}`)
  const cases = type.oneofsArray
    .filter((oneof) => !oneof.isProto3Optional)
    .map(
      (oneof) =>
        `  /** Which of these is set. */\n  readonly ${oneof.name}?: ${oneof.oneof.map((one) => `'${one}'`).join(' | ')} | undefined`,
    )
  const written = type.fieldsArray.map((field) => `  ${field.name}?: ${writtenType(field)} | null | undefined`)
  return `${doc(type, '')}export interface ${name} {\n${[...decoded, ...cases].join('\n')}\n}
export interface ${name}Init {\n${written.join('\n')}\n}
export declare const ${name}: Codec<${name}, ${name}Init>\n`
}

function scalar(field, messageSuffix) {
  if (field.resolvedType instanceof protobuf.Enum) return 'number'
  if (field.resolvedType) return flatName(field.resolvedType) + messageSuffix
  if (numbers.has(field.type)) return 'number'
  if (field.type === 'bool') return 'boolean'
  if (field.type === 'string') return 'string'
  if (field.type === 'bytes') return 'Uint8Array'
  throw new Error(`${field.fullName}: no type for ${field.type}`)
}

function decodedType(field) {
  const plain = scalar(field, '')
  if (field.map) return `Readonly<Record<string, ${plain}>>`
  if (field.repeated) return `readonly ${plain}[]`
  return field.partOf || field.resolvedType instanceof protobuf.Type ? `${plain} | null` : plain
}

function writtenType(field) {
  const plain = scalar(field, 'Init')
  if (field.map) return `Readonly<Record<string, ${plain}>>`
  return field.repeated ? `readonly ${plain}[]` : plain
}

function kindOf(method) {
  if (method.requestStream) return 'bidi'
  return method.responseStream ? 'serverStream' : 'unary'
}

function doc(node, indent) {
  const enumType = node.resolvedType instanceof protobuf.Enum ? flatName(node.resolvedType) : null
  const text = [enumType && `A value of \`${enumType}\`, or a number this version does not know.`]
    .filter(Boolean)
    .join(' ')
  return text ? `${indent}/** ${text} */\n` : ''
}

function lowerFirst(name) {
  return name[0].toLowerCase() + name.slice(1)
}
