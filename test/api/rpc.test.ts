/**
 * The billing service's two actions, as Terraform's provider asks for them: RPC-style requests signed by their
 * parameters, over a real ledger.
 */
import { createHmac } from 'node:crypto'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { authenticateRpc, rpcStringToSign } from '../../src/iam/authenticate-rpc.ts'
import { memoryNonces } from '../../src/iam/nonces.ts'
import { encodePercent } from '../../src/iam/percent.ts'
import { clean, instanceBody, START_MS, Subject, stop } from '../resources/harness.ts'
import { PERMANENT_KEY_ID, readFixture, SECRET, testKey } from './captures.ts'
import { type Harness, memoryKeyRing, startApi, USER_KEY_ID } from './harness.ts'

const example = readFixture('worked-examples.json').legacyRpc as {
  params: Record<string, string>
  stringToSign: string
  signature: string
}

describe('the worked example', () => {
  const parameters = (changes: Record<string, string> = {}) =>
    new Map(Object.entries({ ...example.params, Signature: example.signature, ...changes }))
  const outcome = (given: Map<string, string>, at = '2026-01-02T03:04:05Z') =>
    authenticateRpc(
      { keyRing: memoryKeyRing([testKey()]), nonces: memoryNonces() },
      'POST',
      given,
      Date.parse(at),
    ).then(
      () => 'accepted',
      (error) => error.code,
    )

  it('gives the same string to sign and verifies', async () => {
    expect(rpcStringToSign('POST', parameters())).toBe(example.stringToSign)
    expect(await outcome(parameters())).toBe('accepted')
  })

  it.each(Object.keys(example.params))('is refused with another %s', async (name) => {
    const changed = parameters({ [name]: `${example.params[name]}x` })
    expect(await outcome(changed)).not.toBe('accepted')
  })

  it.each([
    ['another signature', { Signature: Buffer.alloc(20).toString('base64') }, 'SignatureDoesNotMatch'],
    ['no signature', { Signature: '' }, 'MissingSignature'],
    ['a signature that is no base64', { Signature: '!' }, 'IncompleteSignature'],
    ['an unknown key', { AccessKeyId: 'nobody' }, 'InvalidAccessKeyId.NotFound'],
    ['another algorithm', { SignatureMethod: 'HMAC-SHA256' }, 'InvalidSignatureMethod'],
    ['a token the key does not have', { SecurityToken: 'x' }, 'InvalidSecurityToken.MismatchWithAccessKey'],
    ['no nonce', { SignatureNonce: '' }, 'MissingSignatureNonce'],
    ['a date that is none', { Timestamp: 'yesterday' }, 'InvalidTimeStamp.Format'],
  ])('is refused with %s', async (_, changes, code) => {
    expect(await outcome(parameters(changes))).toBe(code)
  })

  it('is refused after a quarter of an hour, and when it is sent twice', async () => {
    expect(await outcome(parameters(), '2026-01-02T03:19:06Z')).toBe('InvalidTimeStamp.Expired')
    const authenticator = { keyRing: memoryKeyRing([testKey()]), nonces: memoryNonces() }
    const now = Date.parse('2026-01-02T03:04:05Z')
    await authenticateRpc(authenticator, 'POST', parameters(), now)
    await expect(authenticateRpc(authenticator, 'POST', parameters(), now)).rejects.toMatchObject({
      code: 'SignatureNonceUsed',
    })
  })
})

