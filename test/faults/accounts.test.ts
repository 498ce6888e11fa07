/**
 * kill -9 of the management server, and now and then of the broker process with it, while accounts and grants are made,
 * changed and deleted: each change is there wholly and in force, or not at all, and the same call once more ends it.
 */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { pause, realClock } from '../../src/world/real.ts'
import { runningInstance, sdk, sdkClient, until } from '../support/sdk.ts'
import { type TestHome, type TestServer, temporaryHome } from '../support/server.ts'
import { DriverClient } from '../wire/driver/client.ts'

const OK = 20000
const UNAUTHORIZED = 40100
const FORBIDDEN = 40300
const rounds = 6
const topic = 'orders'

let home: TestHome
let server: TestServer
let api: any
let instanceId: string
let port: number

const start = async () => {
  server = await home.start({ env: { GANTRY_FIRST_INSTANCE_PORT: '24400' } })
  api = sdkClient(server.ready)
}
beforeAll(async () => {
  home = await temporaryHome()
  await start()
  const made = await runningInstance(api, { topic })
  instanceId = made.instanceId
  port = Number(made.endpoint.split(':').at(-1))
  const aclInfo = new sdk.UpdateInstanceRequestAclInfo({ defaultVpcAuthFree: false, aclTypes: ['apache_acl'] })
  await api.updateInstance(instanceId, new sdk.UpdateInstanceRequest({ aclInfo }))
})
afterAll(() => home?.close())

const createAccount = (username: string, password: string) =>
  api.createInstanceAccount(instanceId, new sdk.CreateInstanceAccountRequest({ username, password, remark: password }))
const updateAccount = (username: string, password: string) =>
  api.updateInstanceAccount(instanceId, username, new sdk.UpdateInstanceAccountRequest({ password, remark: password }))
const deleteAccount = (username: string) => api.deleteInstanceAccount(instanceId, username)
const key = { resourceType: 'Topic', resourceName: topic }
const createGrant = (username: string) =>
  api.createInstanceAcl(
    instanceId,
    username,
    new sdk.CreateInstanceAclRequest({ ...key, actions: ['Pub', 'Sub'], decision: 'Allow' }),
  )
const updateGrant = (username: string) =>
  api.updateInstanceAcl(
    instanceId,
    username,
    new sdk.UpdateInstanceAclRequest({ ...key, actions: ['Pub'], decision: 'Deny', ipWhitelists: ['127.0.0.0/8'] }),
  )
const deleteGrant = (username: string) =>
  api.deleteInstanceAcl(instanceId, username, new sdk.DeleteInstanceAclRequest(key))

/** What the API says of an account: its password and note, and its grants. */
async function stateOf(username: string): Promise<string> {
  const { body } = await api.listInstanceAcl(instanceId, new sdk.ListInstanceAclRequest({ filter: username }))
  const grants = body.data.list.map(({ actions, decision, ipWhitelists }: any) =>
    [decision, actions.join('|'), ...(ipWhitelists ?? [])].join(' '),
  )
  const account = await api
    .getInstanceAccount(instanceId, new sdk.GetInstanceAccountRequest({ username }))
    .then((answer: any) => `${answer.body.data.password} ${answer.body.data.remark}`)
    .catch((error: any) => {
      expect(error.code).toBe('InstanceAccount.NotExisted')
      return 'none'
    })
  return [account, ...grants].join(', ')
}

/** The code of a send by the account. */
async function sendCode(username: string, secret: string): Promise<number | null> {
  const credentials = { username, secret }
  const client = await DriverClient.dial('java', { port, tls: false, clock: realClock, credentials }).catch(() => null)
  if (client === null) return null
  try {
    return (await client.send(client.message(topic, 'x'))).status?.code ?? null
  } catch {
    return null
  } finally {
    client.close()
  }
}

interface Operation {
  readonly prepare: (username: string) => Promise<unknown>
  readonly change: (username: string) => Promise<unknown>
  /** State, and what a send with the password `first` and one with `second` is answered, before and after. */
  readonly before: readonly [state: string, first: number, second: number]
  readonly after: readonly [state: string, first: number, second: number]
  /** The refusal that says of the same call that it was carried out; null where it is answered like the first. */
  readonly again: string | null
}

