/**
 * What every official client must pass, whatever its language: the scenarios of docs/clients.md, told once. `judge` makes the tests of
 * one language; what a client cannot do is named there with its reason and skipped.
 */
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { runningGroup, runningInstance, sdk, sdkClient, until } from '../support/sdk.ts'
import { type TestHome, type TestServer, temporaryHome } from '../support/server.ts'
import { type ClientMessage, ForeignClient } from './driver.ts'
import type { Language } from './toolchains.ts'

type Scenario = 'push' | 'nack' | 'dead letter'

export interface Traits {
  /** What this version cannot do, with the reason. */
  readonly without?: Readonly<Partial<Record<Scenario, string>>>
  /** Verifies certificates, and so must name the host that is in ours. */
  readonly verifies?: boolean
  /** Shows one key of a message only. */
  readonly oneKey?: boolean
}

export interface Place {
  /** One program with a started producer, which the scenarios share: starting one is the longest part of most. */
  readonly shared: ForeignClient
  readonly server: TestServer
  readonly api: any
  readonly instanceId: string
  client(overrides?: { account?: { username: string; password: string } | null }): ForeignClient
}

const modes = [
  { name: 'cleartext, without credentials', tls: false, authFree: true },
  { name: 'TLS, with credentials', tls: true, authFree: false },
] as const

const topics = {
  normal: 'NORMAL',
  pushed: 'NORMAL',
  'given-back': 'NORMAL',
  orders: 'FIFO',
  later: 'DELAY',
  payments: 'TRANSACTION',
  refused: 'NORMAL',
  dead: 'NORMAL',
}

const secondsMs = 1_000

export function judge(language: Language, traits: Traits, more?: (place: () => Place) => void): void {
  const toolchain = inject('toolchains')[language]
  const title = toolchain.missing === null ? language : `${language} (skipped: ${toolchain.missing})`
  describe.skipIf(toolchain.missing !== null)(title, () => {
    let home: TestHome
    let server: TestServer
    beforeAll(async () => {
      home = await temporaryHome()
      server = await home.start()
    })
    afterAll(() => home.close())

    describe.each(modes)('$name', ({ tls, authFree }) => {
      const running: ForeignClient[] = []
      let place: Place | undefined
      let account: { username: string; password: string }

      beforeAll(async () => {
        const api = sdkClient(server.ready)
        const { instanceId, endpoint } = await runningInstance(api, {
          changes: { aclInfo: new sdk.CreateInstanceRequestAclInfo({ defaultVpcAuthFree: authFree }) },
        })
        account = (await api.getInstanceAccount(instanceId, new sdk.GetInstanceAccountRequest({}))).body.data
        const client: Place['client'] = (overrides = {}) => {
          if (toolchain.missing !== null) throw new Error(toolchain.missing)
          const started = new ForeignClient(toolchain.client, {
            endpoint: traits.verifies && tls ? endpoint.replace('127.0.0.1', 'localhost') : endpoint,
            tls,
            certificate: `${home.home}/tls/tls.crt`,
            account: authFree ? null : account,
            ...overrides,
          })
          running.push(started)
          return started
        }
        const base = { server, api, instanceId, client }
        for (const [name, messageType] of Object.entries(topics)) await topic(base, name, messageType)
        const shared = client()
        await shared.do({ do: 'producer', topics: Object.keys(topics) })
        place = { ...base, shared }
      })
      afterAll(async () => {
        try {
          await place?.shared.close()
        } finally {
          for (const client of running) client.kill()
        }
      })

      const opened = (): Place => place!
      scenarios(opened, traits)
      if (!authFree) {
        it('refuses a wrong password and none', async () => {
          for (const wrong of [{ username: account.username, password: 'wrong' }, null]) {
            const client = opened().client({ account: wrong })
            const { error: atStart } = await client.ask({ do: 'producer', topics: ['normal'] })
            // Some clients start all the same, and the first send is refused.
            const { error } =
              atStart === undefined ? await client.ask({ do: 'send', topic: 'normal', body: 'x' }) : { error: atStart }
            expect(error).toBeTypeOf('string')
            client.kill()
          }
        })
      }
      more?.(opened)
    })
  })
}

