import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { rocketmqFacts } from '../catalogue/rocketmq/product.ts'
import {
  type ConditionContext,
  evaluate,
  MAX_POLICY_LENGTH,
  type PolicyDocument,
  parsePolicy,
  type Statement,
} from './policy.ts'
import { resourceName } from './resource-name.ts'
import { matchesWildcard } from './wildcard.ts'

const { resources } = rocketmqFacts
const owner = { regionId: 'cn-hangzhou', accountId: '1000000000000001' }
const input = { instanceId: 'rmq-cn-1', topicName: 'TopicA', consumerGroupId: 'GroupA' }
const topic = resourceName(resources.topic, owner, input)
const everything: Statement = { Effect: 'Allow', Action: '*', Resource: '*' }

const decide = (
  statements: Statement | readonly Statement[],
  { action = 'rocketmq:GetTopic', resource = topic, context = {} as ConditionContext } = {},
) => evaluate([unparsed({ Version: '1', Statement: statements })], { action, resource, context })

/** As if it had been stored by something that does not parse: the evaluator must not rely on it. */
const unparsed = (document: unknown) => document as PolicyDocument

describe('resource names', () => {
  it.each([
    ['any', '*'],
    ['newInstance', 'acs:rocketmq:cn-hangzhou:1000000000000001:Instance/*'],
    ['anyInstance', 'acs:rocketmq:cn-hangzhou:1000000000000001:instance/*'],
    ['instance', 'acs:rocketmq:cn-hangzhou:1000000000000001:instance/rmq-cn-1'],
    ['topic', 'acs:rocketmq:cn-hangzhou:1000000000000001:instance/rmq-cn-1/topic/TopicA'],
    ['group', 'acs:rocketmq:cn-hangzhou:1000000000000001:instance/rmq-cn-1/consumergroup/GroupA'],
  ] as const)('%s', (kind, name) => expect(resourceName(resources[kind], owner, input)).toBe(name))

  it('takes resourceId where an operation has no instanceId', () =>
    expect(resourceName(resources.instance, owner, { resourceId: 'rmq-cn-2' })).toMatch(/:instance\/rmq-cn-2$/))

  it('takes nothing that an object has by nature, and no place out of an input', () => {
    expect(resourceName('x/{constructor}/{a}/{b}', owner, { a: '{b}', b: 'y' })).toBe('x/*/{b}/y')
  })
})

describe('a statement', () => {
  it.each<[string, Statement | Statement[], 'Allow' | 'ExplicitDeny' | 'ImplicitDeny']>([
    ['nothing said', [], 'ImplicitDeny'],
    ['everything', everything, 'Allow'],
    ['deny after allow', [everything, { ...everything, Effect: 'Deny' }], 'ExplicitDeny'],
    ['deny before allow', [{ ...everything, Effect: 'Deny' }, everything], 'ExplicitDeny'],
    ['action in another case', { ...everything, Action: 'ROCKETMQ:gettopic' }, 'Allow'],
    ['action by wildcard', { ...everything, Action: ['mq:*', 'rocketmq:Get*'] }, 'Allow'],
    ['action by ?', { ...everything, Action: 'rocketmq:GetTopi?' }, 'Allow'],
    ['another action', { ...everything, Action: 'rocketmq:List*' }, 'ImplicitDeny'],
    ['NotAction of another', { Effect: 'Allow', NotAction: 'rocketmq:Delete*', Resource: '*' }, 'Allow'],
    ['NotAction of this', { Effect: 'Allow', NotAction: 'rocketmq:Get*', Resource: '*' }, 'ImplicitDeny'],
    ['neither Action nor NotAction', { Effect: 'Allow', Resource: '*' }, 'ImplicitDeny'],
    ['instance and below', { ...everything, Resource: 'acs:rocketmq:*:*:instance/rmq-cn-1*' }, 'Allow'],
    ['empty region and account', { ...everything, Resource: 'acs:rocketmq:::instance/rmq-cn-1/topic/*' }, 'Allow'],
    ['the whole service', { ...everything, Resource: 'acs:rocketmq:*' }, 'Allow'],
    ['another region', { ...everything, Resource: 'acs:rocketmq:cn-beijing:*:*' }, 'ImplicitDeny'],
    ['topic name in another case', { ...everything, Resource: '*/topic/topica' }, 'ImplicitDeny'],
    ['an effect we do not know', { ...everything, Effect: 'Perhaps' as 'Deny' }, 'ExplicitDeny'],
  ])('%s', (_, statements, decision) => expect(decide(statements)).toBe(decision))

  it('lets instance/* create instances, although the vendor writes Instance/*', () =>
    expect(
      decide(
        { ...everything, Resource: 'acs:rocketmq:*:*:instance/*' },
        { resource: resourceName(resources.newInstance, owner, {}) },
      ),
    ).toBe('Allow'))
})

