/**
 * One instance over a simulated clock and disk, spoken to in lines of text. What it writes to its log is shown as events,
 * each by its fields that matter, then the answer after `=>`. Messages are named by their bodies; times count from the start.
 */

import { compileSql, type Delivery, type LiteOffset, type SqlFilter } from '../../src/broker/broker.ts'
import { decodeEvent } from '../../src/broker/core/event-codec.ts'
import type { BrokerShell } from '../../src/broker/shell/broker-shell.ts'
import { openShell } from '../../src/broker/shell/open.ts'
import type { GroupSpec, MessageType, TopicSpec } from '../../src/model/instances.ts'
import { BrokerRefusal } from '../../src/model/refusals.ts'
import { SimulatedClock, SimulatedRandom, settle } from '../../src/world/simulated.ts'
import { SimulatedDisk } from '../../src/world/simulated-disk.ts'
import { Mortal } from '../simulation/mortal.ts'
import { checkState } from '../support/check-state.ts'
import { describeEvent, timeText } from './events.ts'

const HOUR = 3_600_000
const never = new AbortController().signal

/** `word word key=value 'a text'`: words in order, options by their keys. */
interface Line {
  readonly verb: string
  readonly words: readonly string[]
  readonly options: Readonly<Record<string, string>>
}

export class Conversation {
  readonly #clock = new SimulatedClock()
  readonly #startMs = this.#clock.now()
  readonly #random = new SimulatedRandom(1)
  readonly #disk = new SimulatedDisk({ random: this.#random })
  readonly #filters = new Map<string, SqlFilter>()
  /** By group and body, the latest handle. */
  readonly #handles = new Map<string, string>()
  /** By body, what its send answered. */
  readonly #sent = new Map<string, { recallHandle: string | null; transactionId: string | null; topic: string }>()
  readonly #asked: string[] = []
  #retentionMs = 72 * HOUR
  #broker!: BrokerShell
  #process!: Mortal
  #seenTo = 0
  #count = 0

  static async begin(): Promise<Conversation> {
    const made = new Conversation()
    await made.#open()
    return made
  }

  async end(): Promise<void> {
    await this.#broker.close()
  }

