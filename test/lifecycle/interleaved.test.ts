/**
 * Changes, wakes, faults of the engine, kills of the loop, restarts of the engine and time, in any order
 * and without waiting for each other. When it calms down, everything is as the last changes say: nothing
 * lost, nothing left over, every port as it was first recorded and held by one instance only, and every
 * topic that was not deleted is still the one that was made first.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Fault } from '../../src/engines/simulated/engine.ts'
import type { Reconciler } from '../../src/lifecycle/reconciler.ts'
import { settle } from '../../src/world/simulated.ts'
import {
  addInstance,
  addTopic,
  type Bench,
  changeRetention,
  dropInstance,
  dropTopic,
  Fuse,
  makeBench,
  minute,
} from './bench.ts'

const instance = fc.nat({ max: 2 })
const topic = fc.constantFrom('a', 'b')
const how = fc.constantFrom<Fault>('before', 'midway', 'after')

const act = fc.oneof(
  { weight: 3, arbitrary: fc.record({ act: fc.constant('create' as const), isPublic: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ act: fc.constant('addTopic' as const), instance, topic }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('dropTopic' as const), instance, topic }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('recreateTopic' as const), instance, topic }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('change' as const), instance }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('drop' as const), instance }) },
  { weight: 6, arbitrary: fc.record({ act: fc.constant('wake' as const), instance }) },
  { weight: 4, arbitrary: fc.record({ act: fc.constant('turn' as const) }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('fault' as const), how, skip: fc.nat({ max: 3 }) }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('kill' as const), how, point: fc.nat({ max: 4 }) }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('restartEngine' as const) }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('pass' as const), ms: fc.nat({ max: 2_000 }) }) },
  { weight: 4, arbitrary: fc.record({ act: fc.constant('calm' as const) }) },
)
type Act = typeof act extends fc.Arbitrary<infer T> ? T : never

describe('whatever happens in whatever order', () => {
  it('ends as wanted', async () => {
    await fc.assert(fc.asyncProperty(fc.array(act, { minLength: 5, maxLength: 40, size: 'max' }), fc.nat(), live), {
      numRuns: 60,
      seed: 20260801,
      endOnFailure: false,
    })
  }, 120_000)
})

async function live(acts: Act[], seed: number): Promise<void> {
  const faults: Array<Fault | null> = []
  const bench = await makeBench({ fault: () => faults.shift() ?? null, forgetful: seed % 2 === 1 }, seed)
  const story = new Story(bench, faults)
  try {
    await story.takeOver()
    for (const one of acts) await story.carryOut(one)
    await story.calm()
  } finally {
    await story.end()
    await bench.close()
  }
}

class Story {
  readonly #bench: Bench
  readonly #faults: Array<Fault | null>
  #loop!: Reconciler
  #fuse!: Fuse
  readonly #ids: string[] = []
  /** Wanted topics of each wanted instance, with how often each was created from nothing. */
  readonly #wanted = new Map<string, Set<string>>()
  readonly #creations = new Map<string, number>()
  readonly #ports = new Map<string, string>()
  readonly #births = new Map<string, number>()

  constructor(bench: Bench, faults: Array<Fault | null>) {
    this.#bench = bench
    this.#faults = faults
  }

  /** A new process over what remains. Its first look may meet a fault; then it is started again. */
  async takeOver(): Promise<void> {
    for (;;) {
      this.#fuse = new Fuse()
      this.#loop = this.#bench.makeLoop(this.#fuse)
      const started = await this.#loop.start().then(
        () => true,
        () => false,
      )
      if (started) return
      await this.#loop.stop()
    }
  }

  async carryOut(one: Act): Promise<void> {
    const bench = this.#bench
    const live = [...this.#wanted.keys()]
    const id = 'instance' in one ? live[one.instance % Math.max(1, live.length)] : undefined
    switch (one.act) {
      case 'create': {
        if (this.#wanted.size >= 3) break
        const made = `rmq-cn-${String(this.#ids.length).padStart(2, '0')}`
        this.#ids.push(made)
        this.#wanted.set(made, new Set())
        await addInstance(bench, made, { public: one.isPublic })
        this.#loop.wake(made)
        break
      }
      case 'addTopic': {
        const topics = id === undefined ? undefined : this.#wanted.get(id)
        if (id === undefined || topics === undefined) break
        const name = `${id}/${one.topic}`
        if (!topics.has(one.topic)) this.#creations.set(name, (this.#creations.get(name) ?? 0) + 1)
        topics.add(one.topic)
        await addTopic(bench, id, one.topic)
        break
      }
      case 'dropTopic':
        if (id === undefined || !this.#wanted.get(id)?.delete(one.topic)) break
        await dropTopic(bench, id, one.topic)
        break
      case 'recreateTopic':
        await this.carryOut({ ...one, act: 'dropTopic' })
        await this.carryOut({ ...one, act: 'addTopic' })
        return
      case 'change':
        if (id === undefined || !this.#wanted.has(id)) break
        await changeRetention(bench, id, 24)
        break
      case 'drop':
        if (id === undefined) break
        this.#wanted.delete(id)
        await dropInstance(bench, id)
        this.#loop.wake(id)
        break
      case 'wake':
        if (id !== undefined) this.#loop.wake(id)
        break
      case 'turn':
        await settle(1)
        break
      case 'fault':
        this.#faults.push(...Array<null>(one.skip).fill(null), one.how)
        break
      case 'kill':
        this.#fuse.arm({ point: this.#fuse.points.length + one.point, when: one.how })
        break
      case 'restartEngine':
        bench.engine.restart()
        break
      case 'pass':
        await bench.clock.advance(one.ms)
        break
      case 'calm':
        await this.calm()
        break
    }
    if (this.#fuse.isDead) await this.takeOver()
  }

  /** No more faults; time for every retry and slow pass; then the world is compared with the changes. */
  async calm(): Promise<void> {
    this.#faults.length = 0
    if (!this.#fuse.isDead) this.#fuse.arm(null)
    await this.#bench.clock.advance(2 * minute)
    if (this.#fuse.isDead) await this.takeOver()
    await this.#loop.settled()
    await this.#check()
  }

  async end(): Promise<void> {
    if (!this.#fuse.isDead) await this.#loop.stop()
  }

  async #check(): Promise<void> {
    const { engine, ledger } = this.#bench
    const rows = await ledger.read.selectFrom('instances').selectAll().orderBy('instance_id').execute()
    const topics = await ledger.read.selectFrom('topics').selectAll().execute()
    const wantedText = [...this.#wanted].map(([id, names]) => `${id}: ${[...names].sort().join(' ')}`).sort()
    const namesIn = (id: string): string[] =>
      topics.filter((row) => row.instance_id === id).map((row) => row.topic_name)
    expect(rows.map(({ instance_id: id }) => `${id}: ${namesIn(id).sort().join(' ')}`)).toEqual(wantedText)
    expect(engine.heldIds().map((id) => `${id}: ${[...engine.held(id)!.topics.keys()].sort().join(' ')}`)).toEqual(
      wantedText,
    )
    const ports: number[] = []
    for (const row of rows) {
      const held = engine.held(row.instance_id)!
      expect(row).toMatchObject({
        wanted: 'present',
        applied_generation: row.generation,
        applied_revision: row.revision,
        failure: null,
      })
      expect(held).toMatchObject({ state: 'running', reason: null, spec: { generation: row.generation } })
      const listen = held.spec!.listen.map(({ port }) => port)
      expect(listen).toEqual([row.vpc_port, row.internet_port].filter((port) => port !== null))
      ports.push(...listen)
      const first = this.#ports.get(row.instance_id) ?? listen.join()
      this.#ports.set(row.instance_id, first)
      expect(listen.join()).toBe(first)
      for (const topic of topics.filter(({ instance_id }) => instance_id === row.instance_id)) {
        expect(topic.applied_generation).toBe(topic.generation)
        const seen = held.topics.get(topic.topic_name)!
        expect(seen.generation).toBe(topic.generation)
        const name = `${row.instance_id}/${topic.topic_name}`
        const making = `${name} #${this.#creations.get(name)}`
        const birth = this.#births.get(making) ?? seen.birth
        this.#births.set(making, birth)
        expect(`${making} is birth ${seen.birth}`).toBe(`${making} is birth ${birth}`)
        for (const [other, otherBirth] of this.#births) {
          if (other !== making) expect(`${other} ${otherBirth}`).not.toBe(`${other} ${seen.birth}`)
        }
      }
    }
    expect(new Set(ports).size).toBe(ports.length)
  }
}
