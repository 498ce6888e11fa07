/** What the loop promises, over a real ledger and an engine in memory, on a clock moved by hand. */
import { afterEach, describe, expect, it } from 'vitest'
import type { EngineCall, Fault } from '../../src/engines/simulated/engine.ts'
import { instanceStatus } from '../../src/lifecycle/status.ts'
import { EngineError } from '../../src/model/refusals.ts'
import { settle } from '../../src/world/simulated.ts'
import {
  addInstance,
  addTopic,
  type Bench,
  changeAccount,
  changeRetention,
  day,
  dropInstance,
  dropTopic,
  makeBench,
  minute,
  moveExpiry,
  transcript,
} from './bench.ts'

const id = 'rmq-cn-one'
const benches: Bench[] = []
const bench = async (...args: Parameters<typeof makeBench>): Promise<Bench> => {
  const made = await makeBench(...args)
  benches.push(made)
  return made
}
afterEach(async () => {
  for (const made of benches.splice(0)) await made.close()
})

const statusOf = async (b: Bench, instanceId: string): Promise<string> => {
  const row = await b.ledger.read
    .selectFrom('instances')
    .selectAll()
    .where('instance_id', '=', instanceId)
    .executeTakeFirst()
  return row === undefined ? 'gone' : instanceStatus(row, b.clock.now())
}
const methods = (b: Bench, from = 0): string[] => b.engine.calls.slice(from).map(({ method }) => method)

