/**
 * The contract every engine passes, as one suite: what engine.ts promises and the loop relies on. An
 * engine's own test calls `engineContract` with a way to make it. Messages are judged elsewhere, by
 * the official clients; here it is what exists, with which generation, on which port.
 */

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ConsumerGroupId, InstanceId, TopicName } from '../model/ids.ts'
import type { GroupSpec, InstanceSpec, MessageType, OffsetReset, TopicSpec } from '../model/instances.ts'
import type { Engine } from './engine.ts'

/** An engine under test, and what a test may do to the world around it. */
export interface ContractSubject {
  /** Started, and holding nothing. */
  readonly engine: Engine
  /** A port on `host` that nothing listens on. */
  freePort(): Promise<number>
  /** Makes another program listen on the port; the answer makes it let go. */
  occupyPort(port: number): Promise<() => Promise<void>>
  /** Ends this engine as a restart of the server would, and starts another over the same data. */
  reopen(): Promise<Engine>
  /** Leaves what a kill in the middle of `ensureInstance` would leave; null when the engine leaves nothing then. */
  readonly leaveHalfMade: ((instanceId: InstanceId) => Promise<void>) | null
  /** Sends so many messages to a topic of the instance that listens on the port; null when the engine carries none. */
  readonly send: ((port: number, topicName: TopicName, count: number) => Promise<void>) | null
  dispose(): Promise<void>
}

