import { createHmac } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { type Credentials, createAuthenticator } from './authenticate.ts'

const accounts = [
  { username: 'user', secret: 'password', refusal: null },
  { username: 'gone', secret: 'password', refusal: 'The account "gone" is disabled.' },
]

/** As a protocol would have it that signs its fields in the order of their names, without a date. */
function fieldsOf(fields: Record<string, string>, given?: string): Credentials {
  const { Signature, AccessKey = '', ...others } = { ...fields, ...(given === undefined ? {} : { Signature: given }) }
  const signed = Object.entries({ ...others, AccessKey })
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, value]) => value)
    .join('')
  const signature = Signature ?? createHmac('sha1', 'password').update(signed).digest('base64')
  return {
    text: null,
    claim: () => ({
      username: AccessKey,
      signed,
      signature: Buffer.from(signature, 'base64'),
      goodAt: () => ({ until: Number.POSITIVE_INFINITY }),
    }),
  }
}

describe('credentials of another scheme', () => {
  const check = (credentials: Credentials) =>
    createAuthenticator(accounts, { now: () => 0 }).check(credentials)?.message ?? 'good'

  it('are verified by the accounts of the instance, and name their user', () => {
    const right = fieldsOf({ topic: 'a', AccessKey: 'user' })
    expect(check(right)).toBe('good')
    expect(createAuthenticator(accounts, { now: () => 0 }).userNameOf(right)).toBe('user')
  })

  it('are verified anew for each request that is signed for itself, and again after others', () => {
    const authenticator = createAuthenticator(accounts, { now: () => 0 })
    const [right, wrong] = [fieldsOf({ topic: 'a', AccessKey: 'user' }), fieldsOf({ AccessKey: 'user' }, 'AAAA')]
    expect([right, wrong, right].map((each) => authenticator.check(each)?.guessed ?? 'good')).toEqual([
      ...['good', 'user', 'good'],
    ])
  })

  it.each([
    ['of nobody', fieldsOf({ AccessKey: 'nobody' }), /^The user "nobody" is unknown or/],
    ['with another signature', fieldsOf({ AccessKey: 'user', a: 'b' }, 'AAAA'), /^The user "user" is unknown or/],
    ['of a disabled account', fieldsOf({ AccessKey: 'gone' }), /^The account "gone" is disabled/],
    ['that are none', { text: '', claim: () => 'never read' }, /^This address needs credentials/],
    ['whose form is wrong', { text: 'x', claim: () => 'The field Signature is missing.' }, /^The field Signature/],
  ])('%s are refused', (_, credentials, message) => expect(check(credentials)).toMatch(message))
})