describe('create, change and delete', () => {
  it('makes an instance with what is in it from one wake, and writes once', async () => {
    const b = await bench()
    const loop = await b.startLoop()
    await addInstance(b, id, { topics: ['orders', 'audit'] })
    expect(await statusOf(b, id)).toBe('CREATING')
    const before = b.changes()
    loop.wake(id)
    await loop.settled()
    expect(await statusOf(b, id)).toBe('RUNNING')
    expect(b.changes() - before).toBe(1)
    expect(methods(b)).toEqual(['observe', 'ensureInstance', 'ensureTopics'])
    expect(b.engine.held(id)?.spec).toEqual({
      instanceId: id,
      generation: 1,
      serving: true,
      listen: [{ kind: 'vpc', host: '127.0.0.1', port: 7801, allow: [], bandwidthMbps: null }],
      ipWhitelist: ['0.0.0.0/0'],
      accounts: [{ username: 'user000000000001', secret: `secret of ${id}`, enabled: true, kind: 'default' }],
      aclTypes: ['default'],
      grants: [],
      vpcAuthFree: false,
      retentionHours: 72,
      sendTps: 1000,
      receiveTps: 1000,
      elasticity: null,
      maxConnections: 4000,
      maxDelayMs: 7 * 86_400_000,
      maxGroupsMadeByUse: 100,
      dedicated: false,
      encryptionKeyId: null,
    })
  })

  it('tells the engine of accounts and grants with each change of them, and of none that are gone', async () => {
    const b = await bench()
    const loop = await b.startLoop()
    await addInstance(b, id)
    const told = async () => {
      loop.wake(id)
      await loop.settled()
      const { accounts, grants, generation } = b.engine.held(id)!.spec!
      return { accounts: accounts.map(({ username, kind }) => `${username} ${kind}`).sort(), grants, generation }
    }
    const usual = ['user000000000001 default']
    expect(await told()).toEqual({ accounts: usual, grants: [], generation: 1 })
    await changeAccount(b, id, 'worker', 'present')
    const grant = { username: 'worker', resourceType: 'Topic', resourceName: 'orders', decision: 'Allow' }
    expect(await told()).toEqual({
      ...{ accounts: [...usual, 'worker custom'], generation: 2 },
      grants: [{ ...grant, actions: ['Pub', 'Sub'], addresses: ['10.0.0.0/8'] }],
    })
    expect(await statusOf(b, id)).toBe('RUNNING')
    await changeAccount(b, id, 'worker', 'absent')
    expect(await told()).toEqual({ accounts: usual, grants: [], generation: 3 })
  })

  it('reads accounts and grants only where they changed, or the instance is to be told again', async () => {
    const b = await bench()
    const loop = await b.startLoop()
    await addInstance(b, id, { expireInMs: minute })
    await changeAccount(b, id, 'worker', 'present')
    loop.wake(id)
    await loop.settled()
    const seal = (password_sealed: string) =>
      b.want(({ tx }) =>
        tx.updateTable('instance_accounts').set({ password_sealed }).where('username', '=', 'worker').execute(),
      )
    const { password_sealed } = await b.ledger.read
      .selectFrom('instance_accounts')
      .select('password_sealed')
      .where('username', '=', 'worker')
      .executeTakeFirstOrThrow()
    // An account that does not open fails every look that reads it.
    await seal('nonsense')
    await addTopic(b, id, 'orders')
    loop.wake(id)
    await loop.settled()
    expect((await transcript(b)).engine).toEqual([
      `${id} running @2, vpc 7801, topic orders@1, account worker granted orders`,
    ])
    expect(b.failures).toEqual([])
    await seal(password_sealed)
    await b.clock.advance(2 * minute)
    await loop.settled()
    expect((await transcript(b)).engine).toEqual([
      `${id} stopped @2, vpc 7801, topic orders@1, account worker granted orders`,
    ])
    expect(b.engine.held(id)!.spec!.grants).toHaveLength(1)
    b.engine.restart()
    await loop.settled()
    expect(b.engine.held(id)!.spec!.grants).toHaveLength(1)
  })

  it('makes sixteen at once with few transactions', async () => {
    const b = await bench()
    const loop = await b.startLoop()
    const ids = Array.from({ length: 16 }, (_, n) => `rmq-cn-${n}`)
    await Promise.all(ids.map((each) => addInstance(b, each)))
    const before = b.changes()
    for (const each of ids) loop.wake(each)
    await loop.settled()
    expect(b.engine.heldIds()).toHaveLength(16)
    expect(b.changes() - before).toBeLessThanOrEqual(2)
  })

  it('shows CHANGING while a change is under way, and RUNNING after it', async () => {
    const b = await bench({ delayMs: ({ method }) => (method === 'ensureInstance' ? 500 : 0) })
    const loop = b.makeLoop()
    const started = loop.start()
    await started
    await addInstance(b, id)
    loop.wake(id)
    await b.clock.advance(499)
    expect(await statusOf(b, id)).toBe('CREATING')
    await b.clock.advance(1)
    await loop.settled()
    expect(await statusOf(b, id)).toBe('RUNNING')
    await changeRetention(b, id, 24)
    loop.wake(id)
    await b.clock.advance(499)
    expect(await statusOf(b, id)).toBe('CHANGING')
    await b.clock.advance(1)
    await loop.settled()
    expect(await statusOf(b, id)).toBe('RUNNING')
    expect(b.engine.held(id)?.spec?.retentionHours).toBe(24)
  })

  it('coalesces wakes that come while it works on the instance, and misses none', async () => {
    const b = await bench({ delayMs: ({ method }) => (method === 'ensureTopics' ? 100 : 0) })
    const loop = await b.startLoop()
    await addInstance(b, id, { topics: ['first'] })
    loop.wake(id)
    await b.clock.advance(50)
    for (const name of ['a', 'b', 'c', 'd', 'e']) {
      await addTopic(b, id, name)
      loop.wake(id)
    }
    await b.clock.advance(200)
    await loop.settled()
    expect(methods(b).filter((method) => method === 'ensureTopics')).toHaveLength(2)
    expect([...b.engine.held(id)!.topics.keys()].sort()).toEqual(['a', 'b', 'c', 'd', 'e', 'first'])
  })

  it('does not record what it did over a change that came meanwhile', async () => {
    const b = await bench({ delayMs: ({ method }) => (method === 'ensureTopics' ? 100 : 0) })
    const loop = await b.startLoop()
    await addInstance(b, id, { topics: ['orders'] })
    loop.wake(id)
    await b.clock.advance(50)
    // Deleted and created again while the first one is being made: the second must not inherit its messages.
    await dropTopic(b, id, 'orders')
    await addTopic(b, id, 'orders')
    loop.wake(id)
    await b.clock.advance(500)
    await loop.settled()
    expect(methods(b).slice(2)).toEqual(['ensureTopics', 'observeInstance', 'removeTopic', 'ensureTopics'])
    expect((await transcript(b)).ledger).toEqual([`${id} present 1/1, settled, vpc 7801, topic orders present 3/3`])
  })

  it('works on the same instance one step at a time, and on different ones beside each other', async () => {
    let running = 0
    let most = 0
    const b = await bench({
      delayMs: ({ method }) => {
        if (method !== 'ensureInstance') return 0
        running += 1
        most = Math.max(most, running)
        b.clock.after(100, () => {
          running -= 1
        })
        return 100
      },
    })
    const loop = b.makeLoop(undefined, { concurrency: 4 })
    await loop.start()
    for (let n = 0; n < 10; n += 1) await addInstance(b, `rmq-cn-${n}`)
    for (let n = 0; n < 10; n += 1) for (let time = 0; time < 3; time += 1) loop.wake(`rmq-cn-${n}`)
    await b.clock.advance(10_000)
    await loop.settled()
    expect(most).toBe(4)
    expect(methods(b).filter((method) => method === 'ensureInstance')).toHaveLength(10)
  })

  it('forgets a deleted instance with its rows, and lets its ports rest, also over a restart', async () => {
    const b = await bench()
    const loop = await b.startLoop()
    await addInstance(b, id, { topics: ['orders'], public: true })
    loop.wake(id)
    await loop.settled()
    await dropInstance(b, id)
    expect(await statusOf(b, id)).toBe('RELEASED')
    loop.wake(id)
    await loop.settled()
    expect(await transcript(b)).toEqual({ ledger: [], engine: [] })
    const { read } = b.ledger
    for (const table of ['topics', 'consumer_groups', 'instance_accounts', 'tags'] as const) {
      expect(await read.selectFrom(table).selectAll().execute()).toEqual([])
    }
    await addInstance(b, 'rmq-cn-two')
    loop.wake('rmq-cn-two')
    await loop.settled()
    expect(b.engine.held('rmq-cn-two')?.spec?.listen[0]?.port).toBe(7803)
    await loop.stop()
    const next = await b.startLoop()
    await addInstance(b, 'rmq-cn-three')
    next.wake('rmq-cn-three')
    await next.settled()
    expect(b.engine.held('rmq-cn-three')?.spec?.listen[0]?.port).toBe(7804)
  })

  it('ignores a wake for an instance that nobody knows', async () => {
    const b = await bench()
    const loop = await b.startLoop()
    loop.wake('rmq-cn-never-was')
    await loop.settled()
    expect(await transcript(b)).toEqual({ ledger: [], engine: [] })
  })
})

