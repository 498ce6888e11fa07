/**
 * Operations of the API that this version does not carry out yet, by name. The list may only shrink: an operation that
 * loses its handler is not on it, and one that got a handler must be taken off it. Each of them is refused as the
 * vendor refuses, and only once its caller is known and permitted.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Operation, operations } from '../../src/catalogue/index.ts'
import { handlers } from '../../src/resources/index.ts'
import { type Harness, startFrontDoor, USER_KEY_ID } from '../api/harness.ts'

/** Take a line away when its operation works. Never add one. */
const notImplemented = [
  'AddDisasterRecoveryItem',
  'CreateDisasterRecoveryPlan',
  'CreateInstanceAccount',
  'CreateInstanceAcl',
  'DeleteConsumerGroupSubscription',
  'DeleteDisasterRecoveryItem',
  'DeleteDisasterRecoveryPlan',
  'DeleteInstanceAccount',
  'DeleteInstanceAcl',
  'ExecuteMigrationOperation',
  'FinishMigrationStage',
  'GetConsumeTimespan',
  'GetConsumerGroupSubscription',
  'GetConsumerStack',
  'GetDisasterRecoveryItem',
  'GetDisasterRecoveryPlan',
  'GetInstanceAcl',
  'ListConsumerConnections',
  'ListConsumerGroupSubscriptions',
  'ListDisasterRecoveryCheckpoints',
  'ListDisasterRecoveryItems',
  'ListDisasterRecoveryPlans',
  'ListInstanceAccount',
  'ListInstanceAcl',
  'ListMetricMeta',
  'ListMigrationOperations',
  'ListMigrations',
  'ListTopicSubscriptions',
  'StartDisasterRecoveryItem',
  'StopDisasterRecoveryItem',
  'SyncDisasterRecoveryCheckpoint',
  'UpdateDisasterRecoveryItem',
  'UpdateDisasterRecoveryPlan',
  'UpdateInstanceAccount',
  'UpdateInstanceAcl',
  'VerifyConsumeMessage',
  'VerifySendMessage',
]

describe('operations without a handler', () => {
  it('are those of the list: it may only shrink', () => {
    const missing = operations.map(({ action }) => action).filter((action) => !Object.hasOwn(handlers, action))
    const lost = missing.filter((action) => !notImplemented.includes(action))
    const won = notImplemented.filter((action) => !missing.includes(action))
    expect(lost, 'operations that lost their handler, or were added without one').toEqual([])
    expect(won, 'operations that work now, or that the API does not have: take them off the list').toEqual([])
    expect([...new Set(notImplemented)], 'a name stands twice').toEqual(notImplemented)
  })

  it('and no handler answers for an operation that the API does not have', () => {
    const known = new Set<string>(operations.map(({ action }) => action))
    expect(Object.keys(handlers).filter((action) => !known.has(action))).toEqual([])
  })
})

describe('an operation without a handler', () => {
  let door: Harness
  beforeAll(async () => {
    door = await startFrontDoor({ handlers })
  })
  afterAll(() => door.close())

  describe.each(operations.filter(({ action }) => notImplemented.includes(action)))('$action', (operation) => {
    const call = callOf(operation)

    it('answers 501 NotImplemented in the shape of a refusal', async () => {
      const reply = await door.call(call)
      expect(reply.headers['content-type']).toBe('application/json;charset=utf-8')
      expect(reply.headers['x-acs-request-id']).toBe(reply.json.RequestId)
      expect({ status: reply.status, ...reply.json }).toMatchObject({
        status: 501,
        Code: 'NotImplemented',
        Message: `${operation.action} is part of the API but this version of Gantry does not carry it out yet.`,
        HostId: '127.0.0.1',
        code: 'NotImplemented',
        httpStatusCode: 501,
        success: false,
      })
    })

    it('refuses an unknown key, a wrong secret and a user without a policy before it says so', async () => {
      const unknownKey = await door.call({ ...call, accessKeyId: 'no-such-key' })
      expect([unknownKey.status, unknownKey.json.Code]).toEqual([404, 'InvalidAccessKeyId.NotFound'])
      const wrongSecret = await door.call({ ...call, accessKeySecret: 'not-the-secret' })
      expect([wrongSecret.status, wrongSecret.json.Code]).toEqual([400, 'SignatureDoesNotMatch'])
      const notPermitted = await door.call({ ...call, accessKeyId: USER_KEY_ID })
      expect([notPermitted.status, notPermitted.json.Code]).toEqual([403, 'NoPermission'])
      expect(notPermitted.json.AccessDeniedDetail.AuthAction).toBe(operation.ramAction)
    })
  })
})

/** Well formed as far as the path goes; what is behind it is not looked at before there is a handler. */
function callOf(operation: Operation) {
  const { method, action } = operation
  const path = operation.path.replace(/\{(\w+)\}/g, (_place, name: string) => `${name}-1`)
  return { method, action, path, body: method === 'POST' || method === 'PATCH' ? {} : null }
}
