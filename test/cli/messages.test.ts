/** `gantry send`, `receive`, `messages` and `lag` against a real instance, as a person or a script uses them. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import type { GroupLag } from '../../src/cli/lag.ts'
import type { StoredMessage } from '../../src/cli/messages.ts'
import type { ReceivedMessage } from '../../src/cli/receive.ts'
import { until } from '../support/sdk.ts'
import { cleanEnv, gantry, type TestHome, temporaryHome } from '../support/server.ts'
import { type Run, run } from './run.ts'

let home: TestHome
beforeAll(async () => {
  home = await temporaryHome()
  await home.start()
  await succeeds('create', 'instance', 'shop')
  for (const [name, type] of [
    ['events', 'NORMAL'],
    ['steps', 'FIFO'],
    ['later', 'DELAY'],
    ['payments', 'TRANSACTION'],
    ['urgent', 'PRIORITY'],
    ['held', 'NORMAL'],
    ['stream', 'NORMAL'],
    ['odd', 'NORMAL'],
    ['chats', 'LITE'],
  ] as const) {
    await succeeds('create', 'topic', 'shop', name, '--type', type)
  }
  // One that is made by its first use is listed a moment later only.
  for (const group of ['readers', 'peekers', 'interrupted', 'followers'])
    await succeeds('create', 'group', 'shop', group)
})
afterAll(() => home?.close())

const on = (args: readonly string[]): Promise<Run> => run([...args, '--home', home.home])

async function succeeds(...args: string[]): Promise<string> {
  const done = await on(args)
  expect(done.code, done.stderr).toBe(0)
  return done.stdout
}

async function fails(code: number, says: RegExp, ...args: string[]): Promise<void> {
  const done = await on(args)
  expect(done.stderr).toMatch(says)
  expect([done.code, done.stdout], done.stderr).toEqual([code, ''])
  expect(done.stderr).not.toMatch(/^\s+at /m)
}

/** With something on stdin. */
async function fed(input: string | Buffer, ...args: string[]): Promise<string> {
  const child = spawn(process.execPath, [gantry, ...args, '--home', home.home], { env: cleanEnv() })
  const ended = collected(child)
  child.stdin!.end(input)
  const { code, stdout, stderr } = await ended
  expect(code, stderr).toBe(0)
  return stdout
}

function collected(child: ChildProcess): Promise<Run> & { soFar(): string } {
  let stdout = ''
  let stderr = ''
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const ended = new Promise<Run>((resolve) => {
    child.once('close', (code) => resolve({ code, stdout, stderr }))
  })
  return Object.assign(ended, { soFar: () => stdout })
}

const receive = async (topic: string, group: string, ...more: string[]): Promise<ReceivedMessage[]> =>
  JSON.parse(await succeeds('receive', 'shop', topic, '--group', group, '-o', 'json', ...more))

/** The ledger hears of a group that was made by use a moment after its first client. */
const lagOf = async (group: string): Promise<GroupLag['totalLag']> => {
  const ask = async (): Promise<GroupLag['totalLag'] | null> => {
    const { code, stdout } = await run(['lag', 'shop', group, '-o', 'json', '--home', home.home])
    return code === 0 ? (JSON.parse(stdout) as GroupLag).totalLag : null
  }
  return (await until(ask, (lag) => lag !== null, `the ledger knows group ${group}`))!
}