describe('restart', () => {
  it.each([
    ['keeps its specifications', false],
    ['keeps only the data', true],
  ])(
    'brings up a hundred instances on their ports with one look, and writes nothing: the engine %s',
    async (_, forgetful) => {
      const b = await bench({ forgetful })
      const first = await b.startLoop()
      const ids = Array.from({ length: 100 }, (_, n) => `rmq-cn-${String(n).padStart(3, '0')}`)
      await Promise.all(ids.map((each) => addInstance(b, each, { topics: ['orders'] })))
      for (const each of ids) first.wake(each)
      await first.settled()
      const before = await transcript(b)
      expect(before.engine[99]).toMatch(/^rmq-cn-099 running @1, vpc \d+, topic orders@1$/)
      await first.stop()

      b.engine.restart()
      const changes = b.changes()
      const calls = b.engine.calls.length
      await b.startLoop()
      expect(await transcript(b)).toEqual(before)
      expect(b.changes()).toBe(changes)
      const made = methods(b, calls)
      expect(made.filter((method) => method === 'observe')).toHaveLength(1)
      expect(made.filter((method) => method === 'ensureInstance')).toHaveLength(100)
      expect(made).toHaveLength(101)
    },
  )

  it('makes everything again in an engine that lost all it held', async () => {
    const b = await bench()
    const loop = await b.startLoop()
    for (const each of ['rmq-cn-a', 'rmq-cn-b']) await addInstance(b, each, { topics: ['orders'] })
    loop.wake('rmq-cn-a')
    loop.wake('rmq-cn-b')
    await loop.settled()
    const before = await transcript(b)
    b.engine.loseEverything()
    await settle()
    await loop.settled()
    expect(await transcript(b)).toEqual(before)
  })

  it('mends an instance that the engine reports as changed', async () => {
    const b = await bench()
    const loop = await b.startLoop()
    await addInstance(b, id)
    loop.wake(id)
    await loop.settled()
    b.engine.breakInstance(id, 'Its disk was full.')
    await loop.settled()
    expect(b.engine.held(id)).toMatchObject({ state: 'running', reason: null })
  })

  describe('while the loop is at work on the instance', () => {
    /** A change of the instance was made, and that of a topic is under way. */
    const atWork = async () => {
      const b = await bench({ delayMs: ({ method }) => (method === 'ensureTopics' ? 100 : 0) })
      const loop = await b.startLoop()
      await addInstance(b, id, { topics: ['first'] })
      loop.wake(id)
      await b.clock.advance(500)
      await loop.settled()
      await changeRetention(b, id, 24)
      await addTopic(b, id, 'second')
      const before = b.engine.calls.length
      loop.wake(id)
      await b.clock.advance(50)
      expect(methods(b, before)).toEqual(['ensureInstance', 'ensureTopics'])
      return { b, loop }
    }

    it('mends what the engine reports meanwhile', async () => {
      const { b, loop } = await atWork()
      b.engine.breakInstance(id, 'Its disk was full.')
      await b.clock.advance(500)
      await loop.settled()
      expect(b.engine.held(id)).toMatchObject({ state: 'running', reason: null })
    })

    it('serves again what ended with the engine meanwhile', async () => {
      const { b, loop } = await atWork()
      b.engine.restart()
      await b.clock.advance(500)
      await loop.settled()
      expect(b.engine.held(id)).toMatchObject({ state: 'running', reason: null })
    })
  })

  it('says which port is taken, keeps it, and recovers when it is free', async () => {
    const b = await bench()
    const first = await b.startLoop()
    await addInstance(b, id)
    await addInstance(b, 'rmq-cn-two')
    first.wake(id)
    first.wake('rmq-cn-two')
    await first.settled()
    await first.stop()

    b.engine.restart()
    b.engine.refusePort(7801, true)
    const loop = await b.startLoop()
    const row = await b.ledger.read
      .selectFrom('instances')
      .select('failure')
      .where('vpc_port', '=', 7801)
      .executeTakeFirst()
    expect(row?.failure).toBe(
      'Port 7801 on 127.0.0.1 is taken by another program; stop that program, and the instance comes up by itself.',
    )
    expect((await transcript(b)).engine).toContain('rmq-cn-two running @1, vpc 7802')
    expect(await statusOf(b, id)).toBe('CHANGING')
    const written = b.changes()
    await b.clock.advance(2 * minute)
    expect(b.failures.length).toBeGreaterThan(5)
    // The same sentence is written and logged once, however often it is tried.
    expect(b.changes()).toBe(written)
    expect(b.log.filter((text) => text.includes('trying again'))).toHaveLength(1)
    b.engine.refusePort(7801, false)
    await b.clock.advance(30_000)
    await loop.settled()
    expect(await statusOf(b, id)).toBe('RUNNING')
    expect((await transcript(b)).engine).toContain(`${id} running @1, vpc 7801`)
  })

  it('gives a new instance another port when its first one is snatched away', async () => {
    const b = await bench()
    const loop = await b.startLoop()
    b.engine.refusePort(7801, true)
    await addInstance(b, id)
    loop.wake(id)
    await loop.settled()
    expect(await statusOf(b, id)).toBe('CREATING')
    b.busyPorts.add(7801)
    await b.clock.advance(1000)
    await loop.settled()
    expect(await transcript(b)).toEqual({
      ledger: [`${id} present 1/1, settled, vpc 7802`],
      engine: [`${id} running @1, vpc 7802`],
    })
  })
})

