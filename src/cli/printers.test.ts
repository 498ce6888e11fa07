/**
 * Control characters of foreign text never reach a terminal: for every output form of a command, and any data, the
 * output holds printable characters, line feeds and our own colours only; and data adds no lines.
 */
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { rocketmq } from '../catalogue/rocketmq/index.ts'
import type { ProcessSeen } from '../engines/embedded/inspect.ts'

import { products as served } from '../resources/index.ts'
import { accountFacts, accountTable } from './accounts.ts'
import { operationTable } from './call.ts'
import { operationHelp } from './call-help.ts'
import { inputFrom, readArguments } from './call-input.ts'
import { refusalText } from './client.ts'
import { completion } from './completion.ts'
import { clientError } from './connect.ts'
import { groupColumns } from './consumer-groups.ts'
import { sdkError } from './demo.ts'
import { findingsText } from './doctor.ts'
import { shellQuoted } from './env.ts'
import { UsageError } from './errors.ts'
import { instanceColumns, instanceFacts } from './instances.ts'
import { lagTable } from './lag.ts'
import { rows } from './lists.ts'
import { logText, readLine } from './log-lines.ts'
import { messageCard, messageTable } from './messages.ts'
import { movingLine, stepLine, yamlText } from './output.ts'
import { partFacts } from './parts.ts'
import { processFacts, processTable, titleOf } from './processes.ts'
import { products } from './products.ts'
import { complaint, createProgram } from './program.ts'
import { messageView, receivedCard } from './receive.ts'
import { safeJson, safeJsonText, terminalText, width } from './safe-text.ts'
import { messageOf } from './send.ts'
import { anyTable } from './tables.ts'
import { topicColumns } from './topics.ts'
import { card } from './up.ts'
import type { InstanceShown } from './waiting.ts'

/** What a command shows of data that holds the text wherever a text may stand. */
type Printer = (text: string) => string

/** The sentence with which a command refuses, as it is printed. */
const refusalOf = (work: () => unknown): string => {
  try {
    work()
  } catch (error) {
    return complaint(error)
  }
  throw new Error('It was not refused.')
}

const instance = (text: string): InstanceShown => ({
  instanceId: text,
  instanceName: text,
  status: text,
  seriesCode: text,
  subSeriesCode: text,
  paymentType: text,
  createTime: text,
  topicCount: 1,
  groupCount: 1,
  remark: text,
  productInfo: { msgProcessSpec: text },
  networkInfo: { endpoints: [{ endpointType: text, endpointUrl: text }] },
  accountInfo: { username: text },
})

const processSeen = (text: string, runs: boolean): ProcessSeen =>
  ({
    name: text,
    log: text,
    record: { restarts: 1, lastEnd: { how: text, atMs: 0 }, failure: text },
    instances: [text],
    greeting: runs ? { pid: 1, version: text, instances: 1, uptimeMs: 1 } : null,
    silent: null,
    observed: [],
  }) as unknown as ProcessSeen

const row = (text: string) =>
  Object.fromEntries(
    ['instanceId', 'instanceName', 'topicName', 'consumerGroupId', 'remark', 'status', 'messageType', 'createTime'].map(
      (name) => [name, text],
    ),
  )

const stored = (text: string) => ({
  topicName: text,
  messageId: text,
  body: text,
  bornHost: text,
  storeTime: text,
  messageKeys: [text, text],
  messageTag: text,
  messageGroup: text,
  userProperties: { [text]: text },
  systemProperties: { [text]: text },
})

const lag = { readyCount: 1, inflightCount: 1, deliveryDuration: 1 }
const createTopic = rocketmq.operationNamed('CreateTopic')!