describe('send and receive as an account', () => {
  const call = (...args: string[]) => succeeds('call', ...args)

  it('use the one that is named, and say which is needed when the default one is not let in', async () => {
    const { instanceId } = JSON.parse(await succeeds('create', 'instance', 'granted', '-o', 'json'))
    await succeeds('create', 'topic', 'granted', 'events')
    const on = ['--instanceId', instanceId]
    for (const username of ['worker', 'nothing']) {
      await call('CreateInstanceAccount', ...on, '--username', username, '--password', `${username}-password`)
    }
    const granted = ['--username', 'worker', '--decision', 'Allow', '--resourceType']
    await call('CreateInstanceAcl', ...on, ...granted, 'Topic', '--resourceName', 'events', '--actions', 'Pub|Sub')
    await call('CreateInstanceAcl', ...on, ...granted, 'Group', '--resourceName', 'readers', '--actions', 'Sub')
    await call('UpdateInstance', ...on, '--aclInfo.aclTypes', 'apache_acl')
    const send = ['send', 'granted', 'events', 'from worker']
    await fails(1, /lets in accounts with grants only .*apache_acl.*--username.*gantry accounts rmq-/, ...send)
    await succeeds(...send, '--username', 'worker')
    const receive = ['receive', 'granted', 'events', '--group', 'readers', '-o', 'json']
    await fails(1, /lets in accounts with grants only/, ...receive)
    const received = JSON.parse(await succeeds(...receive, '--username', 'worker')) as ReceivedMessage[]
    expect(received.map(({ body }) => body)).toEqual(['from worker'])
    await fails(1, /FORBIDDEN[\s\S]*no grant of Pub[\s\S]*on topic "events"/, ...send, '--username', 'nothing')
    await fails(1, /InstanceAccount\.NotExisted[\s\S]*gantry accounts/, ...send, '--username', 'nobody')
    await call('UpdateInstanceAccount', ...on, '--username', 'worker', '--accountStatus', 'DISABLE')
    await fails(1, /account worker is disabled: enable it .*UpdateInstanceAccount/, ...send, '--username', 'worker')
  })
})

