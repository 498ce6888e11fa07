import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { createAuthenticator } from './authenticate.ts'

const captures = JSON.parse(
  readFileSync(new URL('../../test/fixtures/captures/grpc-authorization-examples.json', import.meta.url), 'utf8'),
) as {
  nodejsReal: Record<string, string>
  examples: ReadonlyArray<{ client: string; dateTime: string; authorization: string }>
}
const accounts = [
  { username: 'test-ak', secret: 'test-sk', enabled: true },
  { username: 'gone', secret: 'test-sk', enabled: false },
]
const check = (authorization: string | undefined, dateTime: string | undefined): string | null =>
  createAuthenticator(accounts).check(authorization, dateTime)

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
    const authenticator = createAuthenticator(accounts)
    expect(authenticator.check(first!.authorization, first!.dateTime)).toBeNull()
    expect(authenticator.check(first!.authorization, 'later')).not.toBeNull()
    expect(authenticator.check(first!.authorization.replace('test-ak', 'nobody'), first!.dateTime)).not.toBeNull()
  })
})
