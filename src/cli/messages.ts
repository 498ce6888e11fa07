/**
 * `gantry messages`: messages of a topic, found by id, by key or by time. Reads only: nothing is changed or
 * delivered.
 */

import type { Settings } from '../config.ts'
import type { LiteTopicName, MessageId, TopicName } from '../model/ids.ts'
import { realClock } from '../world/real.ts'
import { instanceIdOf, wholeNumber } from './arguments.ts'
import { callData, findTarget, type Target } from './client.ts'
import { UsageError } from './errors.ts'
import { given } from './members.ts'
import { type OutputOptions, print, say } from './output.ts'
import { bold, clipped, dim, shown, shownLines } from './safe-text.ts'
import { counted, facts, table } from './tables.ts'
import { apiTime, withZone } from './zone.ts'

export interface MessagesOptions extends OutputOptions {
  readonly id?: string
  readonly key?: string
  readonly start?: string
  readonly end?: string
  readonly liteTopic?: LiteTopicName
  readonly limit: string
}

/** A message as ListMessages and GetMessageDetail answer it. */
export interface StoredMessage {
  readonly topicName: TopicName
  readonly messageId: MessageId
  readonly body?: string
  readonly bodySize?: number
  readonly bornHost?: string
  readonly bornTime?: string
  readonly storeTime?: string
  readonly messageKeys?: readonly string[]
  readonly messageTag?: string
  readonly messageType?: string
  readonly messageGroup?: string
  readonly liteTopicName?: string
  readonly userProperties?: Readonly<Record<string, string>>
  readonly systemProperties?: Readonly<Record<string, string>>
}

const largestPage = 100
const previewColumns = 48
const bodyLines = 40
const bodyColumns = 400

export async function messages(
  settings: Settings,
  instance: string,
  topicName: TopicName,
  options: MessagesOptions,
): Promise<void> {
  const limit = wholeNumber('--limit', options.limit, 1, 10_000)
  if (options.id !== undefined && options.key !== undefined)
    throw new UsageError('--id and --key are two ways to find a message; give one of them.')
  const target = findTarget(settings)
  const place = { instanceId: await instanceIdOf(target, instance), topicName }
  if (options.id !== undefined) {
    const found = await callData<StoredMessage>(target, 'GetMessageDetail', { ...place, messageId: options.id })
    print([found], options, () => messageCard(found, target.zoneMinutes))
    return
  }
  const { found, more } = await findMessages(target, place, options, limit)
  const { messageType } = await callData<{ messageType: string }>(target, 'GetTopic', place)
  print(found, options, () => {
    if (found.length === 0) say(`No message of topic ${shown(topicName)} is stored${chosenBy(options)}.`)
    return messageTable(found, target.zoneMinutes)
  })
  const waiting = Object.hasOwn(waitingOf, messageType) ? waitingOf[messageType] : undefined
  if (waiting !== undefined) say(`${shown(topicName)} is a ${messageType} topic: ${waiting}`)
  if (more)
    say(`There are more; --limit ${Math.min(limit * 10, 10_000)} shows more, --start and --end narrow the time.`)
}

/** What a list does not show of a topic, by its type. */
const waitingOf: Readonly<Record<string, string>> = {
  DELAY: 'a message is listed once its delivery time has come; --id finds one that waits.',
  TRANSACTION: 'a message is listed once it is committed; --id finds one that waits.',
}

function chosenBy({ key, start, end, liteTopic }: MessagesOptions): string {
  const place = liteTopic === undefined ? '' : ` in lite topic ${shown(liteTopic)}`
  const time = start === undefined && end === undefined ? '' : ' in that time'
  return `${place}${key === undefined ? '' : ` with key ${shown(key)}`}${time}`
}

async function findMessages(
  target: Target,
  place: Readonly<Record<string, string>>,
  options: MessagesOptions,
  limit: number,
): Promise<{ readonly found: readonly StoredMessage[]; readonly more: boolean }> {
  const found: StoredMessage[] = []
  const moment = (option: string, text: string | undefined): string | undefined =>
    text === undefined ? undefined : apiTime(option, text, target.zoneMinutes, realClock.now())
  const times = { startTime: moment('--start', options.start), endTime: moment('--end', options.end) }
  let scrollId: string | undefined
  do {
    const page: { list: readonly StoredMessage[]; scrollId?: string } = await callData(target, 'ListMessages', {
      ...place,
      ...given({
        messageKey: options.key,
        ...times,
        liteTopicName: options.liteTopic,
        scrollId,
      }),
      pageNumber: 1,
      pageSize: Math.min(largestPage, limit),
    })
    found.push(...page.list)
    scrollId = page.scrollId
  } while (scrollId !== undefined && found.length < limit)
  return { found: found.slice(0, limit), more: scrollId !== undefined || found.length > limit }
}

export const messageTable = (found: readonly StoredMessage[], zoneMinutes: number | null): string =>
  table(
    ['MESSAGE', withZone('STORED', zoneMinutes), 'TAG', 'KEYS', 'GROUP', 'BYTES', 'BODY'],
    found.map((message) => [
      message.messageId,
      message.storeTime ?? '',
      message.messageTag ?? '',
      (message.messageKeys ?? []).join(' '),
      message.messageGroup ?? message.liteTopicName ?? '',
      String(message.bodySize ?? ''),
      clipped(shown(message.body ?? ''), previewColumns),
    ]),
  )

export function messageCard(message: StoredMessage, zoneMinutes: number | null): string {
  const properties = Object.entries(message.userProperties ?? {})
  return cardText(
    message.messageId,
    [
      ['topic', message.topicName],
      ['type', message.messageType],
      ['tag', message.messageTag],
      ['keys', message.messageKeys?.join(' ')],
      ['message group', message.messageGroup],
      ['lite topic', message.liteTopicName],
      ['born', [withZone(message.bornTime ?? '', zoneMinutes), message.bornHost].filter(Boolean).join(' on ')],
      ['stored', withZone(message.storeTime ?? '', zoneMinutes)],
      ...properties.map(([name, value]) => [`property ${name}`, value] as const),
      ...Object.entries(message.systemProperties ?? {}).map(([name, value]) => [`system ${name}`, value] as const),
    ],
    message.body ?? '',
    message.bodySize,
  )
}

/** A message for people: its id, what is known of it, and the body, line by line behind a bar. */
export function cardText(
  id: string,
  pairs: ReadonlyArray<readonly [string, string | undefined]>,
  body: string,
  sizeBytes: number | undefined,
): string {
  const known = pairs.filter((pair): pair is readonly [string, string] => pair[1] !== undefined && pair[1] !== '')
  const lines = shownLines(body)
  const shownBody = lines.slice(0, bodyLines).map((line) => `  ${dim('|')} ${clipped(line, bodyColumns)}`)
  const cut = lines.length > bodyLines || lines.some((line) => line.length > bodyColumns)
  const size = `${counted(sizeBytes ?? Buffer.byteLength(body), 'byte')}${cut ? '; cut here, -o json shows all of it' : ''}`
  return [
    bold(shown(id)),
    facts([...known, ['body', size]]).replace(/^/gm, '  '),
    ...(body === '' ? [] : shownBody),
  ].join('\n')
}