describe('send and receive', () => {
  it('carry a body, a tag, keys and properties, with the account of the instance', async () => {
    const id = (
      await succeeds(
        ...['send', 'shop', 'events', 'hello 订单', '--tag', 'greeting', '--key', 'k-1', '--key', 'k-2'],
        ...['--property', 'a=b', '--property', 'c=d=e'],
      )
    ).trim()
    expect(id).toMatch(/^[0-9A-F]{34}$/)
    const received = await receive('events', 'readers')
    expect(received).toEqual([
      {
        topicName: 'events',
        messageId: id,
        messageTag: 'greeting',
        messageKeys: ['k-1', 'k-2'],
        userProperties: { a: 'b', c: 'd=e' },
        bornTime: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
        bornHost: expect.any(String),
        deliveryAttempt: 1,
        bodySize: 12,
        body: 'hello 订单',
      },
    ])
    expect(await lagOf('readers')).toMatchObject({ readyCount: 0, inflightCount: 0 })
  })

  it('take a body from a file and from stdin, whole or line by line, and bytes that are no text', async () => {
    const file = path.join(path.dirname(home.home), 'body')
    writeFileSync(file, Buffer.from([0xff, 0xfe, 0x00]))
    await succeeds('send', 'shop', 'events', '--file', file)
    await fed('from stdin\nin two lines', 'send', 'shop', 'events', '-')
    const sent = await fed('one\r\ntwo\nthree', 'send', 'shop', 'events', '--lines', '-o', 'json')
    const ids = sent
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).messageId)
    const received = await receive('events', 'readers')
    expect(received.map(({ body, bodyBase64 }) => body ?? { bodyBase64 }).sort()).toEqual(
      [{ bodyBase64: '//4A' }, 'from stdin\nin two lines', 'one', 'three', 'two'].sort(),
    )
    expect(received.map(({ messageId }) => messageId)).toEqual(expect.arrayContaining(ids))
  })

  it('know each kind of topic', async () => {
    await fed('1\n2\n3\n', 'send', 'shop', 'steps', '--lines', '--message-group', 'order-1')
    await succeeds('create', 'group', 'shop', 'in-order', '--order', 'Orderly')
    expect((await receive('steps', 'in-order')).map(({ body, messageGroup }) => [body, messageGroup])).toEqual([
      ['1', 'order-1'],
      ['2', 'order-1'],
      ['3', 'order-1'],
    ])
    await succeeds('send', 'shop', 'payments', 'paid')
    expect((await receive('payments', 'cashiers')).map(({ body }) => body)).toEqual(['paid'])
    await succeeds('send', 'shop', 'urgent', 'now', '--priority', '5')
    expect((await receive('urgent', 'firemen')).map(({ body }) => body)).toEqual(['now'])
    await succeeds('send', 'shop', 'urgent', 'more than most', '--priority', '70')
    await fails(2, /--priority takes a whole number from 1 to/, 'send', 'shop', 'urgent', 'x', '--priority', '0')
    expect(await succeeds('get', 'topic', 'shop', 'urgent')).toMatch(
      /^priority +7 \(the highest; a larger one counts as this\)$/m,
    )
    expect(await succeeds('receive', 'shop', 'urgent', '--group', 'firemen')).toMatch(
      /^ {2}born +\d{4}-\d\d-\d\d [\d:]{8} UTC\+08:00 on /m,
    )
    // Due long after the test, however long the sending takes.
    const [delayed] = parseAllDocuments(
      await succeeds('send', 'shop', 'later', 'tomorrow', '--delay', '1h', '-o', 'yaml'),
    )
    expect(delayed!.toJSON()).toMatchObject({ topicName: 'later', recallHandle: expect.any(String) })
    await succeeds('send', 'shop', 'later', 'tea', '--delay', '1s')
    expect((await receive('later', 'sleepers')).map(({ body, deliveryTime }) => [body, typeof deliveryTime])).toEqual([
      ['tea', 'string'],
    ])
    for (const [topic, option, says] of [
      ['steps', [], /Topic steps is a FIFO topic: its messages need --message-group\./],
      ['later', [], /Topic later is a DELAY topic: its messages need --delay or --deliver-at\./],
      ['events', ['--message-group', 'g'], /is a NORMAL topic; --message-group belongs to messages of a FIFO topic/],
      ['events', ['--priority', '1'], /is a NORMAL topic; --priority belongs to messages of a PRIORITY topic/],
    ] as const) {
      await fails(2, says, 'send', 'shop', topic, 'x', ...option)
    }
  })

  it('filter by tag and by SQL', async () => {
    await succeeds('send', 'shop', 'odd', 'one', '--tag', 'a', '--property', 'n=1')
    await succeeds('send', 'shop', 'odd', 'two', '--tag', 'b', '--property', 'n=2')
    expect((await receive('odd', 'by-tag', '--tag', 'a')).map(({ body }) => body)).toEqual(['one'])
    expect((await receive('odd', 'by-sql', '--sql', 'n > 1')).map(({ body }) => body)).toEqual(['two'])
  })

  it('refuse in sentences, with the code of the API or of the protocol', async () => {
    await fails(1, /GetTopic was refused: Topic\.NotFound[\s\S]*gantry list topics/, 'send', 'shop', 'nowhere', 'x')
    await fails(1, /was not sent: ILLEGAL_MESSAGE_TAG \(40004\)\n {2}The tag "a\|b"/, ...sendTo('--tag', 'a|b'))
    await fails(2, /--property takes name=value, not "x"/, ...sendTo('--property', 'x'))
    await fails(2, /--delay takes a time from 1s to 40d, such as 30s or 5m, not "soon"/, ...sendTo('--delay', 'soon'))
    await fails(2, /--deliver-at takes a time with its zone/, ...sendTo('--deliver-at', '2026-01-31 18:00:00'))
    await fails(
      2,
      /--file "\/nowhere" cannot be read: there is no such file\.\n/,
      'send',
      'shop',
      'events',
      '--file',
      '/nowhere',
    )
    await fails(2, /--file "\/tmp" is a folder; name a file\./, 'send', 'shop', 'events', '--file', '/tmp')
    await fails(2, /Give the body as an argument, or with --file or --lines/, ...sendTo('--lines'))
    await fails(2, /required option '--group <id>' not specified/, 'receive', 'shop', 'events')
    // It ends: the client that was not let in leaves nothing that goes on.
    await fails(1, /could not start: ILLEGAL_CONSUMER_GROUP/, 'receive', 'shop', 'events', '--group', 'bad grp')
    await fails(2, /--wait takes a time from 5s to 20s, such as 10s, not "1s"/, ...receiving('--wait', '1s'))
    await fails(2, /--invisible takes a time from 10s to 12h/, ...receiving('--invisible', '1s'))
    await fails(2, /--peek with --follow needs --count/, ...receiving('--peek', '--follow'))
    await fails(2, /--tag and --sql are two kinds of filters/, ...receiving('--tag', 'a', '--sql', 'b > 1'))
    await fails(1, /were not received: ILLEGAL_FILTER_EXPRESSION \(40010\)/, ...receiving('--sql', 'b >'))
  })

  it('refuses a body that no message may have, before it is read to its end', async () => {
    const child = spawn(process.execPath, [gantry, 'send', 'shop', 'events', '--home', home.home], { env: cleanEnv() })
    const ended = collected(child)
    child.stdin!.on('error', () => {})
    child.stdin!.write(Buffer.alloc(5 * 1024 * 1024))
    const { code, stderr } = await ended
    expect([code, stderr]).toEqual([1, expect.stringMatching(/The body is larger than 4 MiB/)])
  })
})

