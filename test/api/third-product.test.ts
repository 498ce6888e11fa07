/** Another product needs a declaration and handlers only: one is defined here and called over HTTP. */
import { createHmac } from 'node:crypto'
import Type from 'typebox'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type DataIn,
  type InputIn,
  type OperationsIn,
  operationsIn,
  rpcOperations,
} from '../../src/catalogue/declare.ts'
import { invalid } from '../../src/catalogue/errors.ts'
import { defineProduct, type ProductFacts } from '../../src/catalogue/product.ts'
import { maybe, object, text } from '../../src/catalogue/schema.ts'
import { rpcStringToSign } from '../../src/iam/authenticate-rpc.ts'
import { encodePercent } from '../../src/iam/percent.ts'
import type { HandlerOf, HandlersOf } from '../../src/resources/handler.ts'
import { ACCOUNT_ID, PERMANENT_KEY_ID, SECRET } from './captures.ts'
import { type Harness, startApi, USER_KEY_ID } from './harness.ts'

const facts = {
  code: 'Sts',
  version: '2015-04-01',
  style: 'RPC',
  endpoints: { names: ['sts', 'sts-vpc'], regional: true },
  ramCode: 'sts',
  resources: { role: 'acs:ram::{accountId}:role/{RoleName}' },
  rpcReply: 'members',
} as const satisfies ProductFacts

const assumeRole = rpcOperations(facts)({
  action: 'AssumeRole',
  summary: 'Take a role',
  family: 'roles',
  access: ['create', 'role'],
  parameters: { RoleName: text(64), Policy: maybe(text(100)) },
  data: object({ AssumedRoleId: Type.String() }),
})
const getCallerIdentity = rpcOperations(facts)({
  action: 'GetCallerIdentity',
  summary: 'Who am I',
  family: 'roles',
  access: ['get'],
  needsNoPermission: true,
  parameters: {},
  data: object({ Arn: Type.String() }),
})
const listRoles = rpcOperations(facts)({
  action: 'ListRoles',
  summary: 'List the roles',
  family: 'roles',
  access: ['list'],
  parameters: {},
  data: object({ Count: Type.Integer() }),
})
const families = [{ assumeRole, getCallerIdentity, listRoles }] as const
type Operations = OperationsIn<typeof families>

const roles: HandlerOf<'AssumeRole', InputIn<Operations, 'AssumeRole'>, DataIn<Operations, 'AssumeRole'>> = async (
  _services,
  call,
  { RoleName },
) => {
  if (RoleName === 'nobody') throw invalid('RoleName', 'No such role.')
  return { AssumedRoleId: `${call.principal.accountId}:${RoleName}` }
}
const handlers: HandlersOf<Operations> = {
  AssumeRole: roles,
  GetCallerIdentity: async (_services, call) => ({ Arn: call.principal.arn }),
  ListRoles: async () => ({ Count: 0 }),
}

const needsRoleName = Object.assign((input: unknown) => Object.hasOwn(input as object, 'RoleName'), {
  errors: [{ instancePath: '', keyword: 'required', params: { missingProperty: 'RoleName' } }],
})

describe('a third product', () => {
  let server: Harness
  let nonce = 0
  beforeAll(async () => {
    const product = defineProduct(facts, operationsIn(families), {
      AssumeRole: needsRoleName,
      GetCallerIdentity: () => true,
      ListRoles: () => true,
    })
    server = await startApi({ products: [{ product, handlers }] })
  })
  afterAll(() => server.close())

  it('answers by its own version and envelope', async () => {
    expect(await ask({ RoleName: 'reader' })).toMatchObject({
      status: 200,
      json: { AssumedRoleId: `${ACCOUNT_ID}:reader` },
    })
    expect(await ask({ RoleName: 'reader', Version: '2017-12-14' })).toMatchObject({ json: { Code: 'InvalidVersion' } })
  })

  it('is validated, authorised and refused as every other', async () => {
    expect(await ask({})).toMatchObject({ status: 400, json: { Code: 'MissingRoleName' } })
    expect(await ask({ RoleName: 'nobody' })).toMatchObject({ status: 400, json: { Code: 'InvalidRoleName' } })
    expect(await ask({ RoleName: 'x', Colour: 'red' })).toMatchObject({ json: { Code: 'UnsupportedParameter' } })
    const denied = await ask({ RoleName: 'reader' }, USER_KEY_ID)
    expect(denied).toMatchObject({ status: 403, json: { AccessDeniedDetail: { AuthAction: 'sts:AssumeRole' } } })
    expect(denied.json.Message).toContain(`acs:ram::${ACCOUNT_ID}:role/reader`)
    expect(denied.json.Recommend).toContain('&product=Sts&')
  })

  it('may have operations that need no permission, but a caller', async () => {
    const who = { Action: 'GetCallerIdentity' }
    expect(await ask(who, USER_KEY_ID)).toMatchObject({
      status: 200,
      json: { Arn: expect.stringMatching(/user\/alice$/) },
    })
    expect(await ask(who, 'nobody')).toMatchObject({ status: 404, json: { Code: 'InvalidAccessKeyId.NotFound' } })
  })

  it('may have operations on no resource in particular, which a policy allows for all', async () => {
    const list = { Action: 'ListRoles' }
    expect(await ask(list)).toMatchObject({ status: 200, json: { Count: 0 } })
    const denied = await ask(list, USER_KEY_ID)
    expect(denied).toMatchObject({ status: 403, json: { AccessDeniedDetail: { AuthAction: 'sts:ListRoles' } } })
    expect(denied.json.Message).toContain('asked for sts:ListRoles on *, and')
  })

  it('answers to its own endpoints, and to no others', async () => {
    const at = (host: string) => server.send({ method: 'GET', target: '/_gantry/health', headers: { host } })
    expect((await at('sts.cn-hangzhou.aliyuncs.com')).status).toBe(200)
    expect((await at('sts-vpc.aliyuncs.com')).status).toBe(200)
    expect((await at('rocketmq.cn-hangzhou.aliyuncs.com')).status).toBe(404)
  })

  function ask(input: Record<string, string>, accessKeyId = PERMANENT_KEY_ID) {
    const query: Record<string, string> = {
      Action: 'AssumeRole',
      Version: facts.version,
      Timestamp: `${new Date().toISOString().slice(0, 19)}Z`,
      SignatureNonce: `nonce-${nonce++}`,
      AccessKeyId: accessKeyId,
      SignatureMethod: 'HMAC-SHA1',
      SignatureVersion: '1.0',
      ...input,
    }
    const text = rpcStringToSign('POST', new Map(Object.entries(query)))
    query['Signature'] = createHmac('sha1', `${SECRET}&`).update(text).digest('base64')
    const target = `/?${Object.entries(query)
      .map(([name, value]) => `${encodePercent(name)}=${encodePercent(value)}`)
      .join('&')}`
    return server.send({ method: 'POST', target })
  }
})
