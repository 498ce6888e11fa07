/** `gantry send`: messages from an argument, a file or stdin to a topic, through the official client. */

import { createReadStream, openSync, statSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { limits } from '../catalogue/rocketmq/limits.ts'
import type { Settings } from '../config.ts'
import type { LiteTopicName, TopicName } from '../model/ids.ts'
import { realClock } from '../world/real.ts'
import { duration, instanceIdOf, quoted, wholeNumber } from './arguments.ts'
import { callData, findTarget } from './client.ts'
import { clientError, clientLibrary, connectionTo, started, stopped } from './connect.ts'
import { CommandError, UsageError } from './errors.ts'
import { type OutputOptions, printOne, say, step } from './output.ts'
import { shown } from './safe-text.ts'

export interface SendOptions extends OutputOptions {
  readonly file?: string
  readonly lines?: boolean
  readonly tag?: string
  readonly key?: readonly string[]
  readonly property?: readonly string[]
  readonly messageGroup?: string
  readonly delay?: string
  readonly deliverAt?: string
  readonly liteTopic?: LiteTopicName
  readonly priority?: string
  readonly username?: string
}

const maxBodyBytes = limits.message.bodyBytes
const longestDelayMs = 40 * 24 * 3_600_000

export async function send(
  settings: Settings,
  instance: string,
  topicName: TopicName,
  body: string | undefined,
  options: SendOptions,
): Promise<void> {
  // Input that cannot be read is refused before any request is sent.
  messageOf(topicName, options, realClock.now())
  const bodies = bodiesOf(body, options)
  const target = findTarget(settings)
  const instanceId = await instanceIdOf(target, instance)
  const { messageType } = await callData<{ messageType: string }>(target, 'GetTopic', { instanceId, topicName })
  refuseOtherKind(topicName, messageType, options)
  const connection = await connectionTo(target, instanceId, options.username)
  const { Producer } = clientLibrary()
  const commit = 1
  const producer = new Producer({
    ...connection.options,
    topics: [topicName],
    checker: { check: async () => commit },
  })
  let sent = 0
  try {
    await step(`connect to ${connection.options.endpoints}`, () => started(producer, connection))
    for await (const each of bodies) {
      const message = { ...messageOf(topicName, options, realClock.now()), body: each }
      const receipt = await sendOne(producer, messageType, message)
      sent++
      printOne({ topicName, messageId: receipt.messageId, ...recall(receipt) }, options, () => shown(receipt.messageId))
    }
  } catch (error) {
    const before = sent === 0 ? '' : ` (${sent} sent before it)`
    throw clientError(`The message was not sent${before}`, error)
  } finally {
    await stopped(producer)
  }
  if (sent === 0) say('Nothing was sent: there was no line.')
}

async function sendOne(producer: any, messageType: string, message: object): Promise<any> {
  if (messageType !== 'TRANSACTION') return producer.send(message)
  const transaction = producer.beginTransaction()
  const receipt = await producer.send(message, transaction)
  await transaction.commit()
  return receipt
}

const recall = ({ recallHandle }: { recallHandle?: string }): object => (recallHandle ? { recallHandle } : {})

/** The message without its body, sent at `atMs`, from which a delay counts. Throws `UsageError` for what cannot be read. */
export function messageOf(topicName: TopicName, options: SendOptions, atMs: number): object {
  if (options.delay !== undefined && options.deliverAt !== undefined)
    throw new UsageError('--delay and --deliver-at both say when; give one of them.')
  const deliveryTimestamp =
    options.delay === undefined
      ? options.deliverAt === undefined
        ? undefined
        : moment('--deliver-at', options.deliverAt)
      : new Date(atMs + duration('--delay', options.delay, 1000, longestDelayMs))
  return {
    topic: topicName,
    ...(options.tag === undefined ? {} : { tag: options.tag }),
    keys: options.key ?? [],
    properties: propertiesOf(options.property ?? []),
    ...(options.messageGroup === undefined ? {} : { messageGroup: options.messageGroup }),
    ...(deliveryTimestamp === undefined ? {} : { deliveryTimestamp }),
    ...(options.liteTopic === undefined ? {} : { liteTopic: options.liteTopic }),
    ...(options.priority === undefined ? {} : { priority: wholeNumber('--priority', options.priority, 1) }),
  }
}

function propertiesOf(pairs: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    pairs.map((pair) => {
      const equals = pair.indexOf('=')
      if (equals < 1) throw new UsageError(`--property takes name=value, not ${quoted(pair)}.`)
      return [pair.slice(0, equals), pair.slice(equals + 1)] as const
    }),
  )
}