const sendTo = (...options: string[]): string[] => ['send', 'shop', 'events', 'x', ...options]
const receiving = (...options: string[]): string[] => ['receive', 'shop', 'events', '--group', 'readers', ...options]

describe('lite topics', () => {
  it('are received by name, by a group that is bound to their topic', async () => {
    const listening = (...more: string[]): string[] => ['receive', 'shop', 'chats', '--group', 'listeners', ...more]
    const sent = ['send', 'shop', 'chats']
    await succeeds(...sent, 'one', '--lite-topic', 'a')
    await succeeds(...sent, 'two', '--lite-topic', 'b')
    await succeeds(...sent, 'not asked for', '--lite-topic', 'c')
    await fails(2, /Topic chats is a LITE topic: say which lite topics to receive with --lite-topic\./, ...listening())
    const makes =
      /Group listeners does not exist, and .* "gantry (create group shop listeners --lite-of chats)" makes one/
    const refused = await on(listening('--lite-topic', 'a'))
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(makes)])
    await succeeds(...makes.exec(refused.stderr)![1]!.split(' '))
    await fails(
      1,
      /Group readers is a group of other consumers, .*"gantry create group shop OTHER --lite-of chats" makes one/,
      ...['receive', 'shop', 'chats', '--group', 'readers', '--lite-topic', 'a'],
    )
    await fails(2, /its messages are not filtered/, ...listening('--lite-topic', 'a', '--tag', 'x'))
    await fails(2, /is a NORMAL topic; --lite-topic belongs to LITE topics/, ...receiving('--lite-topic', 'a'))
    await fails(2, /--exclusive counts for a group of lite consumers/, 'create', 'group', 'shop', 'x', '--exclusive')
    const bodies = async (...more: string[]): Promise<Array<readonly [string | undefined, string | undefined]>> =>
      (await receive('chats', 'listeners', '--lite-topic', 'a', '--lite-topic', 'b', ...more)).map(
        ({ liteTopicName, body }) => [liteTopicName, body] as const,
      )
    const both = [
      ['a', 'one'],
      ['b', 'two'],
    ]
    expect((await bodies('--peek')).sort()).toEqual(both)
    expect((await bodies()).sort()).toEqual(both)
    expect(await bodies()).toEqual([])
    expect(await succeeds('lag', 'shop', 'listeners')).toMatch(/^lite topic a +0 /m)
  })
})