export function engineContract(
  name: string,
  makeSubject: () => Promise<ContractSubject>,
  options: { readonly host?: string } = {},
): void {
  const host = options.host ?? '127.0.0.1'
  const allTypes: readonly MessageType[] = ['NORMAL', 'FIFO', 'DELAY', 'TRANSACTION', 'LITE', 'PRIORITY']

  describe(`the engine contract: ${name}`, () => {
    let subject: ContractSubject
    let engine: Engine
    beforeEach(async () => {
      subject = await makeSubject()
      engine = subject.engine
    })
    afterEach(() => subject.dispose())

    const specOf = async (change: Partial<InstanceSpec> = {}): Promise<InstanceSpec> => ({
      instanceId: 'rmq-cn-contract001',
      generation: 1,
      serving: true,
      listen: [{ kind: 'vpc', host, port: await subject.freePort(), allow: [], bandwidthMbps: null }],
      ipWhitelist: ['0.0.0.0/0'],
      accounts: [{ username: 'contractUser0001', secret: 'contractSecret01', enabled: true, kind: 'default' }],
      aclTypes: ['default'],
      grants: [],
      vpcAuthFree: true,
      retentionHours: 72,
      sendTps: 1000,
      receiveTps: 1000,
      elasticity: null,
      maxConnections: 100,
      maxDelayMs: 7 * 86_400_000,
      maxGroupsMadeByUse: 1000,
      dedicated: false,
      encryptionKeyId: null,
      ...change,
    })
    const lag = (instanceId: InstanceId, consumerGroupId: ConsumerGroupId, of: Engine = engine) =>
      of.ask(instanceId, 'lag', { consumerGroupId })
    const reset = (resetId: string, more: Partial<OffsetReset> = {}): OffsetReset => ({
      resetId,
      consumerGroupId: 'workers',
      topicName: 'orders',
      toMs: 1,
      ...more,
    })
    const topic = (topicName: TopicName, change: Partial<TopicSpec> = {}): TopicSpec => ({
      topicName,
      generation: 1,
      messageType: 'NORMAL',
      maxSendTps: null,
      ...change,
    })
    const group = (consumerGroupId: ConsumerGroupId, change: Partial<GroupSpec> = {}): GroupSpec => ({
      consumerGroupId,
      generation: 1,
      orderly: false,
      maxRetryTimes: 16,
      retry: { kind: 'default' },
      deadLetterTopic: null,
      maxReceiveTps: null,
      ...change,
    })
    /** One line per instance, so that a failing test shows all that the engine holds. */
    const transcript = async (of: Engine = engine): Promise<string[]> =>
      (await of.observe())
        .map(({ instanceId, generation, state, topics, groups }) => {
          const parts = [
            ...topics.map((seen) => `topic ${seen.topicName}@${seen.generation}`).sort(),
            ...groups.map((seen) => `group ${seen.consumerGroupId}@${seen.generation}`).sort(),
          ]
          return [`${instanceId}@${generation} ${state}`, ...parts].join(', ')
        })
        .sort()

    it('holds nothing at first', async () => {
      expect(await transcript()).toEqual([])
      expect(await engine.observeInstance('rmq-cn-contract001')).toBeNull()
      await expect(engine.ask('rmq-cn-contract001', 'usage', {})).rejects.toMatchObject({ code: 'absent' })
    })

    it('makes an instance, and answers what is then in force', async () => {
      const spec = await specOf()
      const observed = await engine.ensureInstance(spec)
      expect(observed).toEqual({
        instanceId: spec.instanceId,
        generation: 1,
        state: 'running',
        reason: null,
        topics: [],
        groups: [],
      })
      expect(await engine.observeInstance(spec.instanceId)).toEqual(observed)
      expect(await engine.observe()).toEqual([observed])
      expect(await engine.ask(spec.instanceId, 'usage', {})).toMatchObject({
        instanceId: spec.instanceId,
        connections: 0,
      })
    })

    it('takes the same instance twice', async () => {
      const spec = await specOf()
      const first = await engine.ensureInstance(spec)
      expect(await engine.ensureInstance(spec)).toEqual(first)
      expect(await transcript()).toEqual(['rmq-cn-contract001@1 running'])
    })

    it('changes an instance, echoes the generation, and keeps what is in it', async () => {
      const spec = await specOf()
      await engine.ensureInstance(spec)
      await engine.ensureTopics(spec.instanceId, [topic('orders')])
      await engine.ensureGroups(spec.instanceId, [group('workers')])
      await engine.ensureInstance({ ...spec, generation: 7, sendTps: 10, retentionHours: 24, vpcAuthFree: false })
      expect(await transcript()).toEqual(['rmq-cn-contract001@7 running, topic orders@1, group workers@1'])
    })

    it('stops and starts again under the same generation, and keeps what is in it', async () => {
      const spec = await specOf()
      await engine.ensureInstance(spec)
      await engine.ensureTopics(spec.instanceId, [topic('orders')])
      expect(await engine.ensureInstance({ ...spec, serving: false })).toMatchObject({
        state: 'stopped',
        generation: 1,
      })
      expect(await transcript()).toEqual(['rmq-cn-contract001@1 stopped, topic orders@1'])
      expect(await engine.ensureInstance(spec)).toMatchObject({ state: 'running', generation: 1 })
      expect(await transcript()).toEqual(['rmq-cn-contract001@1 running, topic orders@1'])
    })

    it('takes topics and groups while stopped', async () => {
      const spec = await specOf({ serving: false })
      await engine.ensureInstance(spec)
      await engine.ensureTopics(spec.instanceId, [topic('orders')])
      await engine.ensureGroups(spec.instanceId, [group('workers')])
      await engine.removeGroup(spec.instanceId, 'workers')
      expect(await transcript()).toEqual(['rmq-cn-contract001@1 stopped, topic orders@1'])
    })

    it('listens on two ports when told to, and on none of them for another instance', async () => {
      const spec = await specOf()
      const internet = {
        kind: 'internet',
        host,
        port: await subject.freePort(),
        allow: ['10.0.0.0/8'],
        bandwidthMbps: 5,
      }
      const both = { ...spec, listen: [...spec.listen, internet as InstanceSpec['listen'][number]] }
      expect(await engine.ensureInstance(both)).toMatchObject({ state: 'running' })
      const other = await engine.ensureInstance({
        ...spec,
        instanceId: 'rmq-cn-contract002',
        listen: [both.listen[1]!],
      })
      expect(other).toMatchObject({ instanceId: 'rmq-cn-contract002', state: 'failed' })
      expect(await engine.observeInstance(spec.instanceId)).toMatchObject({ state: 'running', generation: 1 })
    })

    it('reports a taken port as failed with a sentence that names it, and recovers when asked again', async () => {
      const spec = await specOf()
      const port = spec.listen[0]!.port
      const freePort = await subject.occupyPort(port)
      const failed = await engine.ensureInstance(spec)
      expect(failed).toMatchObject({ instanceId: spec.instanceId, state: 'failed' })
      expect(failed.reason).toMatch(new RegExp(`\\b${port}\\b`))
      expect(failed.reason).toMatch(/\.$/)
      expect(await engine.observeInstance(spec.instanceId)).toMatchObject({ state: 'failed' })
      await freePort()
      expect(await engine.ensureInstance(spec)).toMatchObject({ state: 'running', generation: 1, reason: null })
    })

    it('moves to another port when told to, and lets go of the first', async () => {
      const spec = await specOf()
      await engine.ensureInstance(spec)
      const moved = { ...spec, generation: 2, listen: [{ ...spec.listen[0]!, port: await subject.freePort() }] }
      expect(await engine.ensureInstance(moved)).toMatchObject({ state: 'running', generation: 2 })
      const second = await engine.ensureInstance({ ...spec, instanceId: 'rmq-cn-contract002' })
      expect(second).toMatchObject({ instanceId: 'rmq-cn-contract002', state: 'running' })
    })

    it('removes an instance with all that is in it, also when it is absent, and frees its port', async () => {
      const spec = await specOf()
      await engine.ensureInstance(spec)
      await engine.ensureTopics(spec.instanceId, [topic('orders')])
      await engine.removeInstance(spec.instanceId)
      await engine.removeInstance(spec.instanceId)
      await engine.removeInstance('rmq-cn-never-was')
      expect(await transcript()).toEqual([])
      expect(await engine.observeInstance(spec.instanceId)).toBeNull()
      await expect(engine.ask(spec.instanceId, 'usage', {})).rejects.toMatchObject({ code: 'absent' })
      await engine.ensureInstance({ ...spec, instanceId: 'rmq-cn-contract002' })
      expect(await transcript()).toEqual(['rmq-cn-contract002@1 running'])
    })

    it('keeps instances apart', async () => {
      const one = await specOf()
      const two = await specOf({ instanceId: 'rmq-cn-contract002', generation: 3 })
      await Promise.all([engine.ensureInstance(one), engine.ensureInstance(two)])
      await Promise.all([
        engine.ensureTopics(one.instanceId, [topic('orders', { generation: 4 })]),
        engine.ensureTopics(two.instanceId, [topic('orders', { generation: 5 })]),
      ])
      await engine.removeTopic(one.instanceId, 'orders')
      expect(await transcript()).toEqual([
        'rmq-cn-contract001@1 running',
        'rmq-cn-contract002@3 running, topic orders@5',
      ])
      await engine.removeInstance(one.instanceId)
      expect(await transcript()).toEqual(['rmq-cn-contract002@3 running, topic orders@5'])
    })

    it('makes, changes and removes topics and groups, each as often as it is asked', async () => {
      const { instanceId } = await engine.ensureInstance(await specOf())
      for (let time = 0; time < 2; time += 1) {
        await engine.ensureTopics(instanceId, [topic('orders'), topic('audit', { maxSendTps: 50 })])
        await engine.ensureGroups(instanceId, [
          group('workers'),
          group('fixed', { retry: { kind: 'fixed', intervalSeconds: 20 }, maxRetryTimes: 0, deadLetterTopic: 'audit' }),
        ])
        expect(await transcript()).toEqual([
          'rmq-cn-contract001@1 running, topic audit@1, topic orders@1, group fixed@1, group workers@1',
        ])
      }
      await engine.ensureTopics(instanceId, [topic('orders', { generation: 9, maxSendTps: 5 })])
      await engine.ensureGroups(instanceId, [group('workers', { generation: 8, maxRetryTimes: 2 })])
      for (let time = 0; time < 2; time += 1) {
        await engine.removeTopic(instanceId, 'audit')
        await engine.removeGroup(instanceId, 'fixed')
      }
      expect(await transcript()).toEqual(['rmq-cn-contract001@1 running, topic orders@9, group workers@8'])
      await engine.ensureTopics(instanceId, [])
      await engine.ensureGroups(instanceId, [])
    })

    it('refuses every call about topics and groups of an absent instance', async () => {
      const absent = { name: 'EngineError', code: 'absent' }
      const never = 'rmq-cn-never-was'
      await expect(engine.ensureTopics(never, [topic('orders')])).rejects.toMatchObject(absent)
      await expect(engine.ensureGroups(never, [group('workers')])).rejects.toMatchObject(absent)
      // A removal that did nothing must not look like one that did: the loop would forget the row.
      await expect(engine.removeTopic(never, 'orders')).rejects.toMatchObject(absent)
      await expect(engine.removeGroup(never, 'workers')).rejects.toMatchObject(absent)
      await expect(engine.resetOffsets(never, [reset('a')])).rejects.toMatchObject(absent)
      expect(await transcript()).toEqual([])
    })

    it('resets offsets as often as it is asked, also of a group or a topic that is not there', async () => {
      const { instanceId } = await engine.ensureInstance(await specOf())
      await engine.ensureTopics(instanceId, [topic('orders')])
      await engine.ensureGroups(instanceId, [group('workers')])
      for (let time = 0; time < 2; time += 1) {
        await engine.resetOffsets(instanceId, [
          reset('a'),
          reset('b', { toMs: null }),
          reset('c', { topicName: 'nowhere' }),
          reset('d', { consumerGroupId: 'nobody' }),
        ])
      }
      await engine.resetOffsets(instanceId, [])
      expect(await transcript()).toEqual(['rmq-cn-contract001@1 running, topic orders@1, group workers@1'])
    })

    it('says how far a group is behind: nothing of an absent instance, and of a group that reads nothing', async () => {
      await expect(lag('rmq-cn-never-was', 'workers')).rejects.toMatchObject({ code: 'absent' })
      const { instanceId } = await engine.ensureInstance(await specOf())
      await engine.ensureTopics(instanceId, [topic('orders')])
      await engine.ensureGroups(instanceId, [group('workers')])
      expect(await lag(instanceId, 'workers')).toEqual([])
      expect(await lag(instanceId, 'nobody')).toEqual([])
    })

    it('counts what a reset puts before a group, carries each reset out once, also after a restart', async (test) => {
      if (subject.send === null) return test.skip('this engine carries no messages')
      const spec = await specOf()
      const { instanceId } = await engine.ensureInstance(spec)
      await engine.ensureTopics(instanceId, [topic('orders'), topic('audit')])
      await engine.ensureGroups(instanceId, [group('workers'), group('others')])
      const { port } = spec.listen[0]!
      await subject.send(port, 'orders', 5)
      await subject.send(port, 'audit', 2)
      const ready = async (of: Engine = engine): Promise<string[]> =>
        (await lag(instanceId, 'workers', of)).map(
          (one) => `${one.topicName} ${one.readyCount} ready, ${one.inflightCount} in flight`,
        )
      await engine.resetOffsets(instanceId, [reset('a', { toMs: 0 })])
      expect(await ready()).toEqual(['orders 5 ready, 0 in flight'])
      const [behind] = await lag(instanceId, 'workers')
      expect(behind?.readySinceMs).toBeGreaterThan(0)
      await engine.resetOffsets(instanceId, [reset('b', { toMs: null })])
      expect(await ready()).toEqual(['orders 0 ready, 0 in flight'])
      await engine.resetOffsets(instanceId, [reset('b', { toMs: 0 })])
      expect(await ready(), 'b was carried out before').toEqual(['orders 0 ready, 0 in flight'])
      await subject.send(port, 'orders', 1)
      expect(await ready()).toEqual(['orders 1 ready, 0 in flight'])
      expect(await lag(instanceId, 'others'), 'another group').toEqual([])

      const reopened = await subject.reopen()
      await reopened.ensureInstance(spec)
      await reopened.resetOffsets(instanceId, [reset('b', { toMs: 0 })])
      expect(await ready(reopened)).toEqual(['orders 1 ready, 0 in flight'])
      await reopened.resetOffsets(instanceId, [reset('c', { toMs: 0 })])
      expect(await ready(reopened)).toEqual(['orders 6 ready, 0 in flight'])
      await reopened.resetOffsets(instanceId, [reset('d', { topicName: 'audit', toMs: 0 })])
      expect((await ready(reopened)).sort()).toEqual(['audit 2 ready, 0 in flight', 'orders 6 ready, 0 in flight'])
    })

    it('refuses a question that nobody knows, and says which', async () => {
      const { instanceId } = await engine.ensureInstance(await specOf())
      for (const question of ['whoAreYou', 'constructor', '__proto__']) {
        const asked = engine.ask(instanceId, question as 'usage', {})
        await expect(asked).rejects.toMatchObject({ code: 'unsupported', message: expect.stringContaining(question) })
      }
    })

    it('takes every message type it claims, and refuses the others by name', async () => {
      const { instanceId } = await engine.ensureInstance(await specOf())
      for (const messageType of allTypes) {
        const made = engine.ensureTopics(instanceId, [topic(`of-${messageType}`, { messageType })])
        if (engine.capabilities.messageTypes.includes(messageType)) await made
        else
          await expect(made).rejects.toMatchObject({
            code: 'unsupported',
            message: expect.stringContaining(messageType),
          })
      }
      const seen = await engine.observeInstance(instanceId)
      expect(seen?.topics.map(({ topicName }) => topicName).sort()).toEqual(
        engine.capabilities.messageTypes.map((type) => `of-${type}`).sort(),
      )
    })

    it('takes ordered groups when it claims to, and refuses them otherwise', async () => {
      const { instanceId } = await engine.ensureInstance(await specOf())
      const made = engine.ensureGroups(instanceId, [group('ordered', { orderly: true })])
      if (engine.capabilities.orderlyGroups) await made
      else await expect(made).rejects.toMatchObject({ code: 'unsupported' })
    })

    it('makes several hundred topics in one call', async () => {
      const { instanceId } = await engine.ensureInstance(await specOf())
      const names = Array.from({ length: 300 }, (_, index) => `topic-${String(index).padStart(3, '0')}`)
      await engine.ensureTopics(
        instanceId,
        names.map((topicName) => topic(topicName)),
      )
      const seen = await engine.observeInstance(instanceId)
      expect(seen?.topics.map(({ topicName }) => topicName).sort()).toEqual(names)
    })

    it('holds the same after a restart, and serves on the same port again', async () => {
      const spec = await specOf({ generation: 4 })
      await engine.ensureInstance(spec)
      await engine.ensureTopics(spec.instanceId, [topic('orders', { generation: 2 })])
      await engine.ensureGroups(spec.instanceId, [group('workers', { generation: 3 })])
      const reopened = await subject.reopen()
      // An engine that keeps no specification of its own shows remains until it is told again: generation 0, nothing listed.
      expect([
        'rmq-cn-contract001@0 stopped',
        'rmq-cn-contract001@4 stopped, topic orders@2, group workers@3',
        'rmq-cn-contract001@4 running, topic orders@2, group workers@3',
      ]).toContain((await transcript(reopened)).join())
      expect(await reopened.ensureInstance(spec)).toEqual({
        instanceId: spec.instanceId,
        generation: 4,
        state: 'running',
        reason: null,
        topics: [{ topicName: 'orders', generation: 2 }],
        groups: [{ consumerGroupId: 'workers', generation: 3 }],
      })
      expect(await transcript(reopened)).toEqual(['rmq-cn-contract001@4 running, topic orders@2, group workers@3'])
    })

    it('holds nothing of a removed instance after a restart', async () => {
      const spec = await specOf()
      await engine.ensureInstance(spec)
      await engine.removeInstance(spec.instanceId)
      expect(await transcript(await subject.reopen())).toEqual([])
    })

    it('shows remains of a half-made instance with generation 0, and completes or removes them', async (test) => {
      if (subject.leaveHalfMade === null) return test.skip('this engine leaves nothing half-made')
      const spec = await specOf()
      await subject.leaveHalfMade(spec.instanceId)
      await subject.leaveHalfMade('rmq-cn-contract002')
      expect((await transcript()).map((line) => line.split(' ')[0])).toEqual([
        'rmq-cn-contract001@0',
        'rmq-cn-contract002@0',
      ])
      expect(await engine.ensureInstance(spec)).toMatchObject({ state: 'running', generation: 1 })
      await engine.removeInstance('rmq-cn-contract002')
      expect(await transcript()).toEqual(['rmq-cn-contract001@1 running'])
    })

    it('does not report as a change what it was asked to do', async () => {
      const heard: Array<string | null> = []
      engine.onChange((instanceId) => heard.push(instanceId))
      const spec = await specOf()
      await engine.ensureInstance(spec)
      await engine.ensureTopics(spec.instanceId, [topic('orders')])
      await engine.ensureInstance({ ...spec, generation: 2, serving: false })
      await engine.removeTopic(spec.instanceId, 'orders')
      await engine.removeInstance(spec.instanceId)
      expect(heard).toEqual([])
    })

    it('stops, and may be stopped again', async () => {
      const spec = await specOf()
      await engine.ensureInstance(spec)
      await engine.stop()
      await engine.stop()
      const freePort = await subject.occupyPort(spec.listen[0]!.port)
      await freePort()
    })
  })
}