describe('a condition', () => {
  const context = {
    'acs:SourceIp': '192.0.2.7',
    'acs:CurrentTime': '2026-01-02T03:04:05Z',
    'acs:SecureTransport': 'false',
    'acs:RequestTag/env': 'Test',
    'acs:RequestTag/count': '10',
  } as const
  it.each<[string, string, string | string[], boolean]>([
    ['IpAddress', 'acs:SourceIp', '192.0.2.0/24', true],
    ['IpAddress', 'acs:SourceIp', ['10.0.0.0/8', '192.0.2.7'], true],
    ['IpAddress', 'acs:SourceIp', '192.0.2.8/29', false],
    ['IpAddress', 'acs:SourceIp', '0.0.0.0/0', true],
    ['NotIpAddress', 'acs:SourceIp', '192.0.2.0/24', false],
    ['NotIpAddress', 'acs:SourceIp', '10.0.0.0/8', true],
    ['StringEquals', 'acs:RequestTag/env', 'test', false],
    ['StringEqualsIgnoreCase', 'acs:RequestTag/env', 'test', true],
    ['StringNotEquals', 'acs:RequestTag/env', ['Test', 'Prod'], false],
    ['StringNotEqualsIgnoreCase', 'acs:RequestTag/env', 'prod', true],
    ['StringLike', 'acs:RequestTag/env', 'T*t', true],
    ['StringNotLike', 'acs:RequestTag/env', 'P*', true],
    ['NumericEquals', 'acs:RequestTag/count', '10.0', true],
    ['NumericNotEquals', 'acs:RequestTag/count', '10', false],
    ['NumericLessThan', 'acs:RequestTag/count', '10', false],
    ['NumericLessThanEquals', 'acs:RequestTag/count', '10', true],
    ['NumericGreaterThan', 'acs:RequestTag/count', '9', true],
    ['DateLessThan', 'acs:CurrentTime', '2026-01-02T11:04:06+08:00', true],
    ['DateLessThan', 'acs:CurrentTime', '2026-01-02T11:04:05+08:00', false],
    ['DateGreaterThanEquals', 'acs:CurrentTime', '2026-01-02T03:04:05Z', true],
    ['Bool', 'acs:SecureTransport', 'true', false],
    ['Bool', 'acs:SecureTransport', 'false', true],
    ['StringEquals', 'acs:RequestTag/absent', 'x', false],
    ['StringNotEquals', 'acs:RequestTag/absent', 'x', true],
    ['Bool', 'acs:MFAPresent', 'true', false],
  ])('%s %s %j → %s', (operator, key, values, holds) => {
    const statement = { ...everything, Condition: { [operator]: { [key]: values } } }
    expect(decide(statement, { context })).toBe(holds ? 'Allow' : 'ImplicitDeny')
    expect(decide([everything, { ...statement, Effect: 'Deny' }], { context })).toBe(holds ? 'ExplicitDeny' : 'Allow')
  })

  it('needs every operator and every key', () => {
    const Condition = { StringEquals: { 'acs:RequestTag/env': 'Test', 'acs:RequestTag/count': '11' } }
    expect(decide({ ...everything, Condition }, { context })).toBe('ImplicitDeny')
  })

  it.each<[string, string, boolean]>([
    ['2001:db8::1', '2001:db8::/32', true],
    ['2001:db8::1', '2001:db9::/32', false],
    ['2001:db8::1', '0.0.0.0/0', false],
    ['::ffff:192.0.2.7', '192.0.2.0/24', true],
  ])('finds the address %s in %s: %s', (address, range, holds) => {
    const Condition = { IpAddress: { 'acs:SourceIp': range } }
    const found = decide({ ...everything, Condition }, { context: { 'acs:SourceIp': address } })
    expect(found).toBe(holds ? 'Allow' : 'ImplicitDeny')
  })

  it.each<[string, string, string]>([
    ['an unknown operator', 'StringStartsWith', 'acs:RequestTag/env'],
    ['an unknown key', 'StringEquals', 'acs:SourceVpc'],
    ['an unknown key of a negated operator', 'StringNotEquals', 'acs:SourceVpc'],
    ['a key in another case', 'StringNotEquals', 'acs:useragent'],
    ['a value that does not parse', 'IpAddress', 'acs:SourceIp'],
    ['a value that does not parse, negated', 'NotIpAddress', 'acs:SourceIp'],
    ['an operator for another kind of key', 'DateNotEquals', 'acs:SourceIp'],
    ...['constructor', '__proto__', 'toString', 'hasOwnProperty'].flatMap((name): [string, string, string][] => [
      [`the operator ${name}`, name, 'acs:SourceIp'],
      [`the key ${name}`, 'StringNotEquals', name],
      [`the key ${name}, compared with what every object has`, 'StringLike', name],
    ]),
  ])('with %s works against the caller', (_, operator, key) => {
    const Condition = JSON.parse(`{"${operator}":{"${key}":["*","no-address"]}}`)
    expect(decide({ ...everything, Condition }, { context })).toBe('ImplicitDeny')
    expect(decide([everything, { ...everything, Effect: 'Deny', Condition }], { context })).toBe('ExplicitDeny')
    expect(() => parsePolicy(JSON.stringify({ Version: '1', Statement: { ...everything, Condition } }))).toThrow(
      /is not known|compares values|is not of the kind/,
    )
  })

  it('that cannot be judged does not make a Deny apply where another condition fails', () => {
    const Condition = { StringStartsWith: { 'acs:RequestTag/env': 'T' }, Bool: { 'acs:SecureTransport': 'true' } }
    expect(decide([everything, { ...everything, Effect: 'Deny', Condition }], { context })).toBe('Allow')
  })

  it('on a tag takes every name of a tag', () => {
    for (const name of ['constructor', '__proto__', 'toString']) {
      const Condition = JSON.parse(`{"StringEquals":{"acs:RequestTag/${name}":"x"}}`)
      const document = parsePolicy(JSON.stringify({ Version: '1', Statement: { ...everything, Condition } }))
      const request = { action: 'rocketmq:GetTopic', resource: topic }
      expect(evaluate([document], { ...request, context: {} })).toBe('ImplicitDeny')
      const context = Object.fromEntries([[`acs:RequestTag/${name}`, 'x']])
      expect(evaluate([document], { ...request, context })).toBe('Allow')
    }
  })
})

