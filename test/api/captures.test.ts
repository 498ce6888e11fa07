/**
 * The signatures of official clients verify, and stop verifying when one byte of what they cover is another.
 *
 * Every position is tried, not a sample. One gap is the scheme's and not ours: the legacy signature covers the
 * body only through Content-MD5, which Terraform and the SDKs' `v2` mode do not send.
 */
import { describe, expect, it } from 'vitest'
import { ApiError } from '../../src/catalogue/errors.ts'
import { type AuthenticRequest, authenticate } from '../../src/iam/authenticate.ts'
import { memoryNonces } from '../../src/iam/nonces.ts'
import { parseQuery } from '../../src/iam/percent.ts'
import { splitTarget } from '../../src/iam/sign.ts'
import { type Capture, headerOf, readCaptures } from './captures.ts'

const captures = readCaptures()
const signed = captures.filter((capture) => headerOf(capture, 'authorization') !== undefined)

it('has captures of all clients', () => {
  expect(new Set(captures.map(({ name }) => name.split('-')[0]))).toEqual(
    new Set(['aliyuncli', 'go', 'java', 'npm', 'python', 'terraform']),
  )
  expect(signed.length).toBeGreaterThanOrEqual(44)
})

describe.each(signed.map((capture) => [capture.name, capture] as const))('%s', (_, capture) => {
  it('verifies as it was sent', async () => {
    expect(await outcome(capture)).toBe('accepted')
  })

  it('is refused with one byte of the path changed', async () => {
    const [path, query] = splitTarget(capture.target)
    for (let at = 1; at < path.length; at++) {
      const target = `${replaceAt(path, at)}${query === '' ? '' : `?${query}`}`
      expect(await outcome({ ...capture, target }), target).toBe('SignatureDoesNotMatch')
    }
  })

  it('is refused with one byte of the query changed', async () => {
    const [path, query] = splitTarget(capture.target)
    for (let at = 0; at < query.length; at++) {
      const changed = replaceAt(query, at)
      const meaning = JSON.stringify(parseQuery(changed).sort())
      if (meaning === JSON.stringify(parseQuery(query).sort())) continue
      expect(await outcome({ ...capture, target: `${path}?${changed}` }), changed).toBe('SignatureDoesNotMatch')
    }
  })

  it('is refused with one byte of the body changed, wherever the scheme covers the body', async () => {
    const legacy = headerOf(capture, 'authorization')!.startsWith('acs ')
    const covered = !legacy || headerOf(capture, 'content-md5') !== undefined
    const code = !legacy ? 'SignatureDoesNotMatch' : covered ? 'ContentMD5NotMatched' : 'accepted'
    for (let at = 0; at < capture.body.length; at++) {
      const body = Buffer.from(capture.body)
      body[at]! ^= 1
      expect(await outcome({ ...capture, body })).toBe(code)
    }
    expect(await outcome({ ...capture, body: Buffer.concat([capture.body, Buffer.from(' ')]) })).toBe(code)
  })

  it('is refused with one byte of any signed header changed', async () => {
    for (const [name, value] of capture.headers) {
      if (!isSigned(capture, name.toLowerCase())) continue
      for (let at = 0; at < value.length; at++) {
        const changed = withHeader(capture, name, replaceAt(value, at))
        expect(await outcome(changed), `${name}: ${replaceAt(value, at)}`).not.toBe('accepted')
      }
    }
  })

  it('is refused with one byte of the Authorization header changed', async () => {
    const value = headerOf(capture, 'authorization')!
    for (let at = 0; at < value.length; at++) {
      const changed = replaceAt(value, at)
      if (decodesAlike(value, changed)) continue
      expect(await outcome(withHeader(capture, 'Authorization', changed)), changed).not.toBe('accepted')
    }
  })

  it('is refused with another secret', async () => {
    if (capture.key.publicKeyPem !== null) return
    const key = { ...capture.key, secret: 'test-sl' }
    expect(await outcome({ ...capture, key })).toBe('SignatureDoesNotMatch')
  })
})

describe('npm-ListInstances-bearer', () => {
  it('is refused for want of an access key', async () => {
    expect(await outcome(captures.find(({ name }) => name === 'npm-ListInstances-bearer')!)).toBe('MissingAccessKeyId')
  })
})

async function outcome(capture: Capture): Promise<string> {
  const keyRing = { find: async (id: string) => (id === capture.key.accessKeyId ? capture.key : null) }
  try {
    const authenticator = { keyRing, nonces: memoryNonces(), requireContentMd5: false }
    await authenticate(
      authenticator,
      toRequest(capture),
      { readOnly: true, queryNames: ['filter', 'tags'] },
      capture.at,
    )
    return 'accepted'
  } catch (error) {
    if (error instanceof ApiError) return error.code
    throw error
  }
}

function toRequest(capture: Capture): AuthenticRequest {
  const [rawPath, rawQuery] = splitTarget(capture.target)
  const headers = new Map<string, string[]>()
  for (const [name, value] of capture.headers) headers.set(name.toLowerCase(), [value])
  return { method: capture.method, rawPath, rawQuery, headers, body: capture.body }
}

function isSigned(capture: Capture, name: string): boolean {
  const authorization = headerOf(capture, 'authorization')!
  if (authorization.startsWith('acs ')) {
    return name.startsWith('x-acs-') || ['accept', 'content-md5', 'content-type', 'date'].includes(name)
  }
  return /SignedHeaders=([^,]+)/.exec(authorization)![1]!.split(';').includes(name)
}

function withHeader(capture: Capture, name: string, value: string): Capture {
  const same = (key: string) => key.toLowerCase() === name.toLowerCase()
  return { ...capture, headers: capture.headers.map(([key, old]) => [key, same(key) ? value : old] as const) }
}

/** Another letter or digit, never one that only changes the case. */
function replaceAt(text: string, at: number): string {
  const old = text[at]!
  return text.slice(0, at) + (old === 'q' || old === 'Q' ? 'z' : 'q') + text.slice(at + 1)
}

/** The last base64 character before `=` carries unused bits. */
function decodesAlike(a: string, b: string): boolean {
  const bytes = (text: string) => Buffer.from(text.split(':')[1] ?? '', 'base64').toString('hex')
  return a.startsWith('acs ') && a.split(':')[0] === b.split(':')[0] && bytes(a) === bytes(b)
}
