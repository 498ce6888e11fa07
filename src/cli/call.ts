/** `gantry call ACTION --name value …`: any operation of the catalogue, signed. */
import type { Operation } from '../catalogue/operation.ts'
import { rocketmq } from '../catalogue/rocketmq/index.ts'
import type { Settings } from '../config.ts'
import { operationHelp } from './call-help.ts'
import { type CallArguments, inputFrom, readArguments } from './call-input.ts'
import { callOperation, findTarget, refusalText } from './client.ts'
import { CommandError, UsageError } from './errors.ts'
import { columnsOf, type Format, formats, type OutputOptions, out, outText, print, say } from './output.ts'
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
  --home DIR             the server's home (default: ~/.gantry)

Every parameter needs a value. Dots reach into objects, commas and repeated parameters make lists.

Examples:
  gantry call --list
  gantry call CreateTopic --help
  gantry call CreateTopic --instanceId rmq-cn-... --topicName events --messageType NORMAL
  gantry call UpdateInstance --instanceId rmq-cn-... --productInfo.messageRetentionTime 48
  gantry call ListInstances --seriesCodes standard,professional --pageSize 50
`

export async function call(
  readSettings: (own: Pick<CallArguments, 'home'>) => Settings,
  action: string | undefined,
  args: readonly string[],
  options: OutputOptions & { readonly list?: boolean },
): Promise<void> {
  if (options.list === true) {
    await list(options)
    return
  }
  if (action === undefined) {
    outText(callUsage)
    return
  }
  const operation = findOperation(action)
  const read = readArguments(operation.action, args)
  if (read.help) {
    out(operationHelp(operation, columnsOf(), await isCarriedOut(operation)))
    return
  }
  const output = formatOf(read.output ?? options.output)
  const input = inputFrom(operation, read.flags)
  const reply = await callOperation(findTarget(readSettings(read)), operation.action, input)
  print(reply.body, { output }, () => anyTable(reply.status < 400 ? reply.body.data : reply.body))
  if (reply.status >= 400) throw new CommandError(refusalText(operation.action, reply.status, reply.body))
}

/** The operation of that name, whatever its capitals. Throws `UsageError`. */
export function findOperation(action: string): Operation {
  const operation =
    rocketmq.operationNamed(action) ??
    rocketmq.operations.find((known) => known.action.toLowerCase() === action.toLowerCase())
  if (operation !== undefined) return operation
  const close = nearest(
    action,
    rocketmq.operations.map((known) => known.action),
  )
  const hint = close.length === 0 ? '"gantry call --list" shows all of them.' : `Did you mean ${close.join(', ')}?`
  throw new UsageError(`The API has no operation ${shown(action)}. ${hint}`)
}

function formatOf(text: string | undefined): Format {
  if (text === undefined) return 'json'
  const format = formats.find((each) => each === text)
  if (format === undefined) throw new UsageError(`--output takes ${formats.join(', ')}, not "${shown(text)}".`)
  return format
}

/** Loads the handlers, which a call does not need. */
async function isCarriedOut(operation: Operation): Promise<boolean> {
  const { handlers } = await import('../resources/rocketmq/index.ts')
  return Object.hasOwn(handlers, operation.action)
}

async function list(options: OutputOptions): Promise<void> {
  const { handlers } = await import('../resources/rocketmq/index.ts')
  const all = rocketmq.operations.map(({ action, method, path, summary }) => ({
    action,
    method,
    path,
    summary,
    carriedOut: Object.hasOwn(handlers, action),
  }))
  print(all, options, () => operationTable(all))
  if (options.output === undefined || options.output === 'table')
    say('501: part of the API that this version does not carry out. -o json has methods and paths too.')
}

export const operationTable = (all: ReadonlyArray<{ action: string; summary: string; carriedOut: boolean }>): string =>
  table(
    ['OPERATION', 'HERE', 'WHAT IT DOES'],
    all.map(({ action, carriedOut, summary }) => [action, carriedOut ? 'yes' : '501', summary]),
  )