/** Each with whether the data may add lines: bodies and stacks have lines of their own. */
const printers: Readonly<Record<string, Printer>> = {
  'get instance, create instance': (text) => instanceFacts(instance(text), 480, [['reason', text]]),
  'list instances': (text) => rows(instanceColumns, [row(text)], 480),
  'list topics': (text) => rows(topicColumns, [row(text)], 480),
  'list groups': (text) => rows(groupColumns, [row(text)], 480),
  'list processes': (text) => processTable([processSeen(text, true), processSeen(text, false)]),
  'get topic, get group': (text) =>
    partFacts({ [text]: text, createTime: text, priority: text, inner: { [text]: [text] } }, 480),
  'call -o table': (text) => anyTable({ [text]: text, inner: { [text]: [text] } }),
  'call -o table of a page': (text) => anyTable({ list: [{ a: text, [text]: { b: text } }] }),
  accounts: (text) =>
    accountTable([{ username: text, password: text, accountType: text, accountStatus: text, remark: text }]),
  account: (text) => accountFacts({ username: text, password: text, accountStatus: text, remark: text }, true),
  lag: (text) => lagTable({ totalLag: lag, topicLagMap: { [text]: lag }, liteTopicLagMap: { [text]: lag } }, 480),
  messages: (text) => messageTable([stored(text)], 480),
  doctor: (text) =>
    findingsText(
      [
        { ok: true, what: `${titleOf({ name: text })}: ${processFacts(processSeen(text, true), 480)}` },
        { ok: false, what: text, mend: text },
      ],
      Number.POSITIVE_INFINITY,
    ),
  'the steps of demo and others': (text) => stepLine('✓', text, text, 1),
  'a step under way': (text) => movingLine(3, text, 40),
  'the card of up': (text) =>
    card(
      { home: text, region: text },
      { apiUrl: text, account: { accountId: text, accessKeyId: text, accessKeySecret: text }, startupMs: 1 },
    ),
  env: (text) => `export A=${shellQuoted(text)}`,
  'a line of a log': (text) =>
    logText(readLine(text, JSON.stringify({ level: text, msg: text, [text]: text, err: { message: text } })), 480),
  'a line of a log that is not ours': (text) => logText(readLine('server', text), 480),
  'a line of a log in a pipe': (text) => safeJsonText(JSON.stringify({ msg: text, [text]: text })),
  'a refusal of the API': (text) => refusalText('GetTopic', 404, { Code: text, Message: text, RequestId: text }),
  'a refusal of an instance': (text) =>
    complaint(clientError('It was not sent', new Error(`[request-id=x, response-code=40402] ${text}`))),
  'a failure of a client': (text) =>
    complaint(clientError('It was not sent', Object.assign(new Error(text), { details: text }))),
  'a refusal that the SDK of demo throws': (text) =>
    complaint(
      sdkError(
        { apiUrl: 'http://x' },
        Object.assign(new Error(text), { statusCode: 404, data: { Code: text, Message: text } }),
      ),
    ),
  'a failure of the system': (text) => complaint(Object.assign(new Error(text), { syscall: 'open', code: 'EACCES' })),
  'a wrong value of call': (text) => refusalOf(() => inputFrom(createTopic, [['maxSendTps', `x${text}`]])),
  'a wrong parameter of call': (text) => refusalOf(() => inputFrom(createTopic, [[`x${text}`, text]])),
  'a wrong word of call': (text) => refusalOf(() => readArguments('CreateTopic', [`x${text}`])),
  'a parameter without a value': (text) =>
    refusalOf(() => readArguments('CreateTopic', [`--x${text.replaceAll('=', '')}`])),
  'a wrong property of send': (text) => refusalOf(() => messageOf('t', { property: [text.replaceAll('=', '')] }, 0)),
  'a wrong time of send': (text) => refusalOf(() => messageOf('t', { deliverAt: `x${text}` }, 0)),
  'a wrong delay of send': (text) => refusalOf(() => messageOf('t', { delay: `x${text}` }, 0)),
  'a wrong shell of completion': (text) => refusalOf(() => completion(createProgram(), `x${text}`)),
  'a usage error': (text) => complaint(new UsageError(text.replaceAll('\n', ' '))),
}

/** What is shown line by line: text with lines of its own. */
const ofLines: Readonly<Record<string, Printer>> = {
  'messages --id': (text) => messageCard(stored(text), null),
  receive: (text) =>
    receivedCard(
      messageView({
        topic: text,
        messageId: text,
        tag: text,
        keys: [text],
        messageGroup: text,
        liteTopic: text,
        properties: new Map([[text, text]]),
        bornTimestamp: new Date(Number.NaN),
        bornHost: text,
        deliveryAttempt: 1,
        body: Buffer.from(text),
      }),
      480,
    ),
  'an error nobody expected': (text) => complaint(new Error(text)),
  'an error of the home': (text) => complaint(Object.assign(new Error(text), { name: 'HomeError' })),
  '-o json': (text) => safeJson({ [text]: [text] }),
  '-o yaml': (text) => yamlText({ [text]: [text] }),
}

