/** Requests that official clients really sent, and the keys they were signed with. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { accountPrincipal } from '../../src/iam/key-ring.ts'
import type { AccessKey } from '../../src/iam/keys.ts'
import { parseHttpDate, parseIsoDate } from '../../src/iam/request-date.ts'

export const CAPTURES = join(import.meta.dirname, '../fixtures/captures')
export const ACCOUNT_ID = '1000000000000001'
export const PERMANENT_KEY_ID = 'test-ak'
export const SECRET = 'test-sk'
export const STS_TOKEN = 'test-sts-token'

export interface Capture {
  readonly name: string
  readonly method: string
  /** As on the request line. */
  readonly target: string
  /** In the order and case sent. */
  readonly headers: readonly (readonly [string, string])[]
  readonly body: Buffer
  readonly at: number
  readonly key: AccessKey
}

export function readCaptures(): Capture[] {
  return readdirSync(CAPTURES)
    .filter((file) => file.endsWith('.json'))
    .map((file) => ({ file, json: JSON.parse(readFileSync(join(CAPTURES, file), 'utf8')) }))
    .filter(({ json }) => json.request !== undefined)
    .map(({ file, json }) => toCapture(file.replace('.json', ''), json))
}

export function readFixture(name: string): any {
  return JSON.parse(readFileSync(join(CAPTURES, name), 'utf8'))
}

export function headerOf(capture: Pick<Capture, 'headers'>, name: string): string | undefined {
  return capture.headers.find(([key]) => key.toLowerCase() === name)?.[1]
}

export function testKey(overrides: Partial<AccessKey> = {}): AccessKey {
  return {
    accessKeyId: PERMANENT_KEY_ID,
    secret: SECRET,
    publicKeyPem: null,
    status: 'Active',
    securityToken: null,
    expireTimeMs: null,
    principal: accountPrincipal(ACCOUNT_ID, PERMANENT_KEY_ID),
    ...overrides,
  }
}

function toCapture(name: string, json: any): Capture {
  const { method, target, headers, bodyBase64 } = json.request
  const date = headerOf({ headers }, 'x-acs-date') ?? headerOf({ headers }, 'date')!
  return {
    name,
    method,
    target,
    headers,
    body: Buffer.from(bodyBase64, 'base64'),
    at: (parseIsoDate(date) ?? parseHttpDate(date))!,
    key: testKey({
      publicKeyPem: json.signature?.publicKey ?? null,
      securityToken: headerOf({ headers }, 'x-acs-security-token') ?? null,
    }),
  }
}
