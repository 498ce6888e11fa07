/**
 * Everything that can be wrong with who is calling, with the code it must answer, in the order of auth-and-wire §1.6:
 * each row is also wrong in every later respect, so the row fails when checks change places.
 */
import { createHash, createHmac } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { ApiError } from '../../src/catalogue/errors.ts'
import { type AuthenticRequest, authenticate } from '../../src/iam/authenticate.ts'
import { canonicalRequests, legacyStringsToSign, stringToSign } from '../../src/iam/canonical.ts'
import type { AccessKey } from '../../src/iam/keys.ts'
import { memoryNonces } from '../../src/iam/nonces.ts'
import { requestTarget, signRequest, splitTarget } from '../../src/iam/sign.ts'
import { readFixture, SECRET, testKey } from './captures.ts'
import { memoryKeyRing } from './harness.ts'

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5)
const MINUTE = 60_000
const examples = readFixture('worked-examples.json')

const sts = (overrides: Partial<AccessKey> = {}) =>
  testKey({ accessKeyId: 'STS.test', securityToken: 'token-1', expireTimeMs: NOW + MINUTE, ...overrides })

interface Situation {
  readonly keys?: readonly AccessKey[]
  readonly accessKeyId?: string
  readonly secret?: string
  readonly securityToken?: string
  readonly at?: number
  readonly nonce?: string
  readonly body?: string
  /** What happens to the headers after signing. */
  readonly tamper?: (headers: Map<string, string[]>) => void
}

function signed(situation: Situation = {}): AuthenticRequest {
  const body = situation.body ?? null
  const headers = signRequest(
    {
      accessKeyId: situation.accessKeyId ?? 'test-ak',
      accessKeySecret: situation.secret ?? SECRET,
      ...(situation.securityToken === undefined ? {} : { securityToken: situation.securityToken }),
    },
    {
      method: 'POST',
      target: '/instances',
      host: 'h:1',
      action: 'A',
      body,
      at: situation.at ?? NOW,
      nonce: situation.nonce ?? 'nonce-1',
      version: '2022-08-01',
    },
  )
  const map = new Map(Object.entries(headers).map(([name, value]) => [name, [value]]))
  situation.tamper?.(map)
  return { method: 'POST', rawPath: '/instances', rawQuery: '', headers: map, body: Buffer.from(body ?? '') }
}

function legacy(tamper: (headers: Map<string, string[]>) => void = () => {}, path = '/instances'): AuthenticRequest {
  const headers = new Map([
    ['accept', ['application/json']],
    ['date', ['Fri, 02 Jan 2026 03:04:05 GMT']],
    ['x-acs-signature-method', ['HMAC-SHA1']],
    ['x-acs-version', ['2022-08-01']],
  ])
  const [rawPath, rawQuery] = splitTarget(path)
  const request = { method: 'GET', rawPath, rawQuery, headers, body: Buffer.alloc(0) }
  const [text] = legacyStringsToSign(request)
  headers.set('authorization', [`acs test-ak:${createHmac('sha1', SECRET).update(text!).digest('base64')}`])
  tamper(headers)
  return request
}

interface Circumstances {
  readonly readOnly?: boolean
  readonly queryNames?: readonly string[]
  readonly requireContentMd5?: boolean
  readonly now?: number
}

/** Signed as the literal text of the target says; `headers` beside the usual ones. */
function legacySigned(target: string, extra: Record<string, string>): AuthenticRequest {
  const headers = new Map([
    ['accept', ['application/json']],
    ['date', ['Fri, 02 Jan 2026 03:04:05 GMT']],
    ['x-acs-version', ['2022-08-01']],
    ...Object.entries(extra).map(([name, value]): [string, string[]] => [name, [value]]),
  ])
  const [rawPath, rawQuery] = splitTarget(target)
  const request = { method: 'GET', rawPath, rawQuery, headers, body: Buffer.alloc(0) }
  const [text] = legacyStringsToSign(request)
  headers.set('authorization', [`acs test-ak:${createHmac('sha1', SECRET).update(text!).digest('base64')}`])
  return request
}

