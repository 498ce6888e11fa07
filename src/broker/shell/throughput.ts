/**
 * Rate limits: the instance's send and receive budgets with the capacity behind them, each topic's
 * `maxSendTps`, each group's `maxReceiveTps`. A refusal names the limit that was reached.
 */
import type { BrokerSettings, SendRequest } from '../broker.ts'
import { type Capacity, makeCapacity, thresholdAt, used, wanted } from '../core/capacity.ts'
import { codes, type Refusal } from '../core/refusal.ts'
import type { Subscription, Topic } from '../core/state.ts'
import { type Bucket, makeBucket, open, opensAt, setRate, spend, typeWeight, units } from '../core/throttle.ts'
import { refuse } from './refusals.ts'

type Settings = Pick<BrokerSettings, 'sendTps' | 'receiveTps' | 'elasticity' | 'writePause'>

/** While nothing may be delivered, how soon a receive that waits is looked at again. */
const LOOK_AGAIN_MS = 1_000

export class Throughput {
  #settings: Settings
  readonly #send: Bucket
  readonly #receive: Bucket
  #capacity: Capacity | null

  constructor(settings: Settings, at: number) {
    this.#settings = settings
    this.#send = makeBucket(settings.sendTps, at)
    this.#receive = makeBucket(settings.receiveTps, at)
    this.#capacity = capacityOf(settings, at)
  }

  configure(settings: Settings, at: number): void {
    const before = this.#settings
    this.#settings = settings
    const same =
      before.sendTps + before.receiveTps === settings.sendTps + settings.receiveTps &&
      JSON.stringify(before.elasticity ?? null) === JSON.stringify(settings.elasticity ?? null)
    // What was scaled out stays when only the ratio of the directions changes.
    if (!same) this.#capacity = capacityOf(settings, at)
    this.#setRates(at)
  }

  /** Spends what these messages cost; throws a `BrokerRefusal` that names the limit, and then has spent nothing. */
  send(topic: Topic, messages: SendRequest['messages'], at: number): void {
    const refusal = this.#refuseSend(topic, at)
    if (refusal) throw refuse(refusal)
    const weight = typeWeight(topic.settings.messageType)
    let cost = 0
    for (const message of messages) cost += units(message.bodyBytes, weight)
    spend(this.#send, cost)
    spend(topic.sendBucket, cost)
    if (this.#capacity) used(this.#capacity, cost, at)
  }

  refuseReceive({ group }: Pick<Subscription, 'group'>, at: number): Refusal | null {
    this.#follow(at)
    if (!open(this.#receive, at)) return this.#refuse('receives', this.#receive, at)
    if (open(group.receiveBucket, at)) return null
    const { consumerGroupId, maxReceiveTps } = group.settings
    return {
      code: codes.tooManyRequests,
      message: `group ${consumerGroupId} gets ${maxReceiveTps} messages a second (maxReceiveTps); receive slower or raise it`,
    }
  }

  /** When a receive that waits may be given something: now, later, or never at a rate of zero. */
  receivesAt({ group }: Pick<Subscription, 'group'>, at: number): number {
    if ((this.#settings.writePause ?? null) !== null) return at + LOOK_AGAIN_MS
    this.#follow(at)
    return Math.max(opensAt(this.#receive, at), opensAt(group.receiveBucket, at))
  }

  /** `plainUnits`: before the weight of the topic's type. */
  spendReceive({ group, topic }: Pick<Subscription, 'group' | 'topic'>, plainUnits: number, at: number): void {
    const cost = plainUnits * typeWeight(topic.settings.messageType)
    spend(this.#receive, cost)
    spend(group.receiveBucket, cost)
    if (this.#capacity && cost > 0) used(this.#capacity, cost, at)
  }

  #refuseSend(topic: Topic, at: number): Refusal | null {
    this.#follow(at)
    if (!open(this.#send, at)) return this.#refuse('sends', this.#send, at)
    if (open(topic.sendBucket, at)) return null
    const { topicName, maxSendTps } = topic.settings
    return {
      code: codes.tooManyRequests,
      message: `topic ${topicName} takes ${maxSendTps} messages a second (maxSendTps); send slower or raise it`,
    }
  }

  #refuse(what: 'sends' | 'receives', { perSecond }: Bucket, at: number): Refusal {
    const growing = this.#capacity !== null
    if (this.#capacity) wanted(this.#capacity, at)
    const advice = growing
      ? 'the instance is scaling out; try again in some minutes'
      : 'slow down or choose a larger specification'
    return {
      code: codes.tooManyRequests,
      message: `the instance's budget of ${perSecond} ${what} a second is used up (a message counts once for each 4 KiB, five times when ordered, delayed or transactional); ${advice}`,
    }
  }

  #follow(at: number): void {
    if (!this.#capacity) return
    const before = this.#capacity.tps
    if (thresholdAt(this.#capacity, at) !== before) this.#setRates(at)
  }

  /** The directions share the capacity as the settings' first budgets do. */
  #setRates(at: number): void {
    const { sendTps, receiveTps } = this.#settings
    const tps = this.#capacity?.tps ?? sendTps + receiveTps
    const send = this.#capacity ? Math.round(tps * (sendTps / (sendTps + receiveTps))) : sendTps
    setRate(this.#send, send, at)
    setRate(this.#receive, this.#capacity ? tps - send : receiveTps, at)
  }
}

const capacityOf = ({ sendTps, receiveTps, elasticity }: Settings, at: number): Capacity | null =>
  elasticity ? makeCapacity(sendTps + receiveTps, elasticity, at) : null
