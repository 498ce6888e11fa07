/** What a grant allows: the rule, its table, its properties, and that an answer is remembered and bounded. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { GrantAction, GrantSpec } from '../model/instances.ts'
import { Authorizer, decide, needsOf, rememberedAnswers, type Use, type User, type Verdict } from './grants.ts'

type OneUse = Use & { readonly action: GrantAction }

/** `Allow Pub|Sub Topic orders-* 10.0.0.0/8` */
function grant(text: string, username = 'worker'): GrantSpec {
  const [decision, actions, resourceType, resourceName, addresses] = text.split(' ') as string[]
  return {
    username,
    resourceType: resourceType as GrantSpec['resourceType'],
    resourceName: resourceName!,
    actions: actions!.split('|') as GrantSpec['actions'],
    decision: decision as GrantSpec['decision'],
    addresses: addresses === undefined ? [] : addresses.split(','),
  }
}

/** `Pub Topic orders` */
function use(text: string): Use {
  const [action, resourceType, resourceName] = text.split(' ') as [Use['action'], Use['resourceType'], string]
  return { action, resourceType, resourceName }
}

const rows: ReadonlyArray<readonly [grants: readonly string[], use: string, verdict: Verdict]> = [
  [[], 'Pub Topic orders', 'not granted'],
  [['Allow Pub Topic orders'], 'Pub Topic orders', 'allowed'],
  [['Allow Pub Topic orders'], 'Sub Topic orders', 'not granted'],
  [['Allow Pub Topic orders'], 'any Topic orders', 'allowed'],
  [['Allow Sub Topic orders'], 'any Topic orders', 'allowed'],
  [['Allow Sub Topic orders'], 'any Topic other', 'not granted'],
  [['Allow Pub|Sub Topic orders'], 'Sub Topic orders', 'allowed'],
  [['Allow Pub Topic orders'], 'Pub Topic orders2', 'not granted'],
  [['Allow Pub Topic orders'], 'Pub Topic Orders', 'not granted'],
  [['Allow Sub Topic x'], 'Sub Group x', 'not granted'],
  [['Allow Sub Group x'], 'Sub Topic x', 'not granted'],
  [['Allow Pub Topic *'], 'Pub Topic whatever', 'allowed'],
  [['Allow Pub Topic *'], 'Pub Topic %DLQ%g', 'allowed'],
  [['Allow Sub Group *'], 'Sub Group whatever', 'allowed'],
  [['Allow Pub Topic ord*'], 'Pub Topic orders', 'allowed'],
  [['Allow Pub Topic ord*'], 'Pub Topic ord', 'allowed'],
  [['Allow Pub Topic ord*'], 'Pub Topic or', 'not granted'],
  // A name has no star in it; one that a client writes is none either.
  [['Allow Pub Topic orders'], 'Pub Topic *', 'not granted'],
  [['Deny Pub Topic *', 'Allow Pub Topic orders'], 'Pub Topic orders', 'denied'],
  [['Allow Pub Topic *', 'Deny Pub Topic orders'], 'Pub Topic orders', 'denied'],
  [['Allow Pub Topic *', 'Deny Pub Topic orders'], 'Pub Topic other', 'allowed'],
  [['Allow Pub|Sub Topic *', 'Deny Sub Topic orders'], 'Pub Topic orders', 'allowed'],
  [['Allow Pub|Sub Topic *', 'Deny Sub Topic orders'], 'any Topic orders', 'allowed'],
  [['Allow Pub Topic *', 'Deny Pub|Sub Topic orders'], 'any Topic orders', 'denied'],
  [['Deny Sub Topic orders'], 'any Topic orders', 'denied'],
  [['Allow Pub Topic orders 10.0.0.1'], 'Pub Topic orders', 'allowed'],
  [['Allow Pub Topic orders 10.0.0.0/24'], 'Pub Topic orders', 'allowed'],
  [['Allow Pub Topic orders 0.0.0.0/0'], 'Pub Topic orders', 'allowed'],
  [['Allow Pub Topic orders 10.0.0.2,192.0.2.0/24'], 'Pub Topic orders', 'elsewhere'],
  [['Allow Pub Topic orders 10.0.0.2', 'Allow Pub Topic ord*'], 'Pub Topic orders', 'allowed'],
  [['Allow Pub Topic *', 'Deny Pub Topic orders 10.0.0.2'], 'Pub Topic orders', 'allowed'],
  [['Allow Pub Topic *', 'Deny Pub Topic orders 10.0.0.0/8'], 'Pub Topic orders', 'denied'],
  [['Allow Sub Topic orders 10.0.0.2'], 'any Topic orders', 'elsewhere'],
  [['Deny Pub Topic orders 10.0.0.2'], 'Pub Topic orders', 'not granted'],
  // Names that mean something elsewhere: to a regular expression, to an object, to an eye.
  [['Allow Pub Topic *'], 'Pub Topic __proto__', 'allowed'],
  [['Allow Pub Topic orders', 'Allow Pub Topic ord*'], 'Pub Topic __proto__', 'not granted'],
  [['Allow Pub Topic orders'], 'Pub Topic constructor', 'not granted'],
  [['Allow Pub Topic constructor'], 'Pub Topic constructor', 'allowed'],
  [['Deny Pub Topic __proto__*', 'Allow Pub Topic *'], 'Pub Topic __proto__x', 'denied'],
  [['Allow Pub Topic .*'], 'Pub Topic orders', 'not granted'],
  [['Allow Pub Topic o.*'], 'Pub Topic orders', 'not granted'],
  [['Allow Pub Topic [a-z]*'], 'Pub Topic orders', 'not granted'],
  [['Allow Pub Topic orders|audit'], 'Pub Topic audit', 'not granted'],
  [['Allow Pub Topic ORD*'], 'Pub Topic orders', 'not granted'],
  [['Deny Pub Topic ORDERS', 'Allow Pub Topic *'], 'Pub Topic orders', 'allowed'],
  [['Allow Pub Topic order\u0455'], 'Pub Topic orders', 'not granted'],
  [['Allow Pub Topic orders'], 'Pub Topic orders\u200b', 'not granted'],
  [['Allow Pub Topic orders'], 'Pub Topic orders\u00ad', 'not granted'],
]

