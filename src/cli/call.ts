/** `gantry call ACTION --name value …`: any operation of the catalogue, signed. */
import type { Operation } from '../catalogue/operation.ts'
import type { Product } from '../catalogue/product.ts'
import type { Settings } from '../config.ts'
import { instanceIdOf, quoted } from './arguments.ts'
import { operationHelp } from './call-help.ts'
import { type CallArguments, inputFrom, readArguments } from './call-input.ts'
import { callOperation, findTarget, refusalText, type Target } from './client.ts'
import { CommandError, UsageError } from './errors.ts'
import { columnsOf, type Format, formats, type OutputOptions, out, outText, print, say } from './output.ts'
import { products } from './products.ts'
import { shown } from './safe-text.ts'
import { nearest } from './similar.ts'
import { anyTable, table } from './tables.ts'

/** What `gantry call --help` prints. */
export const callUsage = `Usage: gantry call ACTION [--parameter value ...] [--body JSON] [-o json|yaml|table]

Calls any operation of the API with the account's key and prints the reply.

  ACTION --help          the parameters of the operation, an example, the RAM action, the errors
  --list                 all operations; those this version does not carry out are marked
  --body JSON            the whole body; single parameters go on top of it
  -o, --output FORMAT    json (the whole reply; default), yaml (the same), table (its data)
  --product CODE         the product, where several have an operation of that name; also of --list
  --home DIR             the server's home (default: ~/.gantry)

Every parameter needs a value. Dots reach into objects, commas and repeated parameters make lists.
--instanceId takes an instance's name too. A refusal is told on stderr; with -o json or yaml the
reply is on stdout too.

Examples:
  gantry call --list
  gantry call CreateTopic --help
  gantry call CreateTopic --instanceId rmq-cn-... --topicName events --messageType NORMAL
  gantry call UpdateInstance --instanceId rmq-cn-... --productInfo.messageRetentionTime 48
  gantry call ListInstances --seriesCodes standard,professional --pageSize 50
`

export interface CallOptions extends OutputOptions {
  readonly list?: boolean
  readonly product?: string
}

export async function call(
  readSettings: (own: Pick<CallArguments, 'home'>) => Settings,
  action: string | undefined,
  args: readonly string[],
  options: CallOptions,
): Promise<void> {
  if (options.list === true) {
    await list(options)
    return
  }
  if (action === undefined) {
    outText(callUsage)
    return
  }
  const read = readArguments(action, args)
  const found = findOperation(action, read.product ?? options.product)
  const { product, operation } = found
  if (read.help) {
    out(operationHelp(found, columnsOf(), await isCarriedOut(found)))
    return
  }
  const wanted = read.output ?? options.output
  const output = formatOf(wanted)
  const input = inputFrom(operation, read.flags)
  await refuseIncomplete(found, input)
  const target = findTarget(readSettings(read))
  const reply = await callOperation(target, operation.action, await withInstanceId(target, operation, input), product)
  const isRefused = reply.status >= 400
  // A script that asked for a form reads the refusal in that form; for people the sentence is enough.
  const isShown = !isRefused || (wanted !== undefined && output !== 'table')
  if (isShown) print(reply.body, { output }, () => dataTable(reply.body))
  if (isRefused) throw new CommandError(refusalText(operation.action, reply.status, reply.body, { brief: isShown }))
}

/** The data of a reply: `data` of a ROA product, `Data` or the reply itself of an RPC product. */
function dataTable(body: Readonly<Record<string, unknown>>): string {
  const data = 'data' in body ? body.data : 'Data' in body ? body.Data : body
  if (isEmptyList(data)) say('The list is empty.')
  return anyTable(data)
}

function isEmptyList(data: unknown): boolean {
  const list = typeof data === 'object' && data !== null && 'list' in data ? data.list : data
  return Array.isArray(list) && list.length === 0
}

