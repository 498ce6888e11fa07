/** The loop's own reads and writes, on every database the ledger runs on. */
import { afterAll, describe, expect, it } from 'vitest'
import { offsetResetOf } from '../../src/lifecycle/spec.ts'
import { createWantedStore, type WantedStore } from '../../src/lifecycle/wanted-store.ts'
import { SimulatedRandom } from '../../src/world/simulated.ts'
import { LedgerPlaces, ledgerTargets, titleOf } from '../support/ledger.ts'
import {
  addGroup,
  addInstance,
  addTopic,
  type Bench,
  changeAccount,
  dropInstance,
  dropTopic,
  makeBench,
  minute,
  moveExpiry,
  transcript,
  wantReset,
} from './bench.ts'

const places = new LedgerPlaces()
afterAll(() => places.stop())

const id = 'rmq-cn-store'
const none = { topics: [], groups: [], goneTopics: [], goneGroups: [], resets: [] }

for (const target of ledgerTargets) {
  describe.skipIf(target.missing !== null)(`the loop's store on ${titleOf(target)}`, () => {
    const withStore = async (work: (store: WantedStore, bench: Bench) => Promise<void>): Promise<void> => {
      const bench = await makeBench({}, 1, await places.place(target))
      try {
        await work(createWantedStore(bench.ledger, { clock: bench.clock, random: new SimulatedRandom(2) }), bench)
      } finally {
        await bench.close()
      }
    }

    it('lists what is pending and loads what is wanted, all of it or what differs', () =>
      withStore(async (store, bench) => {
        await addInstance(bench, id, { topics: ['audit', 'orders'] })
        await addInstance(bench, 'rmq-cn-other')
        await addGroup(bench, id, 'workers')
        expect((await store.listPending(10)).sort()).toEqual(['rmq-cn-other', id])
        expect(await store.listPending(1)).toHaveLength(1)
        await store.write({
          write: 'applied',
          instanceId: id,
          generation: 1,
          revision: 2,
          ports: { vpc: 7801, internet: null },
          ...none,
          topics: [
            { name: 'audit', generation: 1 },
            { name: 'orders', generation: 1 },
          ],
        })
        expect(await store.listPending(10)).toEqual(['rmq-cn-other'])
        expect(await store.listInstances()).toEqual([
          { instanceId: 'rmq-cn-other', ports: [] },
          { instanceId: id, ports: [7801] },
        ])
        const namesOf = async (complete: boolean): Promise<string[]> => {
          const wanted = await store.load({ instanceId: id, complete, toldGeneration: null })
          expect(wanted?.access?.accounts).toEqual([
            { username: 'user000000000001', secret: `secret of ${id}`, enabled: true, kind: 'default' },
          ])
          return [...wanted!.topics.map((row) => row.topic_name), ...wanted!.groups.map((row) => row.consumer_group_id)]
        }
        expect((await namesOf(true)).sort()).toEqual(['audit', 'orders', 'workers'])
        expect(await namesOf(false)).toEqual(['workers'])
        expect(await store.load({ instanceId: 'rmq-cn-never', complete: true, toldGeneration: null })).toBeNull()
        const together = await Promise.all(
          [id, 'rmq-cn-never', 'rmq-cn-other', id].map((instanceId) =>
            store.load({ instanceId, complete: true, toldGeneration: null }),
          ),
        )
        expect(together.map((wanted) => wanted?.instance.instance_id ?? null)).toEqual([id, null, 'rmq-cn-other', id])
      }))

    it('leaves accounts and grants out for whoever knows the generation that they are of, for each instance by itself', () =>
      withStore(async (store, bench) => {
        const other = 'rmq-cn-other'
        await addInstance(bench, id)
        await addInstance(bench, other)
        await changeAccount(bench, id, 'worker', 'present')
        const accountsOf = async (...asked: ReadonlyArray<readonly [string, number | null]>) => {
          const loads = asked.map(([instanceId, toldGeneration]) =>
            store.load({ instanceId, complete: false, toldGeneration }),
          )
          return (await Promise.all(loads)).map((wanted) =>
            wanted!.access?.accounts.map(({ username }) => username).sort(),
          )
        }
        const all = ['user000000000001', 'worker']
        expect(await accountsOf([id, 2])).toEqual([undefined])
        expect(await accountsOf([id, 1], [other, 1])).toEqual([all, undefined])
        expect(await accountsOf([id, 2], [other, null], [id, null])).toEqual([all, ['user000000000001'], all])
      }))

    it('records for the generation that was made, deletes what is gone, and notes a failure', () =>
      withStore(async (store, bench) => {
        await addInstance(bench, id, { topics: ['kept', 'changed', 'gone', 'back'] })
        await addTopic(bench, id, 'changed')
        await dropTopic(bench, id, 'gone')
        await dropTopic(bench, id, 'back')
        await addTopic(bench, id, 'back')
        await store.write({ write: 'failure', instanceId: id, failure: 'It broke: ’s a pity.' })
        expect((await transcript(bench)).ledger).toEqual([
          `${id} present 0/1, pending, vpc null, failure: It broke: ’s a pity., topic back present -2/3, topic changed present 0/2, topic gone absent 0/2, topic kept present 0/1`,
        ])
        await store.write({
          write: 'applied',
          instanceId: id,
          generation: 1,
          revision: 3,
          ports: { vpc: 7801, internet: 7802 },
          topics: ['kept', 'changed', 'back'].map((name) => ({ name, generation: 1 })),
          groups: [],
          goneTopics: [
            { name: 'gone', generation: 2 },
            { name: 'back', generation: 2 },
          ],
          goneGroups: [],
          resets: [],
        })
        expect((await transcript(bench)).ledger).toEqual([
          `${id} present 1/1, pending, vpc 7801, internet 7802, topic back present -2/3, topic changed present 0/2, topic kept present 1/1`,
        ])
      }))

    it('forgets the resets that were carried out, and keeps one that was wanted meanwhile', () =>
      withStore(async (store, bench) => {
        await addInstance(bench, id, { topics: ['orders', 'audit'] })
        await wantReset(bench, id, 'orders', 'workers', 5)
        await wantReset(bench, id, 'audit', 'workers')
        const { resets } = (await store.load({ instanceId: id, complete: false, toldGeneration: null }))!
        expect(resets.map(({ topic_name, to_ms }) => [topic_name, to_ms]).sort()).toEqual([
          ['audit', null],
          ['orders', 5],
        ])
        await wantReset(bench, id, 'orders', 'workers', 7)
        await store.write({
          write: 'applied',
          instanceId: id,
          generation: 1,
          revision: 3,
          ports: { vpc: 7801, internet: null },
          ...none,
          resets: resets.map(offsetResetOf),
        })
        const left = (await store.load({ instanceId: id, complete: false, toldGeneration: null }))!.resets
        expect(left.map(({ topic_name, to_ms }) => [topic_name, to_ms])).toEqual([['orders', 7]])
        expect(await store.listPending(10)).toEqual([id])
      }))

    it('finds what falls due in a span, and the next moment after it', () =>
      withStore(async (store, bench) => {
        const at = bench.clock.now()
        await addInstance(bench, 'rmq-cn-soon', { expireInMs: minute, graceMs: 10 * minute })
        await addInstance(bench, 'rmq-cn-late', { expireInMs: 5 * minute, graceMs: 10 * minute })
        expect(await store.findDue(at, at)).toEqual({ due: [], nextMs: at + minute })
        expect(await store.findDue(at, at + minute)).toEqual({ due: ['rmq-cn-soon'], nextMs: at + 5 * minute })
        expect(await store.findDue(at + minute, at + 5 * minute)).toEqual({
          due: ['rmq-cn-late'],
          nextMs: at + 11 * minute,
        })
        expect(await store.findDue(at + 5 * minute, at + 15 * minute)).toMatchObject({ nextMs: null })
      }))

    it('releases only when it is time, forgets only what is not wanted, and remembers that it did', () =>
      withStore(async (store, bench) => {
        await addInstance(bench, id, { expireInMs: minute, graceMs: minute, topics: ['orders'] })
        await addGroup(bench, id, 'workers')
        const before = await transcript(bench)
        await store.write({ write: 'release', instanceId: id })
        await store.write({ write: 'forget', instanceId: id })
        expect(await transcript(bench)).toEqual(before)
        await bench.clock.advance(2 * minute)
        await moveExpiry(bench, id, minute)
        await store.write({ write: 'release', instanceId: id })
        expect((await transcript(bench)).ledger[0]).toContain('present')
        expect(await store.wasDeleted(id)).toBe(false)
        await dropInstance(bench, id)
        await Promise.all([
          store.write({ write: 'forget', instanceId: id }),
          store.write({ write: 'forget', instanceId: 'rmq-cn-never' }),
        ])
        expect(await transcript(bench)).toEqual({ ledger: [], engine: [] })
        expect(await store.wasDeleted(id)).toBe(true)
        expect(await store.wasDeleted('rmq-cn-never')).toBe(false)
        for (const table of ['topics', 'consumer_groups', 'instance_accounts'] as const) {
          expect(await bench.ledger.read.selectFrom(table).selectAll().execute()).toEqual([])
        }
      }))

    it('serves the loop from create to delete', () =>
      withStore(async (_, bench) => {
        const loop = await bench.startLoop()
        await addInstance(bench, id, { topics: ['orders'], public: true })
        loop.wake(id)
        await loop.settled()
        expect(await transcript(bench)).toEqual({
          ledger: [`${id} present 1/1, settled, vpc 7801, internet 7802, topic orders present 1/1`],
          engine: [`${id} running @1, vpc 7801, internet 7802, topic orders@1`],
        })
        await dropInstance(bench, id)
        loop.wake(id)
        await loop.settled()
        expect(await transcript(bench)).toEqual({ ledger: [], engine: [] })
        await loop.stop()
      }))
  })
}