const hostile = [
  '\u001b[2J\u001b[1;1H',
  '\u001b]0;title\u0007',
  '\u009b31m',
  '\u007f\b\b\r',
  '\u202eexe.gnp\u2066',
  '\u200b\ufeff\u00ad\u2060',
  '\u2028\u0085\n\n',
  '\ufdd0r\ufdd1',
  '\u{e0041}\ud800',
  '\u001bP0;1|17/ab\u001b\\',
]
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc
    .array(fc.oneof(fc.constantFrom(...hostile), fc.string()), { minLength: 1, maxLength: 6 })
    .map((parts) => parts.join('')),
)

/** The colours that this program sets. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: escape codes are what it is about
const colour = /\u001b\[(0|1|2|31|32|33|36)m/g
/** What a terminal would obey or not show; variation selectors choose how a visible character looks. */
const unsafe = /(?!\n|\p{Variation_Selector})[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{DI}\p{Noncharacter_Code_Point}]/u

function expectSafe(printed: string): void {
  expect(terminalText(printed, false)).not.toMatch(unsafe)
  expect(terminalText(printed, true).replace(colour, '')).not.toMatch(unsafe)
}

const linesOf = (printed: string): number => printed.split('\n').length

describe.each(Object.entries(printers))('%s', (_name, printer) => {
  it('shows whatever stands in the data, and on as many lines as ever', () => {
    const lines = linesOf(printer('x'))
    fc.assert(
      fc.property(text, (value) => {
        const printed = printer(value)
        expectSafe(printed)
        expect(linesOf(terminalText(printed, false))).toBe(lines)
      }),
    )
  })
})

describe.each(Object.entries(ofLines))('%s', (_name, printer) => {
  it('shows whatever stands in the data', () => {
    fc.assert(fc.property(text, (value) => expectSafe(printer(value))))
  })
})

it('a step under way takes one line of the terminal', () => {
  fc.assert(
    fc.property(text, fc.integer({ min: 20, max: 120 }), (label, columns) => {
      expect(width(movingLine(1, label, columns))).toBeLessThan(columns)
    }),
  )
})

describe('everything the commands write', () => {
  const folder = path.dirname(fileURLToPath(import.meta.url))
  const files = readdirSync(folder).filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))

  it('is written by output.ts, where it is made safe', () => {
    const writers = files.filter((name) =>
      /\b(stdout|stderr)\.write\(|console\.|\bwriteSync\((1|2)\b/.test(readFileSync(path.join(folder, name), 'utf8')),
    )
    expect(writers).toEqual(['output.ts'])
  })

  it('of commander passes it as well', () => {
    const program = createProgram()
    for (const each of [program, ...program.commands, ...program.commands.flatMap((inner) => inner.commands)])
      expect(each.configureOutput(), each.name()).toMatchObject({ writeErr: program.configureOutput().writeErr })
  })
})

it('every product that the server serves can be called', () => {
  expect(products).toEqual(served.map(({ product }) => product))
})

describe('the help of every operation', () => {
  const all = products.flatMap((product) =>
    product.operations.map((operation) => [operation.action, product, operation] as const),
  )
  it.each(all)(
    'of %s fits 100 columns and has an example that the API accepts as it is formed',
    (action, product, operation) => {
      const help = terminalText(operationHelp({ product, operation }, 100, true), false)
      for (const line of help.split('\n')) expect(line.length, line).toBeLessThanOrEqual(100)
      const example = /^Example\n([\s\S]*?)\n\n/m.exec(help)![1]!
      const words = wordsOf(example.replace(/ \\\n/g, ' '))
      expect(words.slice(0, 3)).toEqual(['gantry', 'call', action])
      const input = inputFrom(operation, readArguments(action, words.slice(3)).flags)
      expect(product.validate(action, input)).toEqual([])
      for (const { name } of operation.parameters) expect(help).toContain(`--${name}`)
    },
  )

  it('is found in the list of operations', () => {
    const rows = all.map(([action, { code }, { summary }]) => ({ action, product: code, summary, carriedOut: false }))
    expect(operationTable(rows)).toContain('CreateInstance')
  })
})

/** Words of a shell that knows single quotes. */
const wordsOf = (line: string): string[] =>
  (line.trim().match(/(?:'[^']*'|[^\s'])+/g) ?? []).map((word) => word.replaceAll("'", ''))
