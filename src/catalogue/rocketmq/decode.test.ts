/** What a request's text becomes: every query encoding of clients, the oddities that are straightened, and refusals. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decode, MAX_BODY_DEPTH, type RawRequest } from '../decode.ts'
import { rocketmq } from './index.ts'

const decoded = (action: string, raw: Partial<RawRequest>) =>
  decode(rocketmq.operationNamed(action)!, { path: {}, query: [], ...raw })

const inputOf = (action: string, raw: Partial<RawRequest>) => {
  const { input, problems } = decoded(action, raw)
  expect(problems).toEqual([])
  return input
}

describe('lists in the query', () => {
  it.each<[string, [string, string][], unknown]>([
    ['joined by commas', [['seriesCodes', 'standard,ultimate']], ['standard', 'ultimate']],
    [
      'repeated',
      [
        ['seriesCodes', 'standard'],
        ['seriesCodes', 'ultimate'],
      ],
      ['standard', 'ultimate'],
    ],
    [
      'numbered, in the order of the numbers',
      [
        ['seriesCodes.2', 'b'],
        ['seriesCodes.1', 'a'],
        ['seriesCodes.10', 'c'],
      ],
      ['a', 'b', 'c'],
    ],
    ['with blanks and empty places', [['seriesCodes', ' standard, ,ultimate,']], ['standard', 'ultimate']],
    ['of one', [['seriesCodes', 'standard']], ['standard']],
    ['empty: not sent', [['seriesCodes', '']], undefined],
  ])('%s', (_, query, wanted) => {
    expect(inputOf('ListInstances', { query })['seriesCodes']).toEqual(wanted)
  })

  it('are refused by their length before their entries', () => {
    const query: [string, string][] = [['seriesCodes', 'x,'.repeat(100_000)]]
    expect(rocketmq.read(rocketmq.operationNamed('ListInstances')!, { path: {}, query }).problems).toEqual([
      { field: 'seriesCodes', kind: 'invalid', rule: 'It has 100000 entries; it must be a list of 0 to 10 entries.' },
    ])
  })
})

describe('JSON in the query', () => {
  it.each<[string, string, unknown]>([
    ['a list', '["rmq-cn-1","rmq-cn-2"]', ['rmq-cn-1', 'rmq-cn-2']],
    ['one bare id, as the samples of the vendor have it', 'rmq-cn-1', ['rmq-cn-1']],
    ['one quoted id', '"rmq-cn-1"', ['rmq-cn-1']],
    ['a bare id that happens to be JSON', '123', ['123']],
  ])('takes %s', (_, text, wanted) => {
    expect(inputOf('TagResources', { query: [['resourceId', text]] })['resourceId']).toEqual(wanted)
  })

  it('takes numbered ids', () => {
    const query: [string, string][] = [
      ['resourceId.1', 'a'],
      ['resourceId.2', 'b'],
    ]
    expect(inputOf('TagResources', { query })['resourceId']).toEqual(['a', 'b'])
  })

  it.each(['["rmq-cn-1"', '{"a":', `${'['.repeat(40)}${']'.repeat(40)}`])('refuses %s', (text) => {
    const { input, problems } = decoded('TagResources', { query: [['resourceId', text]] })
    expect(input).not.toHaveProperty('resourceId')
    expect(problems).toMatchObject([{ field: 'resourceId', kind: 'invalid' }])
    expect(problems[0]!.rule).toContain('is not JSON; it must be JSON of a list of 1 to 50 entries')
  })

  it('does not take a bare value where none is allowed', () => {
    expect(decoded('TagResources', { query: [['tag', 'env']] }).problems).toMatchObject([{ field: 'tag' }])
  })
})

describe('numbers and booleans', () => {
  it.each<[string, unknown]>([
    ['0', 0],
    ['42', 42],
    ['9007199254740991', 9007199254740991],
  ])('reads %s', (text, wanted) => {
    expect(inputOf('GetDisasterRecoveryPlan', { path: { planId: text } })['planId']).toBe(wanted)
  })

  it.each(['1.5', '1e3', '0x10', 'ten', '9007199254740993', '99999999999999999999', '１'])('refuses %s', (text) => {
    expect(decoded('GetDisasterRecoveryPlan', { path: { planId: text } })).toEqual({
      input: {},
      problems: [{ field: 'planId', kind: 'invalid', rule: `"${text}" is not accepted; it must be an integer.` }],
    })
  })

  it.each<[string, unknown]>([
    ['true', true],
    ['True', true],
    ['false', false],
    ['', undefined],
  ])('reads "%s"', (text, wanted) => {
    expect(inputOf('UntagResources', { query: [['all', text]] })['all']).toBe(wanted)
  })

  it('refuses a boolean that is none, once, and does not call it missing too', () => {
    const { problems } = rocketmq.read(rocketmq.operationNamed('ListTraces')!, {
      path: { instanceId: 'i', topicName: 't' },
      query: [
        ['pageNumber', 'first'],
        ['pageSize', '10'],
        ['queryType', 'TOPIC'],
        ['startTime', '2022-08-01 20:05:50'],
        ['endTime', '2022-08-01 20:05:50'],
      ],
    })
    expect(problems).toEqual([
      { field: 'pageNumber', kind: 'invalid', rule: '"first" is not accepted; it must be an integer.' },
    ])
  })
})

describe('pages', () => {
  it.each<[string, string, number]>([
    ['ListInstances', '1', 10],
    ['ListInstances', '201', 200],
    ['ListInstances', '9007199254740991', 200],
    ['ListTopics', '3', 3],
    ['ListTopics', '0', 1],
    ['ListConsumerGroups', '1000', 100],
    ['ListMessages', '51', 50],
  ])('%s moves a size of %s to %i', (action, pageSize, wanted) => {
    const path = { instanceId: 'i', topicName: 't' }
    expect(inputOf(action, { path, query: [['pageSize', pageSize]] })).toMatchObject({
      pageNumber: 1,
      pageSize: wanted,
    })
  })

  it('moves the number to 1 to 100000000', () => {
    expect(inputOf('ListInstances', { query: [['pageNumber', '-5']] })['pageNumber']).toBe(1)
    expect(inputOf('ListInstances', { query: [['pageNumber', '100000001']] })['pageNumber']).toBe(100_000_000)
  })
})

describe('texts in the query', () => {
  it('counts an empty one as not sent, except where it says something', () => {
    const path = { instanceId: 'i', username: 'u' }
    expect(inputOf('GetInstanceAccount', { path, query: [['username', '']] })).not.toHaveProperty('username')
    expect(inputOf('UpdateInstanceAccount', { path, query: [['remark', '']] })).toMatchObject({ remark: '' })
  })

  it('refuses one that is given twice', () => {
    expect(
      decoded('ListInstances', {
        query: [
          ['filter', 'a'],
          ['filter', 'b'],
        ],
      }).problems,
    ).toEqual([{ field: 'filter', kind: 'invalid', rule: 'It is given 2 times; give it once.' }])
  })

  it.each([
    ['__proto__', 'x'],
    ['constructor', 'x'],
    ['toString', 'x'],
    ['instanceId', 'other'],
    ['filter.1', 'x'],
    ['Filter', 'x'],
  ])('names what is not declared: %s', (name, value) => {
    const { input, problems } = decoded('ListTopics', { path: { instanceId: 'i' }, query: [[name, value]] })
    expect(input).toEqual({ instanceId: 'i', pageNumber: 1, pageSize: 10 })
    expect(problems).toEqual([
      { field: name, kind: 'unknown', rule: expect.stringMatching(/^It would have no effect;.*\.$/) },
    ])
  })

  it("takes what Terraform's provider repeats of the path", () => {
    const query: [string, string][] = [['instanceId', 'i']]
    expect(inputOf('ListTopics', { path: { instanceId: 'i' }, query })['instanceId']).toBe('i')
  })
})

describe('bodies', () => {
  const topic = { instanceId: 'rmq-1', topicName: 't' }

  it('keep declared members only, and name the others', () => {
    const body = { instanceId: 'other', messageType: 'NORMAL', surprise: 1, nothing: null }
    const { input, problems } = decoded('CreateTopic', { path: topic, body })
    expect(input).toEqual({ ...topic, messageType: 'NORMAL' })
    expect(problems).toEqual([
      { field: 'instanceId', kind: 'unknown', rule: 'It would have no effect; it differs from the path.' },
      {
        field: 'surprise',
        kind: 'unknown',
        rule: 'It would have no effect; taken are messageType, remark, maxSendTps, liteTopicExpiration.',
      },
    ])
  })

  it.each<[string, string, Record<string, string>, unknown, string]>([
    [
      'the specification',
      'UpdateInstance',
      { instanceId: 'i' },
      { productInfo: { msgProcessSpec: 'x' } },
      'productInfo.msgProcessSpec',
    ],
    ['the edition', 'UpdateInstance', { instanceId: 'i' }, { seriesCode: 'ultimate' }, 'seriesCode'],
    ['the type of a topic', 'UpdateTopic', topic, { messageType: 'FIFO' }, 'messageType'],
    ['a member of an entry', 'CreateInstance', {}, { tags: [{ key: 'a', color: 'b' }] }, 'tags[0].color'],
    ['a parameter of the query', 'CreateInstance', {}, { clientToken: 'x' }, 'clientToken'],
  ])('cannot change what an operation does not: %s', (_, action, path, body, field) => {
    const { problems } = decoded(action, { path, body })
    expect(problems.map((problem) => [problem.field, problem.kind])).toEqual([[field, 'unknown']])
  })

  it("may repeat the path, as Terraform's provider does", () => {
    const body = { ...topic, messageType: 'NORMAL' }
    expect(inputOf('CreateTopic', { path: topic, body })).toEqual({ ...topic, messageType: 'NORMAL' })
    expect(inputOf('DeleteTopic', { path: topic, body: { body: {} } })).toEqual(topic)
    expect(inputOf('DeleteTopic', { path: topic, body: {} })).toEqual(topic)
    expect(inputOf('DeleteTopic', { path: topic, body: { instanceId: topic.instanceId } })).toEqual(topic)
  })

  it('count null as not sent', () => {
    expect(inputOf('CreateTopic', { path: topic, body: { messageType: null, remark: null } })).toEqual(topic)
  })

  it("read Terraform's zeros as not sent, where zero is no value", () => {
    const productInfo = { autoScaling: false, messageRetentionTime: 0, storageEncryption: false, sendReceiveRatio: 0 }
    expect(inputOf('CreateInstance', { body: { productInfo, period: 0 } })).toEqual({
      productInfo: { autoScaling: false, storageEncryption: false },
    })
    const consumeRetryPolicy = { retryPolicy: 'DefaultRetryPolicy', maxRetryTimes: 0 }
    expect(inputOf('UpdateConsumerGroup', { body: { consumeRetryPolicy } })).toEqual({ consumeRetryPolicy })
  })

  it('keep empty objects', () => {
    expect(inputOf('UpdateInstance', { path: { instanceId: 'i' }, body: { aclInfo: {} } })).toEqual({
      instanceId: 'i',
      aclInfo: {},
    })
  })

  it('take other spellings of some values', () => {
    expect(inputOf('CreateInstance', { body: { productInfo: { capacityType: 'ondemand' } } })).toEqual({
      productInfo: { capacityType: 'onDemand' },
    })
    const instances = [{ instanceRole: 'Passive' }]
    expect(inputOf('CreateDisasterRecoveryPlan', { body: { instances } })).toEqual({
      instances: [{ instanceRole: 'PASSIVE' }],
    })
  })

  it('take one action as a text', () => {
    expect(inputOf('CreateInstanceAcl', { body: { actions: 'Pub|Sub' } })['actions']).toEqual(['Pub|Sub'])
  })

  it.each<[string, unknown]>([
    ['a list', []],
    ['a text', 'x'],
    ['a number', 1],
  ])('cannot be %s', (_, body) => {
    expect(decoded('CreateTopic', { path: topic, body }).problems).toEqual([
      { field: 'body', kind: 'invalid', rule: 'The body must be a JSON object.' },
    ])
  })

  it('cannot nest without end', () => {
    const nested = (levels: number): unknown => (levels === 0 ? 1 : { a: nested(levels - 1) })
    const fields = (levels: number) =>
      decoded('CreateTopic', { path: topic, body: nested(levels) }).problems.map(({ field }) => field)
    expect([fields(MAX_BODY_DEPTH), fields(MAX_BODY_DEPTH + 1)]).toEqual([['a'], ['body']])
  })

  it('have no members where the operation takes none', () => {
    expect(decoded('DeleteTopic', { path: topic, body: { remark: 'x' } }).problems).toEqual([
      { field: 'remark', kind: 'unknown', rule: 'It would have no effect; nothing is taken there.' },
    ])
  })

  it('cannot reach any prototype', () => {
    const body = JSON.parse(
      '{"__proto__":{"messageType":"FIFO"},"constructor":{"prototype":{"x":1}},"message":"m","userProperties":{"__proto__":{"polluted":true},"constructor":"c"}}',
    ) as unknown
    const { input } = decoded('VerifySendMessage', { path: topic, body })
    expect(Object.keys(input)).toEqual(['message', 'userProperties', 'instanceId', 'topicName'])
    const properties = input['userProperties'] as object
    expect(Object.getPrototypeOf(properties)).toBe(Object.prototype)
    expect(Object.keys(properties)).toEqual(['__proto__', 'constructor'])
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
    expect(decoded('CreateTopic', { path: topic, body })).toEqual({
      input: topic,
      problems: ['__proto__', 'constructor', 'message', 'userProperties'].map((field) =>
        expect.objectContaining({ field, kind: 'unknown' }),
      ),
    })
  })
})

it('answers problems that name a field, or an input of declared members, whatever is sent', () => {
  const names = fc.constantFrom(
    '__proto__',
    'constructor',
    'instanceId',
    'tags',
    'pageSize',
    'seriesCodes.1',
    'resourceId',
    'x',
  )
  const leaf = fc.oneof(fc.constantFrom(null, '', 'standard', 0, -1, 1e300, true), fc.string())
  const json = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      leaf,
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(fc.string(), tie('value'), { maxKeys: 4 }),
    ),
  })).value
  const bodies = fc.constantFrom(...rocketmq.operations).chain((operation) => {
    const members = Object.keys((operation.body?.['properties'] ?? {}) as object)
    const name = members.length === 0 ? fc.string() : fc.oneof(fc.constantFrom(...members), names)
    return fc.record({
      operation: fc.constant(operation),
      body: fc.oneof(fc.dictionary(name, json), json),
      query: fc.array(
        fc.tuple(fc.oneof(names, fc.constantFrom('', ...operation.parameters.map((each) => each.name))), fc.string()),
      ),
      path: fc.dictionary(names, fc.string()),
    })
  })
  fc.assert(
    fc.property(bodies, ({ operation, ...raw }) => {
      const { input, problems } = rocketmq.read(operation, raw)
      const declared = [
        ...operation.parameters.map((each) => each.name),
        ...Object.keys((operation.body?.['properties'] ?? {}) as object),
      ]
      expect(Object.keys(input).filter((name) => !declared.includes(name))).toEqual([])
      expect(problems.length).toBeLessThanOrEqual(20)
      for (const problem of problems) {
        expect(problem.field).toMatch(/^\S/)
        expect(problem.rule).toMatch(/^.{5,600}\.$/s)
      }
      // What is read is its own fixed point: reading it again changes nothing.
      if (problems.length === 0)
        expect(rocketmq.read(operation, { path: raw.path, query: raw.query, body: raw.body }).input).toEqual(input)
    }),
    { numRuns: 500 },
  )
})