describe('what is received and not acknowledged', () => {
  it('is visible again after a peek', async () => {
    await fed('one\ntwo\n', 'send', 'shop', 'held', '--lines')
    const peeked = await receive('held', 'peekers', '--peek', '--count', '1')
    expect(peeked.map(({ deliveryAttempt }) => deliveryAttempt)).toEqual([1])
    expect(await lagOf('peekers')).toMatchObject({ readyCount: 2, inflightCount: 0 })
    expect((await receive('held', 'peekers')).map(({ body }) => body).sort()).toEqual(['one', 'two'])
  })

  it('is visible again soon when Ctrl-C ends the command while it holds messages', async () => {
    const args = ['receive', 'shop', 'held', '--group', 'interrupted', '--follow', '--peek', '--count', '5']
    const child = spawn(
      process.execPath,
      [gantry, ...args, '--invisible', '1h', '--wait', '20s', '--home', home.home],
      {
        env: cleanEnv(),
      },
    )
    const ended = collected(child)
    await until(
      async () => ended.soFar(),
      (text) => text.includes('| two'),
      'both are shown',
    )
    expect((await lagOf('interrupted')).inflightCount).toBe(2)
    child.kill('SIGINT')
    expect((await ended).code).toBe(130)
    await until(
      () => lagOf('interrupted'),
      ({ readyCount, inflightCount }) => readyCount === 2 && inflightCount === 0,
      'both are visible again',
    )
  })
})

describe('receive --follow', () => {
  it('shows each message as it comes, a line of JSON each, until it is ended', async () => {
    const args = ['receive', 'shop', 'stream', '--group', 'followers', '--follow', '--wait', '20s', '-o', 'json']
    const child = spawn(process.execPath, [gantry, ...args, '--home', home.home], { env: cleanEnv() })
    const ended = collected(child)
    for (const body of ['first', 'second']) {
      await succeeds('send', 'shop', 'stream', body)
      await until(
        async () => ended.soFar(),
        (text) => text.includes(`"body":"${body}"`),
        `${body} is shown`,
      )
    }
    child.kill('SIGTERM')
    const { code, stdout, stderr } = await ended
    expect([code, stderr]).toEqual([143, ''])
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line).body),
    ).toEqual(['first', 'second'])
    expect(await lagOf('followers')).toMatchObject({ readyCount: 0, inflightCount: 0 })
  })

  it('ends when whoever reads it has gone', async () => {
    await succeeds('send', 'shop', 'stream', 'third')
    const line = `"${process.execPath}" "${gantry}" receive shop stream --group followers --follow -o json --home "${home.home}" | head -n 1`
    let ended = false
    const reading = promisify(execFile)('sh', ['-c', line], { env: cleanEnv() }).finally(() => {
      ended = true
    })
    // The next message is written to nobody.
    while (!ended) await succeeds('send', 'shop', 'stream', 'more')
    const { stdout, stderr } = await reading
    expect([JSON.parse(stdout).topicName, stderr]).toEqual(['stream', ''])
  })
})