function scenarios(place: () => Place, { without = {}, oneKey = false }: Traits): void {
  const named = (name: Scenario, title: string): string =>
    without[name] === undefined ? title : `${title} (skipped: ${without[name]})`

  it('sends, receives and acknowledges, with tags, keys and properties; and filters by tag and by SQL', async () => {
    for (const group of ['all', 'tagged', 'selected']) await runningGroup(place().api, place().instanceId, group)
    const client = place().shared
    const subscriptions = [
      { name: 'all', filter: '*' },
      { name: 'tagged', filter: 'even' },
      { name: 'selected', filter: "TAGS = 'odd' AND number BETWEEN 5 AND 12", sql: true },
    ]
    for (const { name, ...subscription } of subscriptions)
      await client.do({ do: 'consumer', name, group: name, topic: 'normal', ...subscription })
    const sent = new Map<string, number>()
    for (let number = 0; number < 20; number++) {
      const { messageId } = await client.do({
        do: 'send',
        topic: 'normal',
        body: `message ${number}`,
        tag: number % 2 === 0 ? 'even' : 'odd',
        keys: oneKey ? [`key-${number}`] : [`key-${number}`, 'shared'],
        properties: { number: String(number) },
      })
      sent.set(messageId!, number)
    }
    const numbers = (messages: readonly ClientMessage[]): number[] =>
      messages.map(({ messageId }) => sent.get(messageId)!).sort((a, b) => a - b)
    const all = await collect(client, 'all', 20)
    expect(numbers(all)).toEqual([...Array(20).keys()])
    for (const { messageId, body, tag, keys, properties, attempt } of all) {
      const number = sent.get(messageId)!
      expect({ body, tag, keys: [...keys].sort(), number: properties.number, attempt }).toEqual({
        body: `message ${number}`,
        tag: number % 2 === 0 ? 'even' : 'odd',
        keys: oneKey ? [`key-${number}`] : [`key-${number}`, 'shared'],
        number: String(number),
        attempt: 1,
      })
    }
    expect(numbers(await collect(client, 'tagged', 10))).toEqual([0, 2, 4, 6, 8, 10, 12, 14, 16, 18])
    expect(numbers(await collect(client, 'selected', 4))).toEqual([5, 7, 9, 11])
    for (const group of ['all', 'tagged', 'selected']) await nothingLeft(place(), group)
  })

  it.skipIf(without.push !== undefined)(named('push', 'pushes each message once'), async () => {
    await runningGroup(place().api, place().instanceId, 'pushed-to')
    const client = place().shared
    await client.do({ do: 'push', name: 'pushed', group: 'pushed-to', topic: 'pushed', filter: '*' })
    const sent: string[] = []
    for (let number = 0; number < 20; number++)
      sent.push((await client.do({ do: 'send', topic: 'pushed', body: `message ${number}` })).messageId!)
    const came = await pushedTo(client, 'pushed', 20)
    expect(came.map(({ messageId }) => messageId).sort()).toEqual([...sent].sort())
    await nothingLeft(place(), 'pushed-to')
  })

  it.skipIf(without.nack !== undefined)(
    named('nack', 'gives a message back and gets it as the second attempt'),
    async () => {
      await runningGroup(place().api, place().instanceId, 'giving-back')
      const client = place().shared
      await client.do({ do: 'consumer', name: 'giving-back', group: 'giving-back', topic: 'given-back', filter: '*' })
      const { messageId } = await client.do({ do: 'send', topic: 'given-back', body: 'again' })
      const [first] = await receive(client, 'giving-back', 1)
      expect([first!.messageId, first!.attempt]).toEqual([messageId, 1])
      await client.do({ do: 'nack', name: 'giving-back', messageId, invisibleMs: 2 * secondsMs })
      const [second] = await receive(client, 'giving-back', 1)
      expect([second!.messageId, second!.attempt]).toEqual([messageId, 2])
      await client.do({ do: 'ack', name: 'giving-back', messageId })
      await nothingLeft(place(), 'giving-back')
    },
  )

  it('keeps the order of each message group', async () => {
    await runningGroup(place().api, place().instanceId, 'ordered', { orderly: true })
    const client = place().shared
    await client.do({ do: 'consumer', name: 'ordered', group: 'ordered', topic: 'orders', filter: '*' })
    for (let number = 0; number < 12; number++)
      await client.do({ do: 'send', topic: 'orders', body: String(number), messageGroup: `customer-${number % 3}` })
    const bodies = (await collect(client, 'ordered', 12)).map(({ body }) => Number(body))
    for (const customer of [0, 1, 2])
      expect(bodies.filter((number) => number % 3 === customer)).toEqual(
        [0, 3, 6, 9].map((number) => number + customer),
      )
  })

  it('delivers a delayed message at its time and not before', async () => {
    await runningGroup(place().api, place().instanceId, 'waiting')
    const client = place().shared
    await client.do({ do: 'consumer', name: 'waiting', group: 'waiting', topic: 'later', filter: '*' })
    const from = Date.now()
    const { messageId } = await client.do({ do: 'send', topic: 'later', body: 'later', deliverInMs: 4 * secondsMs })
    const [message] = await collect(client, 'waiting', 1)
    expect(message!.messageId).toBe(messageId)
    // A client that counts in seconds asks for up to one less.
    expect(Date.now() - from).toBeGreaterThanOrEqual(3 * secondsMs)
  })

  it('shows a committed transaction and no other', async () => {
    await runningGroup(place().api, place().instanceId, 'booking')
    const client = place().shared
    await client.do({ do: 'consumer', name: 'booking', group: 'booking', topic: 'payments', filter: '*' })
    await client.do({ do: 'transaction', topic: 'payments', body: 'rolled back', end: 'rollback' })
    const { messageId } = await client.do({ do: 'transaction', topic: 'payments', body: 'committed', end: 'commit' })
    const came = await collect(client, 'booking', 1)
    expect(came.map((message) => message.messageId)).toEqual([messageId])
    await nothingLeft(place(), 'booking')
  })

  it.skipIf(without['dead letter'] !== undefined)(
    named('dead letter', 'moves a message to the dead-letter topic when its retries are used up'),
    async () => {
      const { api, instanceId } = place()
      await api.createConsumerGroup(
        instanceId,
        'refusing',
        new sdk.CreateConsumerGroupRequest({
          deliveryOrderType: 'Concurrently',
          consumeRetryPolicy: new sdk.CreateConsumerGroupRequestConsumeRetryPolicy({
            retryPolicy: 'FixedRetryPolicy',
            fixedIntervalRetryTime: shortestRetrySeconds,
            maxRetryTimes: 1,
            deadLetterTargetTopic: 'dead',
          }),
        }),
      )
      await until(
        () => api.getConsumerGroup(instanceId, 'refusing'),
        (answer: any) => answer.body.data.status === 'RUNNING',
        'the group runs',
      )
      await runningGroup(api, instanceId, 'undertaking')
      const client = place().shared
      await client.do({ do: 'consumer', name: 'dead', group: 'undertaking', topic: 'dead', filter: '*' })
      await client.do({ do: 'push', name: 'refusing', group: 'refusing', topic: 'refused', filter: '*', fail: true })
      const { messageId } = await client.do({ do: 'send', topic: 'refused', body: 'nobody wants it' })
      const attempts = await pushedTo(client, 'refusing', 2)
      expect(attempts.map((message) => [message.messageId, message.attempt])).toEqual([
        [messageId, 1],
        [messageId, 2],
      ])
      const [dead] = await collect(client, 'dead', 1)
      expect(dead!.body).toBe('nobody wants it')
    },
  )
}