describe('a decision', () => {
  it.each(rows)('%j, %s: %s', (grants, asked, verdict) => {
    const question = { username: 'worker', address: '10.0.0.1', ...use(asked) }
    expect(
      decide(
        grants.map((text) => grant(text)),
        question,
      ),
    ).toBe(verdict)
    expect(
      decide(
        grants.toReversed().map((text) => grant(text)),
        question,
      ),
    ).toBe(verdict)
  })

  it('reads an IPv4 client of an IPv6 socket as IPv4, and knows no other by IPv4 addresses', () => {
    const only = [grant('Allow Pub Topic orders 10.0.0.0/8')]
    const at = (address: string) => decide(only, { username: 'worker', address, ...use('Pub Topic orders') })
    expect([at('::ffff:10.0.0.1'), at('2001:db8::1'), at('')]).toEqual(['allowed', 'elsewhere', 'elsewhere'])
  })

  const names = fc.constantFrom('a', 'ab', 'abc', 'b', '%DLQ%a')
  const anyGrant: fc.Arbitrary<GrantSpec> = fc.record({
    username: fc.constantFrom('worker', 'other'),
    resourceType: fc.constantFrom('Topic', 'Group'),
    resourceName: fc.oneof(names, fc.constantFrom('*', 'a*', 'ab*', '%*')),
    actions: fc.constantFrom(['Pub'] as const, ['Sub'] as const, ['Pub', 'Sub'] as const),
    decision: fc.constantFrom('Allow', 'Deny'),
    addresses: fc.constantFrom([], ['10.0.0.1'], ['10.0.0.0/8'], ['192.0.2.1']),
  })
  const anyQuestion: fc.Arbitrary<User & OneUse> = fc.record({
    username: fc.constantFrom('worker', 'other', 'nobody'),
    address: fc.constantFrom('10.0.0.1', '10.0.0.2', '192.0.2.1', '2001:db8::1'),
    resourceType: fc.constantFrom('Topic' as const, 'Group' as const),
    resourceName: names,
    action: fc.constantFrom('Pub' as const, 'Sub' as const),
  })
  /** The rule once more, as it reads. */
  function matches(one: GrantSpec, asked: User & OneUse): boolean {
    const pattern = one.resourceName.endsWith('*') ? one.resourceName.slice(0, -1) : null
    const within = (address: string) =>
      ({ '10.0.0.1': ['10.0.0.1'], '10.0.0.0/8': ['10.0.0.1', '10.0.0.2'], '192.0.2.1': ['192.0.2.1'] })[address]
    return (
      one.username === asked.username &&
      one.resourceType === asked.resourceType &&
      (pattern === null ? one.resourceName === asked.resourceName : asked.resourceName.startsWith(pattern)) &&
      one.actions.includes(asked.action) &&
      (one.addresses.length === 0 || one.addresses.some((address) => within(address)?.includes(asked.address)))
    )
  }

  it('is the rule: one that allows, and none that denies', () => {
    fc.assert(
      fc.property(fc.array(anyGrant, { maxLength: 8 }), anyQuestion, (grants, question) => {
        const counting = grants.filter((one) => matches(one, question))
        const denied = counting.some(({ decision }) => decision === 'Deny')
        const verdict = decide(grants, question)
        expect(verdict === 'denied').toBe(denied)
        expect(verdict === 'allowed').toBe(!denied && counting.length > 0)
      }),
    )
  })

  it('is not widened by a denial, nor narrowed by a grant, nor changed by the order or by others', () => {
    fc.assert(
      fc.property(fc.array(anyGrant, { maxLength: 6 }), anyGrant, anyQuestion, (grants, more, question) => {
        const before = decide(grants, question)
        const after = decide([...grants, more], question)
        if (more.decision === 'Deny' && before !== 'allowed') expect(after).not.toBe('allowed')
        if (more.decision === 'Allow' && before === 'allowed') expect(after).toBe('allowed')
        if (more.username !== question.username) expect(after).toBe(before)
        expect(decide([more, ...grants], question)).toBe(after)
      }),
    )
  })

  it('is what the authorizer answers, the first time and again', () => {
    fc.assert(
      fc.property(fc.array(anyGrant, { maxLength: 8 }), anyQuestion, (grants, question) => {
        const authorizer = new Authorizer([{ username: question.username, kind: 'custom' }], grants)
        const allowed = needsOf(question).every((need) => decide(grants, { ...question, ...need }) === 'allowed')
        for (let again = 0; again < 2; again++) expect(authorizer.refusal(question, question) === null).toBe(allowed)
      }),
    )
  })
})

