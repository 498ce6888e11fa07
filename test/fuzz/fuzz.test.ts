/**
 * Ten thousand generated requests at all operations of the whole server: none is answered with a fault of ours, none
 * hangs, every answer has the vendor's shape, and what was refused wrote nothing. The seed of a failure is printed;
 * GANTRY_FUZZ_SEED runs it again (`random` looks elsewhere), GANTRY_FUZZ_ROUNDS runs longer.
 */
import { connect } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { rocketmq } from '../../src/catalogue/rocketmq/index.ts'
import { handlers } from '../../src/resources/rocketmq/index.ts'
import { SECRET } from '../api/captures.ts'
import { anyCall, type GeneratedCall } from './requests.ts'
import { type Answer, bodyOf, FuzzSubject, signed, type Things } from './subject.ts'

const defaultRounds = 130
const rounds = Number(process.env['GANTRY_FUZZ_ROUNDS'] ?? defaultRounds)
const callsPerRound = 50
const asked = process.env['GANTRY_FUZZ_SEED'] ?? process.env['GANTRY_TEST_SEED'] ?? '20260801'
const seed = asked === 'random' ? Math.floor(Math.random() * 2 ** 31) : Number(asked)

let subject: FuzzSubject
beforeAll(async () => {
  subject = await FuzzSubject.start()
})
afterAll(() => subject.close())

/** The failing call and the seed; fast-check's own report would print fifty requests. */
async function shortReport(details: fc.RunDetails<[GeneratedCall[]]>): Promise<void> {
  if (!details.failed) return
  const cause = details.errorInstance
  throw new Error(`round ${details.numRuns} with GANTRY_FUZZ_SEED=${seed}: ${(cause as Error | null)?.message}`, {
    cause,
  })
}

interface Tally {
  sent: number
  accepted: number
  refused: number
}

describe('whatever is sent', () => {
  it(`is answered in the vendor's shape, and refusals write nothing (seed ${seed})`, { timeout: 600_000 }, async () => {
    const prototypeBefore = Reflect.ownKeys(Object.prototype)
    const tallies = new Map<string, Tally>()
    const refusedIds = new Set<string>()
    let quietRounds = 0

    /** Sends them all, judges the answers, and gives back those that were refused. */
    async function throwAll(calls: readonly GeneratedCall[], things: Things): Promise<GeneratedCall[]> {
      const refused: GeneratedCall[] = []
      await inParallel(calls, 12, async (call) => {
        const answer = await subject.send(call, things)
        checkAnswer(call, answer)
        count(tallies, call, answer)
        if (answer.status < 400) return
        refused.push(call)
        refusedIds.add(String(answer.headers['x-acs-request-id']))
      })
      return refused
    }

    /** What was refused beside accepted writes is sent once more by itself: every row must stay as it is. */
    async function refusedAgainWithoutATrace(calls: readonly GeneratedCall[], things: Things): Promise<boolean> {
      await subject.loop.settled()
      const before = await subject.digest()
      const refused = await throwAll(calls, things)
      // A call that came too early before may be accepted now, and then says nothing.
      if (refused.length < calls.length) return false
      await subject.loop.settled()
      expect(await subject.digest(), 'refused requests changed the ledger').toBe(before)
      return true
    }

    const round = fc.array(anyCall, { minLength: callsPerRound, maxLength: callsPerRound })
    await fc.assert(
      fc.asyncProperty(round, async (calls) => {
        const things = await subject.things()
        const refused = await throwAll(calls, things)
        if (await refusedAgainWithoutATrace(refused, things)) quietRounds++
        expect(subject.errors).toEqual([])
        expect(Reflect.ownKeys(Object.prototype)).toEqual(prototypeBefore)
        expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
      }),
      { seed, numRuns: rounds, endOnFailure: true, asyncReporter: shortReport },
    )
    const changes = await subject.ledger.read.selectFrom('changes').select('request_id').distinct().execute()
    expect(changes.map((row) => row.request_id).filter((id) => refusedIds.has(id))).toEqual([])
    const total = [...tallies.values()].reduce((sum, tally) => sum + tally.sent, 0)
    report(tallies, quietRounds)
    if (rounds < defaultRounds) return
    expect(total).toBeGreaterThan(10_000)
    expect(quietRounds, 'rounds whose refusals were compared row by row').toBeGreaterThan(rounds / 4)
    expectReach(tallies)
  })
})