const withAccount = (username: string) => createAccount(username, 'first')
const withGrant = async (username: string) => {
  await withAccount(username)
  await createGrant(username)
}
const allowed = 'first first, Allow Pub|Sub'

const operations: Readonly<Record<string, Operation>> = {
  createInstanceAccount: {
    prepare: async () => {},
    change: withAccount,
    before: ['none', UNAUTHORIZED, UNAUTHORIZED],
    after: ['first first', FORBIDDEN, UNAUTHORIZED],
    again: 'InstanceAccount.Existed',
  },
  updateInstanceAccount: {
    prepare: withGrant,
    change: (username) => updateAccount(username, 'second'),
    before: [allowed, OK, UNAUTHORIZED],
    after: ['second second, Allow Pub|Sub', UNAUTHORIZED, OK],
    again: null,
  },
  deleteInstanceAccount: {
    prepare: withGrant,
    change: deleteAccount,
    before: [allowed, OK, UNAUTHORIZED],
    after: ['none', UNAUTHORIZED, UNAUTHORIZED],
    again: 'InstanceAccount.NotExisted',
  },
  createInstanceAcl: {
    prepare: withAccount,
    change: createGrant,
    before: ['first first', FORBIDDEN, UNAUTHORIZED],
    after: [allowed, OK, UNAUTHORIZED],
    again: 'InstanceAcl.Existed',
  },
  updateInstanceAcl: {
    prepare: withGrant,
    change: updateGrant,
    before: [allowed, OK, UNAUTHORIZED],
    after: ['first first, Deny Pub 127.0.0.0/8', FORBIDDEN, UNAUTHORIZED],
    again: null,
  },
  deleteInstanceAcl: {
    prepare: withGrant,
    change: deleteGrant,
    before: [allowed, OK, UNAUTHORIZED],
    after: ['first first', FORBIDDEN, UNAUTHORIZED],
    again: 'InstanceAcl.NotExisted',
  },
}

it('each operation is done wholly or not at all, and can be called again', { timeout: 180_000 }, async () => {
  const nameOf = (operation: string, round: number) => `${operation}-${round}`
  const inForce = (username: string, [, first, second]: Operation['before']) =>
    until(
      async () => [await sendCode(username, 'first'), await sendCode(username, 'second')],
      (codes) => codes[0] === first && codes[1] === second,
      `${username} is answered ${first} and ${second}`,
      15,
    )
  const began = performance.now()
  await operations.deleteInstanceAccount!.prepare('measured')
  await deleteAccount('measured')
  const stepMs = Math.max(4, (performance.now() - began) / 4)

  for (let round = 0; round < rounds; round++) {
    for (const [operation, { prepare }] of Object.entries(operations)) await prepare(nameOf(operation, round))
    const acknowledged = new Set<string>()
    const work = Object.entries(operations).map(([operation, { change }]) =>
      change(nameOf(operation, round)).then(
        () => acknowledged.add(operation),
        () => {},
      ),
    )
    // From before the first reply to after the last step of the loop, however slow the machine.
    await pause(round * stepMs)
    await server.kill()
    await Promise.all(work)
    if (round % 2 === 1) await server.killBroker()
    await start()

    for (const [operation, { change, before, after, again }] of Object.entries(operations)) {
      const username = nameOf(operation, round)
      const state = await stateOf(username)
      const isDone = state === after[0]
      expect([before[0], after[0]], username).toContain(state)
      if (acknowledged.has(operation)) expect([username, isDone]).toEqual([username, true])
      await inForce(username, isDone ? after : before)
      const code = await change(username).then(
        () => null,
        (error: any) => error.code,
      )
      expect([username, code]).toEqual([username, isDone ? again : null])
      expect([username, await stateOf(username)]).toEqual([username, after[0]])
      await inForce(username, after)
    }
  }
})