async function outcome(
  request: AuthenticRequest,
  keys: readonly AccessKey[] = [testKey()],
  nonces = memoryNonces(),
  { readOnly = false, queryNames = [], requireContentMd5 = false, now = NOW }: Circumstances = {},
) {
  try {
    const authenticator = { keyRing: memoryKeyRing(keys), nonces, requireContentMd5 }
    await authenticate(authenticator, request, { readOnly, queryNames }, now)
    return { code: 'accepted', status: 200, message: '' }
  } catch (error) {
    if (error instanceof ApiError) return { code: error.code, status: error.httpStatus, message: error.message }
    throw error
  }
}

const set = (name: string, value: string) => (headers: Map<string, string[]>) => void headers.set(name, [value])
const drop = (name: string) => (headers: Map<string, string[]>) => void headers.delete(name)
const replace = (from: string | RegExp, to: string) => (headers: Map<string, string[]>) =>
  void headers.set('authorization', [headers.get('authorization')![0]!.replace(from, to)])

describe('ACS3', () => {
  it.each<[string, Situation, number, string, RegExp?]>([
    ['all in order', {}, 200, 'accepted'],
    ['with a body', { body: '{"remark":"测试"}' }, 200, 'accepted'],
    ['anonymous', { tamper: drop('authorization'), at: 0 }, 400, 'MissingAccessKeyId'],
    [
      'bearer token',
      {
        tamper: (headers) => {
          headers.delete('authorization')
          headers.set('x-acs-bearer-token', ['t'])
          headers.set('x-acs-signature-type', ['BEARERTOKEN'])
        },
      },
      400,
      'MissingAccessKeyId',
      /x-acs-bearer-token is not accepted/,
    ],
    [
      'id token',
      {
        tamper: (headers) => {
          headers.delete('authorization')
          headers.set('x-acs-zero-trust-idtoken', ['t'])
        },
      },
      400,
      'MissingAccessKeyId',
      /idtoken is not accepted/,
    ],
    ['not a scheme we know', { tamper: set('authorization', 'Basic dXNlcjpwYXNz'), at: 0 }, 400, 'IncompleteSignature'],
    ['empty header', { tamper: set('authorization', ''), at: 0 }, 400, 'IncompleteSignature'],
    ['very long header', { tamper: set('authorization', `acs ${'x'.repeat(9_000)}`) }, 400, 'IncompleteSignature'],
    ['no signature', { tamper: replace(/,Signature=.*/, ''), at: 0 }, 400, 'IncompleteSignature', /no Signature/],
    ['no signed headers', { tamper: replace(/SignedHeaders=[^,]*,/, ''), at: 0 }, 400, 'IncompleteSignature'],
    ['no credential', { tamper: replace(/Credential=[^,]*,/, ''), at: 0 }, 400, 'IncompleteSignature'],
    ['signature not hex', { tamper: replace(/Signature=./, 'Signature=x'), at: 0 }, 400, 'IncompleteSignature'],
    [
      'a field twice',
      { tamper: replace('Credential=', 'Credential=a,Credential='), at: 0 },
      400,
      'IncompleteSignature',
    ],
    ['blanks after the commas', { tamper: replace(/,/g, ', ') }, 200, 'accepted'],
    ['ACS4', { tamper: replace('ACS3-HMAC-SHA256', 'ACS4-HMAC-SHA256'), at: 0 }, 400, 'InvalidSignatureMethod'],
    ['algorithm unknown', { tamper: replace('SHA256', 'MD5'), at: 0 }, 400, 'InvalidSignatureMethod', /ACS3-HMAC-SM3/],
    ['no date', { tamper: drop('x-acs-date'), accessKeyId: 'nobody' }, 400, 'MissingTimestamp', /x-acs-date/],
    ['no nonce', { tamper: drop('x-acs-signature-nonce'), accessKeyId: 'nobody' }, 400, 'MissingSignatureNonce'],
    ['no hash', { tamper: drop('x-acs-content-sha256'), accessKeyId: 'nobody' }, 400, 'MissingContentSha256'],
    ['endless nonce', { nonce: 'n'.repeat(257), accessKeyId: 'nobody' }, 400, 'IncompleteSignature', /1 to 256/],
    [
      'a header twice',
      { tamper: (h) => void h.get('x-acs-date')!.push('x'), accessKeyId: 'nobody' },
      400,
      'IncompleteSignature',
    ],
    ...['host', 'x-acs-date', 'x-acs-content-sha256', 'x-acs-signature-nonce', 'x-acs-version', 'x-acs-action'].map(
      (name): [string, Situation, number, string, RegExp] => [
        `${name} not signed`,
        { tamper: replace(new RegExp(`${name};?`), ''), accessKeyId: 'nobody' },
        400,
        'IncompleteSignature',
        new RegExp(`must list ${name}`),
      ],
    ),
    [
      'token not signed',
      { tamper: set('x-acs-security-token', 't'), accessKeyId: 'nobody' },
      400,
      'IncompleteSignature',
      /must list x-acs-security-token/,
    ],
    ['a signed header absent', { tamper: replace('=host', '=absent;host') }, 400, 'IncompleteSignature', /absent/],
    ['key unknown', { accessKeyId: 'nobody', at: 0 }, 404, 'InvalidAccessKeyId.NotFound'],
    ['key disabled', { keys: [testKey({ status: 'Inactive' })], at: 0 }, 403, 'InvalidAccessKeyId.Inactive'],
    ['temporary key without token', { keys: [sts()], accessKeyId: 'STS.test', at: 0 }, 400, 'MissingSecurityToken'],
    ['temporary key', { keys: [sts()], accessKeyId: 'STS.test', securityToken: 'token-1' }, 200, 'accepted'],
    [
      'token malformed',
      { keys: [sts()], accessKeyId: 'STS.test', securityToken: 'a b', at: 0 },
      400,
      'InvalidSecurityToken.Malformed',
    ],
    [
      'token of another key',
      { keys: [sts()], accessKeyId: 'STS.test', securityToken: 'token-2', at: 0 },
      400,
      'InvalidSecurityToken.MismatchWithAccessKey',
    ],
    [
      'token with a permanent key',
      { securityToken: 'token-1', at: 0 },
      400,
      'InvalidSecurityToken.MismatchWithAccessKey',
    ],
    [
      'token expired this moment',
      { keys: [sts({ expireTimeMs: NOW })], accessKeyId: 'STS.test', securityToken: 'token-1', at: 0 },
      400,
      'InvalidSecurityToken.Expired',
    ],
    [
      'token about to expire',
      { keys: [sts({ expireTimeMs: NOW + 1 })], accessKeyId: 'STS.test', securityToken: 'token-1' },
      200,
      'accepted',
    ],
    ...['2026-01-02 03:04:05', '2026-01-02T03:04:05.000Z', '2026-02-30T00:00:00Z', 'now', ''].map(
      (date): [string, Situation, number, string, RegExp] => [
        `date ${JSON.stringify(date)}`,
        { tamper: set('x-acs-date', date), secret: 'wrong' },
        400,
        'InvalidTimeStamp.Format',
        /2026-01-02T03:04:05Z/,
      ],
    ),
    ['15 minutes behind', { at: NOW - 15 * MINUTE }, 200, 'accepted'],
    ['15 minutes ahead', { at: NOW + 15 * MINUTE }, 200, 'accepted'],
    ['further behind', { at: NOW - 15 * MINUTE - 1_000, secret: 'wrong' }, 400, 'InvalidTimeStamp.Expired'],
    ['further ahead', { at: NOW + 15 * MINUTE + 1_000, secret: 'wrong' }, 400, 'InvalidTimeStamp.Expired'],
    [
      'wrong secret',
      { secret: 'wrong' },
      400,
      'SignatureDoesNotMatch',
      /server StringToSign is \[ACS3-HMAC-SHA256\n[0-9a-f]{64}\] server CanonicalRequest is \[POST\n\/instances\n/,
    ],
    [
      'hash of another body',
      { tamper: set('x-acs-content-sha256', '0'.repeat(64)) },
      400,
      'SignatureDoesNotMatch',
      /The body is not/,
    ],
    ['signature cut short', { tamper: replace(/..$/, '') }, 400, 'SignatureDoesNotMatch'],
    [
      'an RSA signature without a registered key',
      { tamper: replace('HMAC-SHA256', 'RSA-SHA256') },
      400,
      'InvalidSignatureMethod',
      /No RSA public key/,
    ],
    [
      'an unreadable public key',
      { tamper: replace('HMAC-SHA256', 'RSA-SHA256'), keys: [testKey({ publicKeyPem: 'x' })] },
      400,
      'InvalidSignatureMethod',
    ],
    [
      'two names for the key',
      { tamper: set('x-acs-accesskey-id', 'other') },
      400,
      'IncompleteSignature',
      /different access keys/,
    ],
  ])('%s', async (_, situation, status, code, message) => {
    const answer = await outcome(signed(situation), situation.keys ?? [testKey()])
    expect([answer.status, answer.code]).toEqual([status, code])
    if (message !== undefined) expect(answer.message).toMatch(message)
  })

  it('refuses a hash header that is not the body, even when the signature is right otherwise', async () => {
    const request = signed({ body: '{}', tamper: set('x-acs-content-sha256', '0'.repeat(64)) })
    const names = [...request.headers.keys()].filter((name) => !['accept', 'authorization'].includes(name)).sort()
    const sha256 = (data: string | Uint8Array) => createHash('sha256').update(data).digest('hex')
    const text = stringToSign('ACS3-HMAC-SHA256', canonicalRequests(request, names, sha256(request.body))[0]!, sha256)
    const signature = createHmac('sha256', SECRET).update(text).digest('hex')
    replace(/Signature=.*/, `Signature=${signature}`)(request.headers as Map<string, string[]>)
    const answer = await outcome(request)
    expect(answer).toMatchObject({ code: 'SignatureDoesNotMatch', message: expect.stringContaining('The body is not') })
  })

  it('never tells a secret or a stored token', async () => {
    for (const situation of [
      { secret: 'wrong' },
      { keys: [sts()], accessKeyId: 'STS.test', securityToken: 'token-2' },
    ]) {
      const { message } = await outcome(signed(situation), [testKey(), sts()])
      expect(message).not.toMatch(/test-sk|token-1/)
    }
  })
})

describe('the legacy scheme', () => {
  it.each<[string, AuthenticRequest, string, RegExp?]>([
    ['all in order', legacy(), 'accepted'],
    ['the path decoded by the signer', legacy(() => {}, '/instances/a%20b?x=&y=%20'), 'accepted'],
    ['no date', legacy(drop('date')), 'MissingTimestamp', /Date/],
    ['ISO date', legacy(set('date', '2026-01-02T03:04:05Z')), 'InvalidTimeStamp.Format', /GMT/],
    ['wrong weekday', legacy(set('date', 'Mon, 02 Jan 2026 03:04:05 GMT')), 'InvalidTimeStamp.Format'],
    ['no such day', legacy(set('date', 'Fri, 32 Jan 2026 03:04:05 GMT')), 'InvalidTimeStamp.Format'],
    ['old date', legacy(set('date', 'Fri, 02 Jan 2026 02:49:04 GMT')), 'InvalidTimeStamp.Expired'],
    ['another method', legacy(set('x-acs-signature-method', 'HMAC-SHA256')), 'InvalidSignatureMethod'],
    // The CLI compares what follows these words with its own string.
    [
      'wrong signature',
      legacy(set('x-acs-version', 'x')),
      'SignatureDoesNotMatch',
      /server string to sign is:GET\napplication\/json\n/,
    ],
    ['MD5 of another body', legacy(set('content-md5', 'x')), 'SignatureDoesNotMatch'],
  ])('%s', async (_, request, code, message) => {
    const answer = await outcome(request)
    expect(answer.code).toBe(code)
    if (message !== undefined) expect(answer.message).toMatch(message)
  })
})

describe('the legacy scheme without a nonce, as the CLI signs', () => {
  it('carries out a change once: its signature is remembered as long as its date is accepted', async () => {
    const nonces = memoryNonces()
    const send = (now = NOW, request = legacy()) => outcome(request, [testKey()], nonces, { now })
    expect((await send()).code).toBe('accepted')
    expect(await send()).toMatchObject({
      code: 'SignatureNonceUsed',
      message: expect.stringContaining('Send it again a second later'),
    })
    expect((await send(NOW + 15 * MINUTE)).code).toBe('SignatureNonceUsed')
    expect((await send(NOW + 15 * MINUTE + 1_000)).code).toBe('InvalidTimeStamp.Expired')
    expect(
      (
        await send(
          NOW,
          legacy(() => {}, '/regions'),
        )
      ).code,
    ).toBe('accepted')
  })

  it('knows a signature in every spelling of its base64', async () => {
    const nonces = memoryNonces()
    const request = legacy()
    const signature = request.headers.get('authorization')![0]!
    // The last character before the padding carries two bits that mean nothing.
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
    const last = alphabet.indexOf(signature.at(-2)!)
    const respelled = `${signature.slice(0, -2)}${alphabet[last ^ 1]}=`
    expect((await outcome(request, [testKey()], nonces)).code).toBe('accepted')
    expect((await outcome(legacy(set('authorization', respelled)), [testKey()], nonces)).code).toBe(
      'SignatureNonceUsed',
    )
    const unpadded = legacy(set('authorization', signature.replace(/=+$/, '')))
    expect((await outcome(unpadded, [testKey()], nonces)).code).toBe('SignatureNonceUsed')
  })

  it('lets equal reads of one second pass, and no replay of them later', async () => {
    const nonces = memoryNonces()
    const send = (now: number) => outcome(legacy(), [testKey()], nonces, { readOnly: true, now })
    expect((await send(NOW)).code).toBe('accepted')
    expect((await send(NOW + 1_000)).code).toBe('accepted')
    expect((await send(NOW + 6_000)).code).toBe('SignatureNonceUsed')
  })
})

describe('a body in the legacy scheme', () => {
  const body = Buffer.from('{"remark":"a"}')
  const md5 = createHash('md5').update(body).digest('base64')
  const withBody = (headers: Record<string, string>) => ({
    ...legacySigned('/instances', { 'x-acs-signature-nonce': 'n', ...headers }),
    body,
  })
  it.each<[string, Record<string, string>, boolean, string]>([
    ['without Content-MD5, as Terraform and SDKs in v2 mode send it', {}, false, 'accepted'],
    ['without Content-MD5, where it is demanded', {}, true, 'MissingContentMD5'],
    ['with the right Content-MD5', { 'content-md5': md5 }, true, 'accepted'],
    [
      'with the Content-MD5 of another body',
      { 'content-md5': 'jj4/5llHPxSa0jlR22cNJw==' },
      false,
      'ContentMD5NotMatched',
    ],
  ])('%s', async (_, headers, requireContentMd5, code) => {
    const answer = await outcome(withBody(headers), [testKey()], memoryNonces(), { requireContentMd5 })
    expect(answer.code).toBe(code)
  })
})

describe('one reading of path and query for signing and for routing', () => {
  const names = ['filter', 'pageSize', 'seriesCodes']
  /** A signature made for one target, sent with another. */
  const moved = async (signedTarget: string, sentTarget: string) => {
    const [rawPath, rawQuery] = splitTarget(sentTarget)
    const request = { ...legacySigned(signedTarget, {}), rawPath, rawQuery }
    return (await outcome(request, [testKey()], memoryNonces(), { queryNames: names })).code
  }
  it.each<[string, string, string, string]>([
    ['a name typed with a slash and sent encoded', '/a/x/y', '/a/x%2Fy', 'SignatureDoesNotMatch'],
    ['an encoded slash, signed as sent', '/a/x%2Fy', '/a/x%2Fy', 'accepted'],
    ['an encoded slash, sent bare', '/a/x%2Fy', '/a/x/y', 'SignatureDoesNotMatch'],
    ['an escape that was typed', '/a/%41', '/a/%2541', 'SignatureDoesNotMatch'],
    ['a blank typed and sent encoded, as the CLI does', '/a/x y', '/a/x%20y', 'accepted'],
    ['percent signs typed and sent encoded, as the CLI does', '/a/%RETRY%g', '/a/%25RETRY%25g', 'accepted'],
    ['a dot segment', '/a/b', '/a/./b', 'SignatureDoesNotMatch'],
    ['a dot segment, signed as sent', '/a/../b', '/a/../b', 'accepted'],
    ['an encoded dot segment', '/a/../b', '/a/%2e%2e/b', 'accepted'],
    ['an empty segment', '/a/b', '/a//b', 'SignatureDoesNotMatch'],
    ['two parameters sent as one', '/a?filter=x&pageSize=9', '/a?filter=x%26pageSize%3D9', 'IncompleteSignature'],
    ['one parameter sent as two', '/a?filter=x%26pageSize%3D9', '/a?filter=x&pageSize=9', 'accepted'],
    [
      'one parameter that reads as two',
      '/a?filter=x%26pageSize%3D9',
      '/a?filter=x%26pageSize%3D9',
      'IncompleteSignature',
    ],
    [
      'a part that reads as an item of a list',
      '/a?filter=x%26seriesCodes.1',
      '/a?filter=x%26seriesCodes.1',
      'IncompleteSignature',
    ],
    ['an ampersand that reads as nothing, as clients send it', '/a?filter=a%20b%26c', '/a?filter=a+b%26c', 'accepted'],
    ['a name with an equals sign', '/a?filter%3Dx=y', '/a?filter%3Dx=y', 'IncompleteSignature'],
    ['a plus for a blank', '/a?filter=a%20b', '/a?filter=a+b', 'accepted'],
    ['a plus for a plus', '/a?filter=a%2Bb', '/a?filter=a+b', 'SignatureDoesNotMatch'],
    ['equal names in another order', '/a?filter=x&filter=y', '/a?filter=y&filter=x', 'SignatureDoesNotMatch'],
  ])('%s', async (_, signedTarget, sentTarget, code) => expect(await moved(signedTarget, sentTarget)).toBe(code))

  it('refuses a header that counts and is sent twice', async () => {
    for (const name of ['x-acs-version', 'content-type', 'accept', 'x-acs-anything']) {
      const twice = (headers: Map<string, string[]>) => void headers.set(name, ['a', 'b'])
      expect((await outcome(legacy(twice))).code, name).toBe('IncompleteSignature')
      expect((await outcome(signed({ tamper: twice }))).code, name).toBe('IncompleteSignature')
    }
  })
})

describe('replays', () => {
  it('are refused, also both at once, and only after the signature was right', async () => {
    const nonces = memoryNonces()
    expect((await outcome(signed({ secret: 'wrong' }), [testKey()], nonces)).code).toBe('SignatureDoesNotMatch')
    const both = await Promise.all([outcome(signed(), [testKey()], nonces), outcome(signed(), [testKey()], nonces)])
    expect(both.map(({ code }) => code).sort()).toEqual(['SignatureNonceUsed', 'accepted'])
    expect((await outcome(signed({ at: NOW + MINUTE }), [testKey()], nonces)).code).toBe('SignatureNonceUsed')
  })

  it('are recognised in another order of date and nonce', async () => {
    const nonces = memoryNonces()
    for (const nonce of ['a', 'b', 'c'])
      expect((await outcome(signed({ nonce }), [testKey()], nonces)).code).toBe('accepted')
    for (const nonce of ['c', 'a', 'b']) {
      expect((await outcome(signed({ nonce }), [testKey()], nonces)).code).toBe('SignatureNonceUsed')
    }
  })
})

describe('worked examples', () => {
  it.each(Object.entries<any>(examples.v3))('%s', async (_, example) => {
    const headers = new Map(Object.entries<string>(example.headers).map(([name, value]) => [name, [value]]))
    const [rawPath, rawQuery] = splitTarget(requestTarget(example.path, example.query))
    const message = { method: example.method, rawPath, rawQuery, headers }
    const digest = example.canonicalRequest.split('\n').at(-1)
    expect(canonicalRequests(message, [...headers.keys()], digest)[0]).toBe(example.canonicalRequest)
    headers.set('authorization', [example.authorization])
    const token = example.headers['x-acs-security-token'] ?? null
    const key = testKey({ securityToken: token })
    expect((await outcome({ ...message, body: Buffer.from(example.body) }, [key])).code).toBe('accepted')
  })

  it.each(Object.entries<any>(examples.legacyRoa))('%s', async (_, example) => {
    const headers = new Map(Object.entries<string>(example.headers).map(([name, value]) => [name, [value]]))
    const [rawPath, rawQuery] = splitTarget(requestTarget(example.path, example.query))
    const message = { method: example.method, rawPath, rawQuery, headers }
    expect(legacyStringsToSign(message)).toContain(example.stringToSign)
    headers.set('authorization', [example.authorization])
    expect((await outcome({ ...message, body: Buffer.from(example.body ?? '') })).code).toBe('accepted')
  })

  it('our own signer makes the documented signature', () => {
    const { v3 } = examples
    const headers = signRequest(
      { accessKeyId: 'test-ak', accessKeySecret: SECRET },
      {
        method: 'GET',
        target: requestTarget('/instances', v3.listInstances.query),
        host: '127.0.0.1:8080',
        action: 'ListInstances',
        body: null,
        at: NOW,
        nonce: '0123456789abcdef0123456789abcdef',
        version: '2022-08-01',
      },
    )
    expect(headers['authorization']).toBe(v3.listInstances.authorization)
  })
})