describe('what the ledger does not know', () => {
  it('removes what was deleted and came back', async () => {
    const b = await bench()
    const first = await b.startLoop()
    await addInstance(b, id)
    first.wake(id)
    await first.settled()
    const spec = b.engine.held(id)!.spec!
    await dropInstance(b, id)
    first.wake(id)
    await first.settled()
    await first.stop()
    // A power cut took back the engine's removal, which was not on its disk yet.
    await b.engine.ensureInstance(spec)
    await b.startLoop()
    expect(b.engine.heldIds()).toEqual([])
  })

  it.each([
    ['with its specification', false],
    ['as remains', true],
  ])('leaves alone, and names once, an instance of another ledger: the engine shows it %s', async (_, forgetful) => {
    const stranger = await bench()
    const loop = await stranger.startLoop()
    await addInstance(stranger, id, { topics: ['orders'] })
    loop.wake(id)
    await loop.settled()
    const b = await bench({ forgetful })
    await b.engine.ensureInstance(stranger.engine.held(id)!.spec!)
    b.engine.restart()
    await b.startLoop()
    await b.clock.advance(25 * minute)
    expect(b.engine.heldIds()).toEqual([id])
    expect(b.log).toEqual([expect.stringContaining('this ledger never knew')])
  })
})

describe('expiry and release', () => {
  it('stops at the expiry, serves again after a renewal, and releases at the release time only', async () => {
    const b = await bench()
    const loop = await b.startLoop()
    const start = b.clock.monotonic()
    const at = (elapsedMs: number): Promise<void> => b.clock.advance(start + elapsedMs - b.clock.monotonic())
    await addInstance(b, id, { expireInMs: 10 * minute, graceMs: 20 * minute, topics: ['orders'] })
    loop.wake(id)
    await at(10 * minute - 1)
    expect([await statusOf(b, id), b.engine.held(id)?.state]).toEqual(['RUNNING', 'running'])
    await at(10 * minute)
    await loop.settled()
    expect([await statusOf(b, id), b.engine.held(id)?.state]).toEqual(['STOPPED', 'stopped'])
    await moveExpiry(b, id, 10 * minute)
    loop.wake(id)
    await loop.settled()
    expect([await statusOf(b, id), b.engine.held(id)?.state]).toEqual(['RUNNING', 'running'])
    await at(20 * minute)
    await loop.settled()
    expect(b.engine.held(id)?.state).toBe('stopped')
    // moveExpiry gives the product's seven days.
    await b.clock.advance(7 * day - 1)
    expect(b.engine.held(id)?.state).toBe('stopped')
    await b.clock.advance(1)
    await loop.settled()
    expect(await statusOf(b, id)).toBe('gone')
    expect(b.engine.heldIds()).toEqual([])
    const history = await b.ledger.read.selectFrom('changes').select(['principal', 'resource', 'detail_json']).execute()
    expect(history).toEqual([
      { principal: 'system', resource: `instance/${id}`, detail_json: '{"released":true}' },
      { principal: 'system', resource: `instance/${id}`, detail_json: '{"forgotten":true}' },
    ])
  })

  it('notices within a slow pass that the clock was set forward, and set back', async () => {
    const b = await bench()
    const loop = await b.startLoop()
    await addInstance(b, id, { expireInMs: day })
    loop.wake(id)
    await loop.settled()
    b.clock.jump(2 * day)
    await b.clock.advance(30_000)
    await loop.settled()
    expect(b.engine.held(id)?.state).toBe('stopped')
    b.clock.jump(-2 * day)
    await b.clock.advance(30_000)
    await loop.settled()
    expect(b.engine.held(id)?.state).toBe('running')
  })
})