  /** What the instance wrote to its log for this line, and what it answered. */
  async say(text: string): Promise<string[]> {
    const line = parse(text)
    let answer: string[]
    try {
      answer = await this.#carryOut(line)
    } catch (error) {
      if (!(error instanceof BrokerRefusal)) throw error
      answer = [`refused ${error.code}: ${error.message}`]
    }
    await settle()
    checkState(this.#broker.state)
    const events = await this.#events()
    return [...events, ...this.#asked.splice(0), ...answer.map((one) => `=> ${one}`)]
  }

  async #open(): Promise<void> {
    this.#process = new Mortal(this.#clock, this.#disk.boot())
    const { clock, disk } = this.#process
    this.#broker = await openShell({
      world: { clock, random: this.#random, disk },
      directory: '/instance',
      settings: this.#settings(),
      segmentBytes: 64 * 1_024,
      report: (error) => void this.#asked.push(`reported: ${(error as Error).message}`),
    })
    this.#broker.transactions.addTransactionChecker({
      canAsk: () => true,
      ask: async ({ messageId }) => void this.#asked.push(`the producer is asked about ${this.#bodyOf(messageId)}`),
    })
    this.#broker.lite.onTopicLost((clientId, liteTopic) =>
      this.#asked.push(`${clientId} is told that it lost ${liteTopic}`),
    )
    this.#seenTo = this.#broker.log.end
  }

  #settings() {
    return { retentionMs: this.#retentionMs, sendTps: 1e9, receiveTps: 1e9, maxDelayMs: 40 * 24 * HOUR }
  }

  async #events(): Promise<string[]> {
    const { log, state } = this.#broker
    const shown: string[] = []
    for await (const { position, payload } of log.scan(this.#seenTo)) {
      if (position < this.#seenTo) continue
      const event = decodeEvent(payload)
      if (event.type !== 'time') shown.push(describeEvent(state, event, this.#startMs))
    }
    this.#seenTo = log.end
    return shown
  }

  async #carryOut({ verb, words, options }: Line): Promise<string[]> {
    const [one = '', two = '', ...more] = words
    switch (verb) {
      case 'topic':
        await this.#broker.administration.ensureTopics([topicSpec(one, options)])
        return []
      case 'group':
        await this.#broker.administration.ensureGroups([groupSpec(one, options, words)])
        return []
      case 'remove':
        if (one === 'group') await this.#broker.administration.removeGroup(two)
        else await this.#broker.administration.removeTopic(two)
        return []
      case 'heard':
        this.#broker.consuming.clientAlive(one)
        return []
      case 'gone':
        this.#broker.consuming.clientGone(one)
        return []
      case 'send':
        return this.#send(one, words.slice(1), options)
      case 'receive':
        return this.#receive(one, two, options)
      case 'ack': {
        const handles = [two, ...more].map((body) => this.#handleOf(options['of'] ?? one, body))
        const outcomes = await this.#broker.consuming.ack({
          group: one,
          topic: options['topic']!,
          handles,
          clientId: clientOf(options),
        })
        return [outcomes.map(({ outcome }) => outcome).join(', ')]
      }
      case 'invisible': {
        const request = {
          group: one,
          topic: options['topic']!,
          handle: this.#handleOf(one, two),
          clientId: clientOf(options),
        }
        const suspend = words.includes('suspend')
        const { outcome } = await this.#broker.consuming.changeInvisible({
          ...request,
          invisibleMs: msOf(options['for']!),
          suspend,
        })
        return [outcome]
      }
      case 'wait':
        await this.#clock.advance(msOf(one))
        return []
      case 'kill':
      case 'restart':
        if (verb === 'restart') await this.#broker.close()
        this.#process.kill()
        if (verb === 'kill') this.#disk.powerCut()
        await this.#open()
        return []
      case 'recall': {
        const { recallHandle, topic } = this.#sent.get(one)!
        await this.#broker.producing.recall({ topic, handle: recallHandle! })
        return ['recalled']
      }
      case 'end': {
        const { transactionId, topic } = this.#sent.get(one)!
        const resolution = two as 'commit' | 'rollback' | 'unknown'
        const { outcome, as } = await this.#broker.transactions.end({
          topic,
          transactionId: transactionId!,
          resolution,
        })
        return [as ? `${outcome} as ${as}` : outcome]
      }
      case 'reset': {
        const toMs = options['to'] === 'latest' ? null : this.#clock.now() - msOf(options['to']!)
        await this.#broker.offsets.reset({
          resetId: options['id'] ?? 'reset',
          consumerGroupId: one,
          topicName: two,
          toMs,
        })
        return []
      }
      case 'lag':
        return (await this.#broker.offsets.lag(one)).map(
          ({ topicName, readyCount, inflightCount }) => `${topicName}: ${readyCount} ready, ${inflightCount} in flight`,
        )
      case 'retention':
        this.#retentionMs = msOf(one)
        this.#broker.administration.configure(this.#settings())
        return []
      case 'subscribe': {
        const offset = offsetOf(options['from'])
        const action = (options['action'] ?? 'add') as 'add'
        const request = { group: one, topic: two, liteTopics: more, version: null, action, offset }
        await this.#broker.lite.sync({ ...request, clientId: clientOf(options) })
        return []
      }
      default:
        throw new Error(`A transcript says "${verb}", which means nothing here.`)
    }
  }

  async #send(topic: string, bodies: readonly string[], options: Line['options']): Promise<string[]> {
    const properties = Object.fromEntries(Object.entries(options).filter(([key]) => key.startsWith('.')))
    const receipts = await this.#broker.producing.send({
      topic,
      clientId: 'producer',
      messages: bodies.map((body) => ({
        messageId: `${body} ${this.#count++}`,
        tag: options['tag'] ?? null,
        payload: Buffer.from(JSON.stringify({ body, properties })),
        bodyBytes: body.length,
        messageGroup: options['group'] ?? null,
        priority: options['priority'] ? Number(options['priority']) : null,
        liteTopic: options['lite'] ?? null,
        deliverAtMs: options['in'] ? this.#clock.now() + msOf(options['in']) : null,
        transactional: options['half'] === 'yes',
      })),
    })
    receipts.forEach(({ recallHandle = null, transactionId = null }, i) => {
      this.#sent.set(bodies[i]!, { recallHandle, transactionId, topic })
    })
    return [`stored ${receipts.length}`]
  }

  async #receive(group: string, topic: string, options: Line['options']): Promise<string[]> {
    const waitMs = options['wait'] ? msOf(options['wait']) : 0
    const request = {
      ...{ group, topic, max: Number(options['max'] ?? 32), waitMs, autoRenew: options['renewed'] === 'yes' },
      ...{ invisibleMs: msOf(options['invisible'] ?? '30s'), clientId: clientOf(options) },
      ...{ attemptId: options['attempt'] ?? null, filter: this.#filterOf(options) },
    }
    if (waitMs > 0) {
      // Left open: what it gets is shown with the line that brings it.
      void this.#broker.consuming.receive(request, never).then(
        (deliveries) => {
          for (const line of this.#got(group, deliveries)) this.#asked.push(`${request.clientId} gets ${line}`)
        },
        (error: Error) => void this.#asked.push(`${request.clientId} is refused: ${error.message}`),
      )
      await this.#clock.advance(0)
      return []
    }
    let got: Delivery[] | null = null
    const answer = this.#broker.consuming.receive(request, never).then((deliveries) => {
      got = deliveries
    })
    // A refusal is thrown below, where it is awaited.
    answer.catch(() => {})
    // An expression is evaluated in turns of its own.
    for (let turn = 0; got === null && turn < 100; turn++) await this.#clock.advance(0)
    await answer
    return this.#got(group, got!)
  }

  /** What a receive answered; its handles are remembered. */
  #got(group: string, deliveries: readonly Delivery[]): string[] {
    if (deliveries.length === 0) return ['no message']
    return deliveries.map(({ payload, attempt, handle, deadLetterOf }) => {
      const { body } = JSON.parse(Buffer.from(payload).toString()) as { body: string }
      this.#handles.set(`${group} ${body}`, handle)
      return `${body}, attempt ${attempt}${deadLetterOf ? `, a dead letter of ${deadLetterOf.topicName}` : ''}`
    })
  }

  #filterOf({ tags, sql }: Line['options']) {
    if (tags !== undefined) return new Set(tags.split('||').map((tag) => tag.trim()))
    if (sql === undefined) return null
    let filter = this.#filters.get(sql)
    if (!filter) {
      const { matches } = compileSql(sql)
      const passes = (payload: Uint8Array) => {
        const { properties } = JSON.parse(Buffer.from(payload).toString()) as { properties: Record<string, string> }
        return matches((name) => properties[`.${name}`] ?? null)
      }
      filter = { sql, passes }
      this.#filters.set(sql, filter)
    }
    return filter
  }

  #handleOf(group: string, body: string): string {
    const handle = this.#handles.get(`${group} ${body}`)
    if (handle === undefined) throw new Error(`${group} was not given ${body}.`)
    return handle
  }

  #bodyOf(messageId: string): string {
    return `${messageId.split(' ')[0]} at ${timeText(this.#clock.now(), this.#startMs)}`
  }
}