function checkAnswer(call: GeneratedCall, { status, headers, text }: Answer): void {
  const shown = `${call.operation?.action ?? `${call.method} ${call.template.slice(0, 80)}`} (${call.signature}, body ${call.bodyDamage}, fault ${JSON.stringify(call.input?.fault)}) answered ${status}: ${text.slice(0, 600)}`
  expect(status === 501 || status < 500, shown).toBe(true)
  if (status === 501) expect(handlers, shown).not.toHaveProperty(call.operation?.action ?? 'stray')
  expect(headers['content-type'], shown).toBe('application/json;charset=utf-8')
  const json = JSON.parse(text) as Record<string, unknown>
  if (status < 400) {
    // The health answer is the only one outside of the API.
    expect(json['success'] ?? json['status'], shown).toSatisfy((value) => value === true || value === 'ok')
    expect(call.signature, shown).toBe('valid')
    return
  }
  expect(headers['x-acs-request-id'], shown).toBe(json['RequestId'])
  for (const name of ['Code', 'Message', 'RequestId', 'HostId', 'Recommend']) {
    expect(json[name], `${name} of ${shown}`).toSatisfy((value) => typeof value === 'string' && value !== '')
  }
  expect(json, shown).toMatchObject({
    code: json['Code'],
    message: json['Message'],
    httpStatusCode: status,
    success: false,
  })
  // Clients compare the canonical request of this one with their own, whole.
  if (json['Code'] !== 'SignatureDoesNotMatch') expect(text.length, shown).toBeLessThan(20_000)
  expect(text, shown).not.toContain(SECRET)
  expect(json['Message'], shown).not.toMatch(/\bat .*\.(ts|js|mjs):\d+/)
  checkField(call, json, shown)
}

/** A refusal names the member at fault, and a value of the wrong type is always one. */
function checkField(call: GeneratedCall, json: Record<string, unknown>, shown: string): void {
  const field = json['dynamicMessage']
  // What is not found or in the wrong state is named by its value.
  const aboutField = typeof field === 'string' && /^(Missing|Invalid)/.test(json['Code'] as string)
  if (aboutField) expect(json['Message'], shown).toContain(String(field))
  const fault = call.input?.fault
  const judged = call.operation !== null && Object.hasOwn(handlers, call.operation.action)
  if (!judged || call.signature !== 'valid' || call.bodyDamage !== 'none' || fault?.kind !== 'type') return
  if (json['httpStatusCode'] !== 400 || (json['Code'] as string).includes('Path')) return
  if (Object.values(call.segments).some((segment) => 'raw' in segment)) return
  const declared = fault.path.filter((step) => typeof step === 'string').at(-1)!
  if (isDeclared(call, fault.path)) expect(json['Message'], shown).toContain(declared)
}

function isDeclared(call: GeneratedCall, path: readonly (string | number)[]): boolean {
  let schema: any = call.operation?.body
  for (const step of path) schema = typeof step === 'number' ? schema?.items : schema?.properties?.[step]
  return schema !== undefined
}

function count(tallies: Map<string, Tally>, call: GeneratedCall, answer: Answer): void {
  const name = call.operation?.action ?? 'stray'
  const tally = tallies.get(name) ?? { sent: 0, accepted: 0, refused: 0 }
  tallies.set(name, tally)
  tally.sent++
  if (answer.status < 400) tally.accepted++
  else tally.refused++
}

function report(tallies: ReadonlyMap<string, Tally>, quietRounds: number): void {
  const all = [...tallies.values()]
  const sum = (member: keyof Tally): number => all.reduce((total, tally) => total + tally[member], 0)
  console.log(
    `fuzz: ${sum('sent')} requests, ${sum('accepted')} accepted, ${sum('refused')} refused, rows compared in ${quietRounds} of ${rounds} rounds`,
  )
  if (process.env['GANTRY_FUZZ_REPORT'] !== undefined) console.table(Object.fromEntries(tallies))
}

/** A generator whose requests are all refused for the same first reason would prove little. */
function expectReach(tallies: ReadonlyMap<string, Tally>): void {
  const short = rocketmq.operations.flatMap(({ action }) => {
    const { accepted, refused } = tallies.get(action) ?? { accepted: 0, refused: 0 }
    const enough = refused > 5 && (accepted > 0 || !Object.hasOwn(handlers, action))
    return enough ? [] : [`${action}: ${accepted} accepted, ${refused} refused`]
  })
  expect(short).toEqual([])
}