describe('failures', () => {
  const failing = (choose: (call: EngineCall) => Fault | null): Parameters<typeof makeBench>[0] => ({ fault: choose })

  it('tries again with pauses that double up to thirty seconds, and ends the failure when it works', async () => {
    let broken = true
    const b = await bench(failing(({ method }) => (broken && method === 'ensureInstance' ? 'before' : null)))
    const loop = await b.startLoop()
    await addInstance(b, id)
    loop.wake(id)
    await loop.settled()
    await b.clock.advance(10 * minute)
    const pauses = b.failures.map(({ retryInMs }) => retryInMs)
    for (const [n, pause] of pauses.entries()) {
      const whole = Math.min(30_000, 200 * 2 ** n)
      expect(pause).toBeGreaterThanOrEqual(whole / 2)
      expect(pause).toBeLessThanOrEqual(whole)
    }
    expect(pauses.length).toBeGreaterThan(20)
    expect((await transcript(b)).ledger).toEqual([
      `${id} present 0/1, pending, vpc null, failure: The simulated engine refused the call: ensureInstance of ${id}.`,
    ])
    broken = false
    await b.clock.advance(30_000)
    await loop.settled()
    expect((await transcript(b)).ledger).toEqual([`${id} present 1/1, settled, vpc 7801`])
  })

  it('does not wait for the pause when it is woken', async () => {
    let broken = true
    const b = await bench(failing(({ method }) => (broken && method === 'ensureInstance' ? 'after' : null)))
    const loop = await b.startLoop()
    await addInstance(b, id)
    loop.wake(id)
    await loop.settled()
    broken = false
    loop.wake(id)
    await loop.settled()
    expect(await statusOf(b, id)).toBe('RUNNING')
  })

  it('gives up on a call that never ends, and goes on with the others', async () => {
    const b = await bench({
      delayMs: ({ method, instanceId }) => (method === 'ensureInstance' && instanceId === id ? 365 * day : 0),
    })
    const loop = b.makeLoop(undefined, { concurrency: 1 })
    await loop.start()
    await addInstance(b, id)
    await addInstance(b, 'rmq-cn-two')
    loop.wake(id)
    loop.wake('rmq-cn-two')
    await b.clock.advance(minute)
    expect(await statusOf(b, 'rmq-cn-two')).toBe('RUNNING')
    const row = await b.ledger.read
      .selectFrom('instances')
      .select('failure')
      .where('instance_id', '=', id)
      .executeTakeFirst()
    expect(row?.failure).toBe('The simulated engine did not answer ensureInstance within 60 s.')
  })

  it('does not let one bad topic hold up the others, nor make the instance look bad', async () => {
    const b = await bench({ capabilities: { messageTypes: ['NORMAL'] } })
    const loop = await b.startLoop()
    await addInstance(b, id, { topics: ['a', 'b', 'c'] })
    await b.want(({ tx }) =>
      tx.updateTable('topics').set({ message_type: 'FIFO' }).where('topic_name', '=', 'b').execute(),
    )
    loop.wake(id)
    await loop.settled()
    expect((await transcript(b)).ledger).toEqual([
      `${id} present 1/1, pending, vpc 7801, topic a present 1/1, topic b present 0/1, topic c present 1/1`,
    ])
    expect(await statusOf(b, id)).toBe('RUNNING')
    expect(b.failures).toMatchObject([
      { instanceId: id, scope: 'children', failure: 'b: The simulated engine has no FIFO topics.' },
    ])
  })

  it('survives a row that makes no sense, and an account that does not open', async () => {
    const b = await bench()
    const loop = await b.startLoop()
    for (const each of [id, 'rmq-cn-two', 'rmq-cn-three']) await addInstance(b, each)
    await b.want(async ({ tx }) => {
      await tx.updateTable('instances').set({ product_info_json: '{"msgPro' }).where('instance_id', '=', id).execute()
      await tx
        .updateTable('instance_accounts')
        .set({ password_sealed: 'nonsense' })
        .where('instance_id', '=', 'rmq-cn-two')
        .execute()
    })
    for (const each of [id, 'rmq-cn-two', 'rmq-cn-three']) loop.wake(each)
    await loop.settled()
    expect(await statusOf(b, 'rmq-cn-three')).toBe('RUNNING')
    expect(await statusOf(b, id)).toBe('CREATING')
    expect(await statusOf(b, 'rmq-cn-two')).toBe('CREATING')
    expect(b.failures.map(({ instanceId }) => instanceId).sort()).toEqual([id, 'rmq-cn-two'].sort())
  })

  it('takes up by itself, within a slow pass, what nobody woke it for', async () => {
    const b = await bench()
    const loop = await b.startLoop()
    await addInstance(b, id)
    await b.clock.advance(30_000)
    await loop.settled()
    expect(await statusOf(b, id)).toBe('RUNNING')
  })

  it('says so when the engine cannot be seen at all, does nothing blindly, and starts once it can', async () => {
    let away = true
    const b = await bench(failing(({ method }) => (away && method === 'observe' ? 'before' : null)))
    const loop = b.makeLoop()
    await expect(loop.start()).rejects.toThrow(EngineError)
    await addInstance(b, id)
    loop.wake(id)
    await b.clock.advance(5 * minute)
    expect(new Set(methods(b))).toEqual(new Set(['observe']))
    away = false
    await b.clock.advance(minute)
    await loop.settled()
    expect(await statusOf(b, id)).toBe('RUNNING')
  })
})