/** Throws `UsageError` for what is missing; values are judged by the API, as is an operation that it does not carry out. */
async function refuseIncomplete(found: CatalogueOperation, input: Readonly<Record<string, unknown>>): Promise<void> {
  const { action } = found.operation
  const missing = found.product
    .validate(action, input)
    .filter(({ kind }) => kind === 'missing')
    .map(({ field }) => (field.includes('[') ? field : `--${field}`))
  if (missing.length === 0 || !(await isCarriedOut(found))) return
  const names = shown(missing.join(', ').replace(/, (?=[^,]+$)/, ' and '))
  throw new UsageError(`${action} needs ${names}. "gantry call ${action} --help" shows what it takes, with an example.`)
}

/** An instance may be given by its name, as to every command. */
async function withInstanceId(
  target: Target,
  operation: Operation,
  input: Readonly<Record<string, unknown>>,
): Promise<Readonly<Record<string, unknown>>> {
  const { instanceId } = input
  const isPlace = operation.parameters.some((each) => each.name === 'instanceId' && each.in === 'path')
  return isPlace && typeof instanceId === 'string'
    ? { ...input, instanceId: await instanceIdOf(target, instanceId) }
    : input
}

/** An operation with the product it belongs to. */
export interface CatalogueOperation {
  readonly product: Product
  readonly operation: Operation
}

const everyOperation: readonly CatalogueOperation[] = products.flatMap((product) =>
  product.operations.map((operation) => ({ product, operation })),
)

const same = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase()

/** The operations of the product of that code, or of all. Throws `UsageError` for another code. */
function operationsOf(productCode: string | undefined): readonly CatalogueOperation[] {
  if (productCode === undefined) return everyOperation
  if (products.some(({ code }) => same(code, productCode)))
    return everyOperation.filter(({ product }) => same(product.code, productCode))
  throw new UsageError(`--product takes ${products.map(({ code }) => code).join(', ')}, not ${quoted(productCode)}.`)
}

/** The operation of that name, whatever its capitals; of the named product where several have it. Throws `UsageError`. */
export function findOperation(action: string, productCode?: string): CatalogueOperation {
  const all = operationsOf(productCode)
  const found = all.filter(({ operation }) => same(operation.action, action))
  if (found.length > 1) {
    throw new UsageError(
      `${found.map(({ product }) => product.code).join(' and ')} have an operation ${found[0]!.operation.action}; say which with --product.`,
    )
  }
  if (found.length === 1) return found[0]!
  const close = nearest(
    action,
    all.map(({ operation }) => operation.action),
  )
  const hint = close.length === 0 ? '"gantry call --list" shows all of them.' : `Did you mean ${close.join(', ')}?`
  throw new UsageError(`${productCode ?? 'The API'} has no operation ${shown(action)}. ${hint}`)
}

function formatOf(text: string | undefined): Format {
  if (text === undefined) return 'json'
  const format = formats.find((each) => each === text)
  if (format === undefined) throw new UsageError(`--output takes ${formats.join(', ')}, not "${shown(text)}".`)
  return format
}

/** Loads the handlers, which a call does not need. */
async function isCarriedOut({ product, operation }: CatalogueOperation): Promise<boolean> {
  const { products: served } = await import('../resources/index.ts')
  return served.some((each) => each.product === product && Object.hasOwn(each.handlers, operation.action))
}

async function list(options: CallOptions): Promise<void> {
  const all = await Promise.all(
    operationsOf(options.product).map(async (each) => ({
      action: each.operation.action,
      product: each.product.code,
      method: each.operation.method,
      path: each.operation.path,
      summary: each.operation.summary,
      carriedOut: await isCarriedOut(each),
    })),
  )
  print(all, options, () => operationTable(all))
  if (options.output === undefined || options.output === 'table')
    say('501: part of the API that this version does not carry out. -o json has methods and paths too.')
}

export const operationTable = (
  all: ReadonlyArray<{ action: string; product: string; summary: string; carriedOut: boolean }>,
): string =>
  table(
    ['OPERATION', 'HERE', 'WHAT IT DOES'],
    all.map(({ action, product, carriedOut, summary }) => [
      action,
      carriedOut ? 'yes' : '501',
      product === products[0]!.code ? summary : `${summary} (${product})`,
    ]),
  )