it('a Deny is never undone by anything added to it', () => {
  const statement = fc.record({
    Effect: fc.constantFrom('Allow', 'Deny') as fc.Arbitrary<'Allow' | 'Deny'>,
    Action: fc.constantFrom('*', 'rocketmq:Get*', 'rocketmq:List*'),
    Resource: fc.constantFrom('*', 'acs:rocketmq:*:*:instance/*', 'acs:rocketmq:cn-beijing:*:*'),
  })
  fc.assert(
    fc.property(fc.array(statement), fc.array(statement), (some, more) => {
      if (decide(some) === 'ExplicitDeny') expect(decide([...more, ...some])).toBe('ExplicitDeny')
      if (decide(some) === 'Allow') expect(decide([...some, ...more])).not.toBe('ImplicitDeny')
    }),
  )
})

it('wildcards agree with the obvious regular expression, and do not explode', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?', '/'), maxLength: 12 })
  fc.assert(
    fc.property(letters, fc.string({ unit: fc.constantFrom('a', 'b', '/'), maxLength: 12 }), (pattern, text) => {
      const expression = new RegExp(`^${pattern.replaceAll('*', '.*').replaceAll('?', '.')}$`)
      expect(matchesWildcard(pattern, text)).toBe(expression.test(text))
    }),
  )
  expect(matchesWildcard(`${'*a'.repeat(50)}b`, 'a'.repeat(5_000))).toBe(false)
})

describe('a document that is written', () => {
  const parse = (document: unknown) => parsePolicy(JSON.stringify(document))

  it('is what it was, when it is sound', () => {
    const document = {
      Version: '1',
      Statement: [
        {
          Effect: 'Allow',
          Action: ['rocketmq:Get*', 'rocketmq:ListInstances'],
          Resource: ['acs:rocketmq:cn-hangzhou:1000000000000001:instance/rmq-cn-x*'],
          Condition: { IpAddress: { 'acs:SourceIp': ['192.0.2.0/24'] } },
        },
      ],
    }
    expect(parse(document)).toEqual(document)
  })

  it.each<[unknown, RegExp]>([
    [null, /JSON object/],
    [{ Version: 1, Statement: [everything] }, /Version/],
    [{ Version: '1', Statement: [everything], Id: 'x' }, /"Id" is not supported/],
    [{ Version: '1', Statement: [] }, /empty/],
    [{ Version: '1' }, /Statement 1: it must be an object/],
    [{ Version: '1', Statement: [{ ...everything, Effect: 'allow' }] }, /Effect/],
    [{ Version: '1', Statement: [{ ...everything, NotAction: '*' }] }, /exactly one/],
    [{ Version: '1', Statement: [{ ...everything, Action: 'GetTopic' }] }, /Action "GetTopic" is not service:Action/],
    [{ Version: '1', Statement: [{ ...everything, Resource: 'instance/x' }] }, /begins with acs:/],
    [{ Version: '1', Statement: [{ Effect: 'Deny', Action: '*' }] }, /Resource/],
    [{ Version: '1', Statement: [{ ...everything, Principal: '*' }] }, /Principal/],
    [{ Version: '1', Statement: [{ ...everything, Condition: { Odd: {} } }] }, /"Odd" is not known; known are/],
    [{ Version: '1', Statement: [{ ...everything, Condition: { StringLike: { k: 'x' } } }] }, /"k" is not known here/],
    [{ Version: '1', Statement: [{ ...everything, Condition: { Bool: { k: 1 } } }] }, /Bool\."k"/],
    [
      { Version: '1', Statement: [{ ...everything, Condition: { IpAddress: { 'acs:SourceIp': '192.0.2.0/33' } } }] },
      /has "192.0.2.0\/33", which is not of the kind address/,
    ],
  ])('%j is refused', (document, problem) => expect(() => parse(document)).toThrow(problem))

  it('is refused when it is no JSON, or too long', () => {
    expect(() => parsePolicy('{')).toThrow(/not JSON/)
    expect(() => parsePolicy(' '.repeat(MAX_POLICY_LENGTH + 1))).toThrow(/at most 6144/)
  })
})
