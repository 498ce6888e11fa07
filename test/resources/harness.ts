/**
 * The operations over a real ledger in a temporary home, with a clock the test moves: a request is
 * decoded and validated by the catalogue, as in the API, and handed to its handler. What the
 * loop would record is recorded by `applied`, so a test decides when an instance runs.
 */
import { expect } from 'vitest'
import { ApiError, refusalOf } from '../../src/catalogue/errors.ts'
import { rocketmq } from '../../src/catalogue/rocketmq/index.ts'
import type { EngineCapabilities } from '../../src/engines/engine.ts'
import { type Answers, type Ask, answerOf } from '../../src/engines/questions.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import type { Row } from '../../src/ledger/schema.ts'
import type { InstanceUsage, TopicLag } from '../../src/model/observations.ts'
import { type Call, type Handlers, type Services, WithMessage } from '../../src/resources/handler.ts'
import { handlers } from '../../src/resources/rocketmq/index.ts'
import { SimulatedClock, SimulatedRandom } from '../../src/world/simulated.ts'
import type { World } from '../../src/world/world.ts'
import { type LedgerPlace, LedgerPlaces, type LedgerTarget, ledgerTargets } from '../support/ledger.ts'

export const ACCOUNT_ID = '1234567890123456'
export const START_MS = Date.parse('2026-03-31T10:20:30.400+08:00')

/** An engine that carries everything, so that rules and not the engine decide; tests narrow it. */
export const CAPABLE: EngineCapabilities = {
  messageTypes: ['NORMAL', 'FIFO', 'DELAY', 'TRANSACTION', 'LITE', 'PRIORITY'],
  orderlyGroups: true,
  storageEncryption: true,
  highestPriority: 7,
}

/** The smallest request that is accepted. */
export const instanceBody = () => ({
  serviceCode: 'rmq',
  seriesCode: 'standard',
  subSeriesCode: 'cluster_ha',
  paymentType: 'PayAsYouGo',
  productInfo: { msgProcessSpec: 'rmq.s2.2xlarge' },
  networkInfo: {
    vpcInfo: { vpcId: 'vpc-1', vSwitches: [{ vSwitchId: 'vsw-1' }] },
    internetInfo: { internetSpec: 'disable', flowOutType: 'uninvolved' },
  },
})

export interface Request {
  readonly path?: Readonly<Record<string, string>>
  readonly query?: Readonly<Record<string, string>>
  readonly body?: unknown
  /** Defaults to cn-hangzhou. */
  readonly regionId?: string
  readonly reachedHost?: string
}

export interface Refusal {
  readonly status: number
  readonly code: string
  readonly message: string
}

const places = new LedgerPlaces()
export const clean = () => places.clean()
export const stop = () => places.stop()

export class Subject {
  readonly clock = new SimulatedClock(START_MS)
  readonly woken: string[] = []
  readonly settings = {
    accountId: ACCOUNT_ID,
    defaultRegionId: 'cn-hangzhou',
    regionIds: ['cn-hangzhou', 'ap-southeast-1'],
    timeZoneOffsetMinutes: 480,
    advertisedHost: null as string | null,
    softwareVersion: 'gantry-test',
  }
  engine: EngineCapabilities & { readonly name: string } = { name: 'test', ...CAPABLE }
  usage: InstanceUsage | null = null
  lag: readonly TopicLag[] | null = []
  /** What the engine answers besides `usage` and `lag`. */
  answers: Partial<Answers<string>> = { findMessages: () => null, traceMessage: () => null }
  ledger: Ledger
  readonly #place: LedgerPlace
  readonly #random = new SimulatedRandom(7)
  #requests = 0

  private constructor(place: LedgerPlace, ledger: Ledger) {
    this.#place = place
    this.ledger = ledger
  }

  static async start(target: LedgerTarget = ledgerTargets[0]!): Promise<Subject> {
    const place = await places.place(target)
    return new Subject(place, await place.open())
  }

  /** Closes the ledger and opens it again, as a restart does. */
  async restart(): Promise<void> {
    await this.ledger.close()
    this.ledger = await this.#place.open()
  }