describe('messages', () => {
  it('finds by key, by id and by time, and delivers nothing', async () => {
    const byKey = JSON.parse(await succeeds('messages', 'shop', 'events', '--key', 'k-2', '-o', 'json')) as [
      StoredMessage,
    ]
    expect(byKey).toMatchObject([{ body: 'hello 订单', messageTag: 'greeting', messageKeys: ['k-1', 'k-2'] }])
    const card = await succeeds('messages', 'shop', 'events', '--id', byKey[0].messageId)
    expect(card).toMatch(/^[0-9A-F]{34}\n {2}topic +events\n {2}type +NORMAL\n {2}tag +greeting/)
    expect(card).toMatch(/ {2}property c +d=e\n/)
    expect(card).toMatch(/ {2}body +12 bytes\n {2}\| hello 订单\n$/)
    const limited = await on(['messages', 'shop', 'events', '--limit', '2'])
    expect(limited.stdout.trimEnd().split('\n')).toHaveLength(3)
    expect(limited.stderr).toMatch(/There are more; --limit 20 shows more/)
    expect(
      JSON.parse(await succeeds('messages', 'shop', 'events', '--end', '2020-01-01 00:00:00', '-o', 'json')),
    ).toEqual([])
    await fails(2, /--start takes a time such as 10m \(ago\)/, 'messages', 'shop', 'events', '--start', 'yesterday')
    const recent = JSON.parse(await succeeds('messages', 'shop', 'events', '--start', '1h', '-o', 'json'))
    expect(recent.length).toBeGreaterThan(3)
    expect(JSON.parse(await succeeds('messages', 'shop', 'events', '--end', '1h', '-o', 'json'))).toEqual([])
    await fails(
      1,
      /ListMessages was refused: InvalidStartTime/,
      'messages',
      'shop',
      'events',
      '--start',
      '2026-02-30 00:00:00',
    )
    await fails(2, /--limit takes a whole number from 1 to 10000/, 'messages', 'shop', 'events', '--limit', '0')
  })

  it('says what a list does not show, and that it is empty', async () => {
    const none = await on(['messages', 'shop', 'payments', '--key', 'none'])
    expect(none.stdout).toMatch(/^MESSAGE +STORED UTC\+08:00 .*\n$/)
    expect(none.stderr).toBe(
      'No message of topic payments is stored with key none.\npayments is a TRANSACTION topic: a message is listed once it is committed; --id finds one that waits.\n',
    )
    const id = (await succeeds('send', 'shop', 'later', 'x', '--delay', '1h')).trim()
    const waiting = await on(['messages', 'shop', 'later'])
    expect(waiting.stdout).not.toContain(id)
    expect(waiting.stderr).toMatch(/later is a DELAY topic: a message is listed once its delivery time has come; --id/)
    expect(await succeeds('messages', 'shop', 'later', '--id', id)).toMatch(/ {2}body +1 byte\n {2}\| x\n$/)
  })

  it('shows control characters in bodies, keys and properties, and sends none', async () => {
    await succeeds('send', 'shop', 'odd', '\u001b]0;title\u0007\u202e', '--property', 'p=\u2066\u200b')
    const shown =
      (await succeeds('messages', 'shop', 'odd')) + (await succeeds('receive', 'shop', 'odd', '--group', 'g'))
    expect(shown).toContain('\\u001b]0;title\\u0007\\u202e')
    expect(shown).toContain('\\u2066\\u200b')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    expect(shown).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b\u202e\u2066]/)
    const json = await succeeds('messages', 'shop', 'odd', '-o', 'json')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    expect(json).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b\u202e\u2066]/)
    expect((JSON.parse(json) as StoredMessage[]).map(({ body }) => body)).toContain('\u001b]0;title\u0007\u202e')
  })
})

describe('lag', () => {
  it('shows a row a topic and the sum', async () => {
    await succeeds('create', 'group', 'shop', 'late')
    await receive('held', 'late', '--count', '1')
    expect(await succeeds('lag', 'shop', 'late')).toMatch(
      /^TOPIC +READY +IN FLIGHT +OLDEST WAITS +CONSUMED UP TO UTC\+08:00\nheld +1 +0 +\d+ s +\d{4}-\d\d-\d\d [\d:]{8}\n\(all\) +1 +0 +\d+ s +\d{4}-\d\d-\d\d [\d:]{8}\n$/,
    )
    await fails(1, /GetConsumerGroupLag was refused: ConsumerGroup\.NotFound/, 'lag', 'shop', 'nobody')
    await succeeds('create', 'group', 'shop', 'fresh')
    expect((await on(['lag', 'shop', 'fresh'])).stderr).toBe('Group fresh has read no topic yet.\n')
  })
})