/** A moment with its zone: `2026-01-31T18:00:00Z`, `2026-01-31T18:00:00+08:00`. */
function moment(option: string, text: string): Date {
  const date = new Date(text)
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d)$/.test(text) || Number.isNaN(date.getTime()))
    throw new UsageError(`${option} takes a time with its zone, such as 2026-01-31T18:00:00Z, not ${quoted(text)}.`)
  return date
}

/** The option without which a topic of the kind takes no message. */
const optionOf: Readonly<Record<string, string>> = {
  FIFO: '--message-group',
  DELAY: '--delay or --deliver-at',
  LITE: '--lite-topic',
  PRIORITY: '--priority',
}

/** Refuses a message that is not of the topic's type, with a clearer sentence than the instance's own. */
function refuseOtherKind(topicName: TopicName, messageType: string, options: SendOptions): void {
  const kinds = [
    ['FIFO', options.messageGroup],
    ['DELAY', options.delay ?? options.deliverAt],
    ['LITE', options.liteTopic],
    ['PRIORITY', options.priority],
  ] as const
  for (const [kind, value] of kinds) {
    if ((value !== undefined) === (kind === messageType)) continue
    throw new UsageError(
      value === undefined
        ? `Topic ${shown(topicName)} is a ${kind} topic: its messages need ${optionOf[kind]}.`
        : `Topic ${shown(topicName)} is a ${shown(messageType)} topic; ${optionOf[kind]} belongs to messages of a ${kind} topic.`,
    )
  }
}

// ---- bodies

/** One body, or one a line. Sizes are checked while they are read: nothing larger than a message may be is kept. */
function bodiesOf(body: string | undefined, { file, lines }: SendOptions): AsyncIterable<Buffer> {
  if (body !== undefined && body !== '-' && (file !== undefined || lines === true))
    throw new UsageError('Give the body as an argument, or with --file or --lines; not both.')
  if (body !== undefined && body !== '-') return one(checked(Buffer.from(body)))
  if (body === '-' && file !== undefined) throw new UsageError('"-" reads stdin, --file a file; give one of them.')
  if (body === undefined && file === undefined && process.stdin.isTTY === true)
    throw new UsageError(
      'Give the body as an argument, with --file, or through stdin ("-" reads it from the terminal).',
    )
  const source = file === undefined ? process.stdin : opened(file)
  return lines === true ? lineByLine(source) : whole(source)
}

function opened(file: string): Readable {
  try {
    if (statSync(file).isDirectory()) throw new UsageError(`--file ${quoted(file)} is a folder; name a file.`)
    return createReadStream('', { fd: openSync(file, 'r') })
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new UsageError(`--file ${quoted(file)} cannot be read: ${reasonOf(error as NodeJS.ErrnoException)}.`)
  }
}

function reasonOf({ code, message }: NodeJS.ErrnoException): string {
  if (code === 'ENOENT') return 'there is no such file'
  return code === 'EACCES' ? 'this user may not read it' : shown(message)
}

async function* one(body: Buffer): AsyncIterable<Buffer> {
  yield body
}

async function* whole(source: Readable): AsyncIterable<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of source as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxBodyBytes) throw tooLarge()
    chunks.push(chunk)
  }
  yield Buffer.concat(chunks)
}

async function* lineByLine(source: Readable): AsyncIterable<Buffer> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of source as AsyncIterable<Buffer>) {
    const data = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    let from = 0
    for (let at = data.indexOf(lineFeed); at !== -1; at = data.indexOf(lineFeed, from)) {
      yield checked(withoutReturn(data.subarray(from, at)))
      from = at + 1
    }
    rest = data.subarray(from)
    if (rest.length > maxBodyBytes) throw tooLarge()
  }
  if (rest.length > 0) yield withoutReturn(rest)
}

const lineFeed = 0x0a
const withoutReturn = (line: Buffer): Buffer => (line.at(-1) === 0x0d ? line.subarray(0, -1) : line)

function checked(body: Buffer): Buffer {
  if (body.length > maxBodyBytes) throw tooLarge()
  return body
}

const tooLarge = (): CommandError =>
  new CommandError(
    `The body is larger than ${maxBodyBytes / 1024 / 1024} MiB, the most a message may have. Send where the data lies instead.`,
  )