describe('a few requests of their own kind', () => {
  it('bodies of ten megabytes are refused before they are kept', async () => {
    await subject.loop.settled()
    const before = await subject.digest()
    const body = Buffer.from(JSON.stringify({ remark: 'x'.repeat(10 * 1024 * 1024) }))
    for (const target of ['/instances', '/instances/x/topics/y', '/nowhere']) {
      const answer = await subject.raw('POST', target, sign('POST', target, body), body)
      expect([answer.status, JSON.parse(answer.text).Code]).toEqual([400, 'EntityTooLarge'])
      expect(JSON.parse(answer.text).Message).toMatch(/body is larger than \d+ bytes/)
    }
    expect(await subject.digest()).toBe(before)
  })

  it('header floods are refused: too many, and too long', async () => {
    const many = Object.fromEntries(Array.from({ length: 400 }, (_, index) => [`x-flood-${index}`, 'x']))
    const crowd = await subject.raw('GET', '/regions', { ...sign('GET', '/regions', null), ...many }, null)
    expect([crowd.status, JSON.parse(crowd.text).Code]).toEqual([400, 'InvalidHeader'])
    const long = { 'x-long': 'x'.repeat(100_000) }
    const flood = await subject.raw('GET', '/regions', { ...sign('GET', '/regions', null), ...long }, null)
    expect([flood.status, JSON.parse(flood.text).Code]).toEqual([431, 'InvalidHeader'])
  })

  it('a body that never ends is answered within the limit, others meanwhile at once', async () => {
    const slow = talk('POST /instances HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n{"remark":')
    const slowHead = talk('GET /regions HTTP/1.1\r\nhost: localhost\r\nx-slow: ')
    const meanwhile = await subject.raw('GET', '/regions', sign('GET', '/regions', null), null)
    expect(meanwhile.status).toBe(200)
    expect(await slow).toMatch(/^HTTP\/1\.1 408 [\s\S]*"Code":"RequestTimeout"/)
    expect(await slowHead).toMatch(/^HTTP\/1\.1 408 [\s\S]*"Code":"RequestTimeout"/)
  })

  it('the same members, names and depths that a parser could trip over are named', async () => {
    const cases: [string, RegExp][] = [
      ['{"remark":"a","remark":"b"}', /remark/],
      ['{"productInfo":{"autoScaling":true,"autoScaling":false}}', /productInfo\.autoScaling/],
      ['{"__proto__":{"x":1}}', /__proto__/],
      ['{"networkInfo":{"constructor":{"prototype":{}}}}', /constructor/],
      [`${'{"a":'.repeat(40)}1${'}'.repeat(40)}`, /nested deeper than 32/],
      ['[{"remark":"a"}]', /must be a JSON object/],
      ['{"remark":"a"', /body/],
      ['{"period":1e400}', /period/],
      ['{"remark":"\\u0000"}', /remark/],
    ]
    for (const [text, says] of cases) {
      const body = Buffer.from(text)
      const answer = await subject.raw('POST', '/instances', sign('POST', '/instances', body), body)
      expect(answer.status, answer.text).toBe(400)
      expect(JSON.parse(answer.text).Message).toMatch(says)
    }
  })

  it('and after all of it the server still answers', async () => {
    const answer = await subject.raw('GET', '/regions', sign('GET', '/regions', null), null)
    expect(answer.status).toBe(200)
    expect(subject.errors).toEqual([])
  })
})

it('a damaged body is damaged: the generator does what it says', () => {
  const call = { input: { value: { a: 1, b: 2 }, fault: { kind: 'none', path: [] } } } as unknown as GeneratedCall
  expect(bodyOf({ ...call, bodyDamage: 'doubled' })!.toString()).toBe('{"a":1,"a":1,"b":2}')
  expect(bodyOf({ ...call, bodyDamage: 'polluting' })!.toString()).toBe('{"__proto__":{"polluted":1},"a":1,"b":2}')
  expect(bodyOf({ ...call, bodyDamage: 'absent' })).toBeNull()
})

const sign = (method: string, target: string, body: Buffer | null): Record<string, string> =>
  signed(subject.port, { method, target, action: 'Any', body })

async function inParallel<T>(items: readonly T[], width: number, work: (item: T) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < items.length) await work(items[next++]!)
  }
  await Promise.all(Array.from({ length: width }, worker))
}

function talk(head: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(subject.port, '127.0.0.1', () => socket.write(head))
    let answer = ''
    socket.setEncoding('utf8')
    socket.on('data', (chunk) => {
      answer += chunk
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(answer))
  })
}