function parse(text: string): Line {
  const parts = text.match(/(?:'[^']*'|[^\s'])+/g) ?? []
  const [verb = '', ...rest] = parts
  const words = rest.filter((part) => !/^[.\w]+=/.test(part))
  const options = rest
    .filter((part) => /^[.\w]+=/.test(part))
    .map((part) => [part.slice(0, part.indexOf('=')), part.slice(part.indexOf('=') + 1).replace(/^"|"$/g, '')] as const)
  return { verb, words, options: Object.fromEntries(options.map(([key, value]) => [key, value.replaceAll('~', ' ')])) }
}

const clientOf = (options: Line['options']): string => options['client'] ?? 'client'

function msOf(text: string): number {
  const found = /^(\d+)(ms|s|m|h)$/.exec(text)
  if (!found) throw new Error(`"${text}" is no duration: 500ms, 30s, 5m, 2h.`)
  return Number(found[1]) * { ms: 1, s: 1_000, m: 60_000, h: HOUR }[found[2] as 'ms' | 's' | 'm' | 'h']
}

function offsetOf(text: string | undefined): LiteOffset | null {
  if (text === undefined) return null
  return text === 'first' || text === 'last' ? { from: text } : { from: 'offset', offset: Number(text) }
}

function topicSpec(topicName: string, options: Line['options']): TopicSpec {
  const spec = { topicName, generation: 1, messageType: (options['type'] ?? 'NORMAL') as MessageType, maxSendTps: null }
  return options['expires'] ? { ...spec, liteExpirationMs: msOf(options['expires']) } : spec
}

function groupSpec(consumerGroupId: string, options: Line['options'], words: readonly string[]): GroupSpec {
  return {
    ...{ consumerGroupId, generation: 1, orderly: words.includes('orderly'), maxReceiveTps: null },
    maxRetryTimes: Number(options['retries'] ?? 16),
    retry: { kind: 'default' },
    deadLetterTopic: options['deadLetters'] ?? null,
    lite: options['lite'] ? { topicName: options['lite'], exclusive: words.includes('exclusive') } : null,
  }
}
