import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { createAuthenticator } from '../../../../gateway/authenticate.ts'
import { credentialsOf } from './credentials.ts'

const captures = JSON.parse(
  readFileSync(
    new URL('../../../../../test/fixtures/captures/grpc-authorization-examples.json', import.meta.url),
    'utf8',
  ),
) as {
  nodejsReal: Record<string, string>
  examples: ReadonlyArray<{ client: string; dateTime: string; authorization: string }>
}
const accounts = [
  { username: 'test-ak', secret: 'test-sk', refusal: null },
  { username: 'gone', secret: 'test-sk', refusal: 'The account is disabled.' },
]
const shown = (authorization: string | undefined, dateTime: string | undefined) =>
  credentialsOf({ authorization, 'x-mq-date-time': dateTime })
const check = (authorization: string | undefined, dateTime: string | undefined): string | null =>
  createAuthenticator(accounts, clockAt(dateTime)).check(shown(authorization, dateTime))?.message ?? null

/** A clock at which the date is right, read as UTC. */
function clockAt(dateTime: string | undefined) {
  const text = (dateTime ?? '').replace(/^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z/, '$1-$2-$3T$4:$5:$6Z')
  const at = Date.parse(text)
  return { now: () => (Number.isNaN(at) ? 0 : at) }
}

describe('data-plane credentials', () => {
  it.each(captures.examples)('of the $client client are read as it writes them', ({ authorization, dateTime }) => {
    expect(check(authorization, dateTime)).toBeNull()
    expect(check(authorization, `${dateTime}x`)).toMatch(/^[A-Z].*\.$/)
    expect(check(authorization.slice(0, -1), dateTime)).toMatch(/^[A-Z].*\.$/)
  })

  it('captured from the real Node.js client verify', () => {
    expect(check(captures.nodejsReal.authorization, captures.nodejsReal['x-mq-date-time'])).toBeNull()
  })

  const [first] = captures.examples
  it.each([
    ['nothing', undefined, first!.dateTime],
    ['an empty header', '', first!.dateTime],
    ['no date', first!.authorization, undefined],
    ['another scheme', first!.authorization.replace('MQv2-HMAC-SHA1', 'MQv3'), first!.dateTime],
    ['no signature', first!.authorization.replace(/, Signature=.*/, ''), first!.dateTime],
    ['an empty user', first!.authorization.replace('test-ak', ''), first!.dateTime],
    ['an unknown user', first!.authorization.replace('test-ak', 'nobody'), first!.dateTime],
    ['a disabled user', first!.authorization.replace('test-ak', 'gone'), first!.dateTime],
    ['a signature with something after it', `${first!.authorization}zz`, first!.dateTime],
    ['half a signature', first!.authorization.slice(0, -20), first!.dateTime],
    ['a long header', `${first!.authorization}${' '.repeat(5000)}`, first!.dateTime],
  ])('with %s are refused', (_, authorization, dateTime) => {
    expect(check(authorization, dateTime)).toMatch(/^[A-Z].*\.$/)
  })

  it('that verified once are not remembered for another pair', () => {
    const authenticator = createAuthenticator(accounts, clockAt(first!.dateTime))
    expect(authenticator.check(shown(first!.authorization, first!.dateTime))).toBeNull()
    expect(authenticator.check(shown(first!.authorization, 'later'))).not.toBeNull()
    expect(
      authenticator.check(shown(first!.authorization.replace('test-ak', 'nobody'), first!.dateTime)),
    ).not.toBeNull()
  })
})

describe('the date of credentials', () => {
  const at = Date.parse('2026-08-01T12:00:00Z')
  const minute = 60_000
  const hour = 60 * minute
  const signed = (dateTime: string) =>
    `MQv2-HMAC-SHA1 Credential=test-ak, SignedHeaders=x-mq-date-time, Signature=${createHmac('sha1', 'test-sk').update(dateTime).digest('hex')}`
  const judged = (dateTime: string, now: number) =>
    createAuthenticator(accounts, { now: () => now }).check(shown(signed(dateTime), dateTime))?.message ?? 'good'

  it.each([
    // Local time with a literal Z, or UTC: any zone's time, and a quarter of an hour.
    ['20260801T120000Z', -14 * hour - 15 * minute, 12 * hour + 15 * minute],
    ['2026-08-01T12:00:00Z', -14 * hour - 15 * minute, 12 * hour + 15 * minute],
    // With its offset there is one time it can mean.
    ['2026-08-01T20:00:00.123456789+08:00', -15 * minute, 15 * minute],
    ['2026-08-01T08:30:00-0330', -15 * minute, 15 * minute],
  ])('%s is good for a while', (dateTime, from, until) => {
    const slack = 1000
    for (const now of [from + slack, 0, until - slack]) expect(judged(dateTime, at + now)).toBe('good')
    for (const now of [from - slack, until + slack])
      expect(judged(dateTime, at + now)).toMatch(/^The header x-mq-date-time says .*; set the client's clock\.$/)
  })

  it.each(['yesterday', '20260801', '20269901T990000Z ', '2026-08-01T12:00:00', 'Sat, 01 Aug 2026 12:00:00 GMT'])(
    '%j is none',
    (dateTime) => expect(judged(dateTime, at)).toMatch(/a date is written 20260801T120000Z/),
  )

  it('ends what was remembered as verified', () => {
    let now = at
    const authenticator = createAuthenticator(accounts, { now: () => now })
    const dateTime = '2026-08-01T20:00:00+08:00'
    expect(authenticator.check(shown(signed(dateTime), dateTime))).toBeNull()
    now += 16 * minute
    expect(authenticator.check(shown(signed(dateTime), dateTime))).not.toBeNull()
  })

  it('is looked at only when the password was right, and is no guess', () => {
    const authenticator = createAuthenticator(accounts, { now: () => 0 })
    expect(authenticator.check(shown(signed('20260801T120000Z'), '20260801T120000Z'))?.guessed).toBeNull()
    expect(authenticator.check(shown(signed('20260801T120000Z'), '20260801T120001Z'))?.guessed).toBe('test-ak')
  })
})