describe('rest', () => {
  it('holds two timers with a hundred instances at rest, and calls the engine in no slow pass', async () => {
    const b = await bench()
    const loop = await b.startLoop()
    for (let n = 0; n < 100; n += 1) await addInstance(b, `rmq-cn-${n}`)
    for (let n = 0; n < 100; n += 1) loop.wake(`rmq-cn-${n}`)
    await loop.settled()
    expect(b.clock.pending).toBe(2)
    const calls = b.engine.calls.length
    await b.clock.advance(9 * minute)
    expect(b.engine.calls.length).toBe(calls)
    expect(b.clock.pending).toBe(2)
    await loop.stop()
    expect(b.clock.pending).toBe(0)
  })

  it('begins no further instance once it is stopped, and finishes the one under way', async () => {
    const b = await bench({ delayMs: ({ method }) => (method === 'ensureInstance' ? 100 : 0) })
    const loop = b.makeLoop(undefined, { concurrency: 1 })
    await loop.start()
    await addInstance(b, id)
    await addInstance(b, 'rmq-cn-two')
    loop.wake(id)
    loop.wake('rmq-cn-two')
    await b.clock.advance(50)
    let stopped = false
    const stopping = loop.stop().then(() => {
      stopped = true
    })
    await settle()
    expect(stopped).toBe(false)
    await b.clock.advance(50)
    await stopping
    expect(await statusOf(b, id)).toBe('RUNNING')
    expect(await statusOf(b, 'rmq-cn-two')).toBe('CREATING')
    loop.wake('rmq-cn-two')
    await b.clock.advance(minute)
    expect(await statusOf(b, 'rmq-cn-two')).toBe('CREATING')
  })

  it('stops within ten seconds although the engine hangs', async () => {
    const b = await bench({ delayMs: ({ method }) => (method === 'ensureInstance' ? 365 * day : 0) })
    const loop = await b.startLoop()
    await addInstance(b, id)
    loop.wake(id)
    await b.clock.advance(1)
    let stopped = false
    const stopping = loop.stop().then(() => {
      stopped = true
    })
    await b.clock.advance(9_999)
    expect(stopped).toBe(false)
    await b.clock.advance(1)
    await stopping
  })
})