describe('an authorizer', () => {
  const user = { username: 'worker', address: '10.0.0.1' }

  it('allows the default account everything, whatever the grants say, and an unknown one nothing', () => {
    const accounts = [{ username: 'main', kind: 'default' as const }]
    const authorizer = new Authorizer(accounts, [grant('Deny Pub Topic *', 'main'), grant('Allow Pub Topic *')])
    expect(authorizer.refusal({ ...user, username: 'main' }, use('Pub Topic orders'))).toBeNull()
    expect([authorizer.mayDoEverything('main'), authorizer.mayDoEverything('worker')]).toEqual([true, false])
    expect(authorizer.refusal(user, use('Pub Topic orders'))).toMatch(/"worker" does not exist/)
  })

  it('says which action on what is missing, and why', () => {
    const said = (...grants: string[]) =>
      new Authorizer(
        [{ username: 'worker', kind: 'custom' }],
        grants.map((text) => grant(text)),
      ).refusal(user, use('Sub Group g'))
    expect(said()).toBe(
      'The account "worker" may not do this: it has no grant of Sub on group "g". Make one (CreateInstanceAcl).',
    )
    expect(said('Deny Sub Group *')).toMatch(/a grant denies it Sub on group "g"/)
    expect(said('Allow Sub Group g 10.0.0.9')).toMatch(/from 10\.0\.0\.1: its grant of Sub on group "g"/)
  })

  it('needs the group of a dead-letter or retry topic besides', () => {
    expect(needsOf(use('Sub Topic %DLQ%g'))).toEqual([use('Sub Topic %DLQ%g'), use('Sub Group g')])
    expect(needsOf(use('Pub Topic %RETRY%a%b'))).toEqual([use('Pub Topic %RETRY%a%b'), use('Sub Group a%b')])
    expect(needsOf(use('Sub Group %DLQ%g'))).toEqual([use('Sub Group %DLQ%g')])
    expect(needsOf(use('Sub Topic x%DLQ%g'))).toEqual([use('Sub Topic x%DLQ%g')])
  })

  it('looks up what concerns a name, however many grants there are', () => {
    let looks = 0
    const watched = (text: string): GrantSpec =>
      new Proxy(grant(text), {
        get(target, property) {
          looks += 1
          return target[property as keyof GrantSpec]
        },
      })
    const texts = Array.from({ length: 1000 }, (_, i) => [
      `Allow Pub Topic orders-${i}`,
      `Allow Sub Topic orders-${i}-*`,
    ])
    const authorizer = new Authorizer(
      [{ username: 'worker', kind: 'custom' }],
      [...texts.flat().map(watched), watched('Allow Sub Topic orders-77-*'), watched('Allow Sub Group *')],
    )
    looks = 0
    expect(authorizer.refusal(user, use('Sub Topic orders-77-eu'))).toBeNull()
    expect(authorizer.refusal(user, use('Pub Topic orders-77'))).toBeNull()
    expect(authorizer.refusal(user, use('Pub Topic nothing-of-all'))).not.toBeNull()
    expect(looks).toBeLessThan(20)
  })

  it('remembers a bounded number of answers, and answers rightly beyond', () => {
    const authorizer = new Authorizer([{ username: 'worker', kind: 'custom' }], [grant('Allow Pub Topic t-1*')])
    for (let i = 0; i < rememberedAnswers * 2 + 10; i++)
      expect(authorizer.refusal(user, use(`Pub Topic t-${i}`)) === null).toBe(`${i}`.startsWith('1'))
    expect(authorizer.remembered).toBeLessThanOrEqual(rememberedAnswers)
  })
})