  async call<T = any>(action: string, request: Request = {}): Promise<T> {
    const operation = rocketmq.operationNamed(action)
    if (operation === undefined) throw new Error(`no operation ${action}`)
    const { input, problems } = rocketmq.read(operation, {
      path: request.path ?? {},
      query: Object.entries(request.query ?? {}),
      // Tests that try one place with several operations hand the same body to all of them.
      body: operation.body === null ? undefined : request.body,
    })
    const [problem] = problems
    if (problem) throw refusalOf(problem)
    const handler = (handlers as Handlers)[action]
    if (handler === undefined) throw new Error(`no handler for ${action}`)
    return (await handler(this.#services(), this.#call(request), input)) as T
  }

  /** The refusal of a call that must be refused. */
  async refusal(action: string, request: Request = {}): Promise<Refusal> {
    const answer = await this.call(action, request).then(
      (data) => ({ data }),
      (error: unknown) => ({ error }),
    )
    if ('data' in answer) throw new Error(`${action} answered ${JSON.stringify(answer.data)} instead of refusing.`)
    if (!(answer.error instanceof ApiError)) throw answer.error
    return { status: answer.error.httpStatus, code: answer.error.code, message: answer.error.message }
  }

  async refused(action: string, request: Request, status: number, code: string, says?: string): Promise<void> {
    const refusal = await this.refusal(action, request)
    expect([refusal.status, refusal.code], refusal.message).toEqual([status, code])
    if (says !== undefined) expect(refusal.message).toContain(says)
  }

  async create(body: unknown = instanceBody(), query: Record<string, string> = {}): Promise<string> {
    const answer = await this.call<string | WithMessage<string>>('CreateInstance', { body, query })
    return answer instanceof WithMessage ? answer.data : answer
  }

  /** Created and recorded as running on port 7801 (and 7802 in public). */
  async running(body: unknown = instanceBody()): Promise<string> {
    const instanceId = await this.create(body)
    await this.applied(instanceId)
    return instanceId
  }

  get(instanceId: string, request: Request = {}): Promise<any> {
    return this.call('GetInstance', { path: { instanceId }, ...request })
  }

  async row(instanceId: string): Promise<Row<'instances'>> {
    return this.ledger.read
      .selectFrom('instances')
      .selectAll()
      .where('instance_id', '=', instanceId)
      .executeTakeFirstOrThrow()
  }

  /** What the loop records when the engine holds everything as wanted. */
  async applied(instanceId: string, ports = { vpc: 7801, internet: 7802 }): Promise<void> {
    await this.ledger.change(this.#cause(), async ({ tx }) => {
      const row = await tx
        .selectFrom('instances')
        .selectAll()
        .where('instance_id', '=', instanceId)
        .executeTakeFirstOrThrow()
      if (row.wanted === 'absent') {
        await tx.deleteFrom('instance_accounts').where('instance_id', '=', instanceId).execute()
        await tx.deleteFrom('instances').where('instance_id', '=', instanceId).execute()
        return
      }
      const isPublic = row.network_info_json.includes('"enable"')
      await tx
        .updateTable('instances')
        .set({
          applied_generation: row.generation,
          applied_revision: row.revision,
          vpc_port: ports.vpc,
          internet_port: isPublic ? ports.internet : null,
        })
        .where('instance_id', '=', instanceId)
        .execute()
      for (const table of ['topics', 'consumer_groups'] as const) {
        await tx.deleteFrom(table).where('instance_id', '=', instanceId).where('wanted', '=', 'absent').execute()
        await tx
          .updateTable(table)
          .set((of) => ({ applied_generation: of.ref('generation') }))
          .where('instance_id', '=', instanceId)
          .execute()
      }
    })
  }

  async changes(resource: string): Promise<Array<{ action: string; detail: any }>> {
    const rows = await this.ledger.read
      .selectFrom('changes')
      .selectAll()
      .where('resource', '=', resource)
      .orderBy('change_id')
      .execute()
    return rows.map((row) => ({ action: row.action, detail: JSON.parse(row.detail_json) }))
  }

  #cause() {
    return { at: this.clock.now(), requestId: 'loop', principal: 'system', action: 'Reconcile' }
  }

  #services(): Services {
    const world: World = { clock: this.clock, random: this.#random, disk: undefined as never }
    const answers = { usage: () => this.usage, lag: () => this.lag, ...this.answers } as Partial<Answers<string>>
    const ask: Ask = (instanceId, question, params) => answerOf(answers, instanceId, question, params)
    return {
      world,
      ledger: this.ledger,
      settings: this.settings,
      engine: this.engine,
      wake: (instanceId) => void this.woken.push(instanceId),
      ask,
      askBriefly: ask,
    }
  }

  #call(request: Request): Call {
    this.#requests += 1
    return {
      requestId: `REQUEST-${this.#requests}`,
      regionId: request.regionId ?? 'cn-hangzhou',
      at: this.clock.now(),
      principal: {
        kind: 'account',
        accountId: ACCOUNT_ID,
        id: ACCOUNT_ID,
        name: 'root',
        arn: `acs:ram::${ACCOUNT_ID}:root`,
        accessKeyId: 'LTAI',
      },
      once: { key: `once-${this.#requests}`, expireTimeMs: this.clock.now(), stored: false },
      reachedHost: request.reachedHost ?? 'api.example',
    }
  }
}