const shortestRetrySeconds = 10
/** Polls of five seconds that may come back empty before what is waited for counts as lost. */
const emptyPolls = 12

export async function topic(
  { api, instanceId }: Pick<Place, 'api' | 'instanceId'>,
  name: string,
  messageType: string,
): Promise<void> {
  await api.createTopic(instanceId, name, new sdk.CreateTopicRequest({ messageType }))
  await until(
    () => api.getTopic(instanceId, name),
    (answer: any) => answer.body.data.status === 'RUNNING',
    `topic ${name} runs`,
  )
}

/** Some messages, at least one. */
async function receive(client: ForeignClient, name: string, max: number): Promise<readonly ClientMessage[]> {
  for (let empty = 0; empty < emptyPolls; empty++) {
    const { messages = [] } = await client.do({ do: 'receive', name, max, invisibleMs: 30 * secondsMs })
    if (messages.length > 0) return messages
  }
  throw new Error(`Nothing came to ${name}.`)
}

/** Receives and acknowledges so many, in the order in which they came. */
async function collect(client: ForeignClient, name: string, count: number): Promise<ClientMessage[]> {
  const all: ClientMessage[] = []
  while (all.length < count) {
    for (const message of await receive(client, name, 16)) {
      all.push(message)
      await client.do({ do: 'ack', name, messageId: message.messageId })
    }
  }
  return all
}

async function pushedTo(client: ForeignClient, name: string, count: number): Promise<readonly ClientMessage[]> {
  let came: readonly ClientMessage[] = []
  await until(
    async () => {
      came = (await client.do({ do: 'pushed', name })).messages ?? []
      return came.length
    },
    (length) => length >= count,
    `${count} messages are pushed to ${name}`,
    60,
  )
  return came
}

/** Everything was acknowledged: more would have been delivered twice. */
async function nothingLeft({ api, instanceId }: Place, group: string): Promise<void> {
  await until(
    async () =>
      (await api.getConsumerGroupLag(instanceId, group, new sdk.GetConsumerGroupLagRequest({}))).body.data.totalLag,
    ({ readyCount, inflightCount }: any) => readyCount + inflightCount === 0,
    `${group} has acknowledged everything`,
  )
}