describe('billing', () => {
  let subject: Subject
  let api: Harness
  let nonce = 0

  beforeEach(async () => {
    subject = await Subject.start()
    api = await startApi({ services: { ledger: subject.ledger }, now: () => subject.clock.now() })
  })
  afterEach(async () => {
    await api.close()
    await clean()
  })
  afterAll(stop)

  const subscription = { ...instanceBody(), paymentType: 'Subscription', period: 1, periodUnit: 'Month' }

  it('answers what the provider reads of an instance', async () => {
    const instanceId = await subject.running()
    await subject.running()
    const reply = await ask('QueryAvailableInstances', { InstanceIDs: instanceId, ProductCode: 'ons' })
    expect(reply).toMatchObject({
      status: 200,
      json: {
        Success: true,
        Code: 'Success',
        Data: {
          PageNum: 1,
          PageSize: 20,
          TotalCount: 1,
          InstanceList: [
            {
              InstanceID: instanceId,
              ProductCode: 'ons',
              ProductType: 'ons_rmqpost_public_cn',
              SubscriptionType: 'PayAsYouGo',
              Region: 'cn-hangzhou',
              Status: 'Normal',
              RenewStatus: 'ManualRenewal',
              CreateTime: new Date(START_MS).toISOString().replace(/\.\d+/, ''),
            },
          ],
        },
      },
    })
    expect(reply.json.Data.InstanceList[0]).not.toHaveProperty('RenewalDuration')
    expect(reply.headers['x-acs-request-id']).toBe(reply.json.RequestId)
  })

  it.each([
    ['all', {}, 2],
    ['a subscription', { SubscriptionType: 'Subscription' }, 1],
    ['what renews itself', { RenewStatus: 'AutoRenewal' }, 1],
    ['what does not', { RenewStatus: 'ManualRenewal' }, 1],
    ['another product', { ProductCode: 'ecs' }, 0],
    ['another commodity', { ProductType: 'vipcloudfw' }, 0],
    ['another region', { Region: 'ap-southeast-1' }, 0],
    ['an instance that is not there', { InstanceIDs: 'rmq-cn-none' }, 0],
    ['a second page', { PageNum: '2', PageSize: '1' }, 2],
  ])('finds %s', async (_, filter, count) => {
    await subject.running()
    await subject.running({ ...subscription, autoRenew: true })
    const { json } = await ask('QueryAvailableInstances', filter as Record<string, string>)
    expect(json.Data.TotalCount).toBe(count)
  })

  it('changes how a subscription renews, in its real length', async () => {
    const instanceId = await subject.running(subscription)
    const renewal = { InstanceIDs: instanceId, ProductCode: 'ons', RenewalStatus: 'AutoRenewal' }
    expect(await ask('SetRenewal', { ...renewal, RenewalPeriod: '1', RenewalPeriodUnit: 'Y' })).toMatchObject({
      status: 200,
      json: { Success: true },
    })
    expect(await listed(instanceId)).toMatchObject({
      RenewStatus: 'AutoRenewal',
      RenewalDuration: 1,
      RenewalDurationUnit: 'Y',
    })
    expect(JSON.parse((await subject.row(instanceId)).billing_json)).toEqual({
      period: 1,
      periodUnit: 'Month',
      autoRenew: true,
      autoRenewPeriod: 1,
      autoRenewPeriodUnit: 'Year',
    })
    await ask('SetRenewal', { ...renewal, RenewalStatus: 'ManualRenewal' })
    expect(await listed(instanceId)).toMatchObject({ RenewStatus: 'ManualRenewal' })
    expect(
      (await subject.changes(`instance/${instanceId}`)).filter(({ action }) => action === 'SetRenewal'),
    ).toHaveLength(2)
  })

  it.each([
    ['SetRenewal', { RenewalStatus: 'ManualRenewal' }, 400, 'MissingInstanceIDs'],
    ['SetRenewal', { InstanceIDs: 'ID', RenewalStatus: 'AutoRenewal' }, 400, 'MissingRenewalPeriod'],
    [
      'SetRenewal',
      { InstanceIDs: 'ID', RenewalStatus: 'AutoRenewal', RenewalPeriod: '4' },
      400,
      'InvalidRenewalPeriod',
    ],
    ['SetRenewal', { InstanceIDs: 'ID', RenewalStatus: 'Always' }, 400, 'InvalidRenewalStatus'],
    ['SetRenewal', { InstanceIDs: 'ID' }, 400, 'MissingRenewalStatus'],
    ['SetRenewal', { InstanceIDs: 'ID,rmq-cn-none', RenewalStatus: 'ManualRenewal' }, 404, 'Instance.NotFound'],
    ['SetRenewal', { InstanceIDs: 'PAYG', RenewalStatus: 'ManualRenewal' }, 400, 'InvalidInstanceIDs'],
    [
      'SetRenewal',
      { InstanceIDs: 'ID', ProductCode: 'ecs', RenewalStatus: 'ManualRenewal' },
      400,
      'InvalidProductCode',
    ],
    ['QueryAvailableInstances', { PageSize: '301' }, 400, 'InvalidPageSize'],
    ['QueryAvailableInstances', { EndTimeStart: '2026-01-01T00:00:00Z' }, 400, 'UnsupportedParameter'],
    ['QueryAvailableInstances', { Version: '2022-08-01' }, 400, 'InvalidVersion'],
    ['DescribeInstanceBill', {}, 404, 'InvalidAction.NotFound'],
    ['constructor', {}, 404, 'InvalidAction.NotFound'],
  ])('refuses %s %j', async (action, parameters, status, code) => {
    const ids = { ID: await subject.running({ ...subscription, autoRenew: true }), PAYG: await subject.running() }
    const given = { ...(parameters as Record<string, string>) }
    if (given['InstanceIDs']) given['InstanceIDs'] = given['InstanceIDs'].replace(/ID|PAYG/, (id) => ids[id as 'ID'])
    expect(await ask(action, given)).toMatchObject({ status, json: { Code: code } })
    expect(await listed(ids.ID)).toMatchObject({ RenewStatus: 'AutoRenewal', RenewalDuration: 1 })
  })

  it('refuses a user without a policy, a wrong signature, a repeated parameter and a JSON body', async () => {
    const renewal = { InstanceIDs: 'rmq-cn-none', RenewalStatus: 'ManualRenewal' }
    expect(await ask('SetRenewal', renewal, { accessKeyId: USER_KEY_ID })).toMatchObject({
      status: 403,
      json: { Code: 'NoPermission', AccessDeniedDetail: { AuthAction: 'bssapi:SetRenewal' } },
    })
    expect(await ask('SetRenewal', {}, { secret: 'wrong' })).toMatchObject({ json: { Code: 'SignatureDoesNotMatch' } })
    const form = { 'content-type': 'application/x-www-form-urlencoded' }
    expect(
      await api.send({ method: 'POST', target: '/?Action=SetRenewal', headers: form, body: 'Action=SetRenewal' }),
    ).toMatchObject({ status: 400, json: { Code: 'InvalidParameter' } })
    expect(await api.send({ method: 'POST', target: '/?Action=SetRenewal', body: '{}' })).toMatchObject({
      status: 400,
      json: { Code: 'UnsupportedContentType' },
    })
  })

  it('answers a request whose headers are signed, as current SDKs send it', async () => {
    const instanceId = await subject.running()
    const reply = await api.call({
      method: 'POST',
      path: '/',
      query: { InstanceIDs: instanceId },
      action: 'QueryAvailableInstances',
      version: '2017-12-14',
    })
    expect(reply).toMatchObject({ status: 200, json: { Data: { TotalCount: 1 } } })
  })

  async function listed(instanceId: string) {
    const { json } = await ask('QueryAvailableInstances', { InstanceIDs: instanceId })
    return json.Data.InstanceList[0]
  }

  /** Signs as Terraform's transport does: common parameters in the query, those of the action in the form. */
  function ask(action: string, input: Record<string, string>, who: { accessKeyId?: string; secret?: string } = {}) {
    const { Version = '2017-12-14', ...rest } = input
    const query: Record<string, string> = {
      Action: action,
      Format: 'json',
      Version,
      Timestamp: `${new Date(subject.clock.now()).toISOString().slice(0, 19)}Z`,
      SignatureNonce: `nonce-${nonce++}`,
      AccessKeyId: who.accessKeyId ?? PERMANENT_KEY_ID,
      SignatureMethod: 'HMAC-SHA1',
      SignatureVersion: '1.0',
    }
    const text = rpcStringToSign('POST', new Map(Object.entries({ ...query, ...rest })))
    query['Signature'] = createHmac('sha1', `${who.secret ?? SECRET}&`)
      .update(text)
      .digest('base64')
    return api.send({
      method: 'POST',
      target: `/?${encoded(query)}`,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: encoded(rest),
    })
  }
})

const encoded = (pairs: Record<string, string>): string =>
  Object.entries(pairs)
    .map(([name, value]) => `${encodePercent(name)}=${encodePercent(value)}`)
    .join('&')
