/**
 * The server is killed at every step of every kind of change, in three ways (before the step had an
 * effect, in the middle of it, after it and before the answer), with an engine that lives on, one that
 * restarts, and one that after a restart shows nothing of what it holds before it is told again. A new loop over what remains must end where an undisturbed one does: the
 * wanted state, the same port, nothing orphaned, nothing lost, no topic that was made a second time.
 */
import { describe, expect, it } from 'vitest'
import type { Fault } from '../../src/engines/simulated/engine.ts'
import {
  addGroup,
  addInstance,
  addTopic,
  type Bench,
  changeAccount,
  changeRetention,
  dropGroup,
  dropInstance,
  dropTopic,
  Fuse,
  makeBench,
  minute,
  moveExpiry,
  transcript,
  wantReset,
} from './bench.ts'

const id = 'rmq-cn-crash'
const neighbour = 'rmq-cn-neighbour'

interface Scenario {
  readonly name: string
  /** Brought to rest before the change. */
  readonly before: (bench: Bench) => Promise<unknown>
  /** Happens under the loop that will be killed; it is woken after it. */
  readonly change: (bench: Bench) => Promise<unknown>
  readonly ends: { readonly ledger: readonly string[]; readonly engine: readonly string[] }
}

const full = async (bench: Bench): Promise<void> => {
  await addInstance(bench, id, { topics: ['audit', 'orders'], public: true })
  await addGroup(bench, id, 'workers')
}

const scenarios: readonly Scenario[] = [
  {
    name: 'create',
    before: async () => {},
    change: (bench) => addInstance(bench, id),
    ends: {
      ledger: [`${id} present 1/1, settled, vpc 7802`],
      engine: [`${id} running @1, vpc 7802`],
    },
  },
  {
    name: 'create with a public endpoint, topics and a group',
    before: async () => {},
    change: full,
    ends: {
      ledger: [
        `${id} present 1/1, settled, vpc 7802, internet 7803, topic audit present 1/1, topic orders present 1/1, group workers present 1/1`,
      ],
      engine: [`${id} running @1, vpc 7802, internet 7803, topic audit@1, topic orders@1, group workers@1`],
    },
  },
  {
    name: 'update',
    before: full,
    change: (bench) => changeRetention(bench, id, 24),
    ends: {
      ledger: [
        // The new productInfo comes with the same network, so both ports stay.
        `${id} present 2/2, settled, vpc 7802, internet 7803, topic audit present 1/1, topic orders present 1/1, group workers present 1/1`,
      ],
      engine: [`${id} running @2, vpc 7802, internet 7803, topic audit@1, topic orders@1, group workers@1`],
    },
  },
  {
    name: 'add a topic, change one, drop one and a group',
    before: full,
    change: async (bench) => {
      await addTopic(bench, id, 'new')
      await addTopic(bench, id, 'orders')
      await dropTopic(bench, id, 'audit')
      await dropGroup(bench, id, 'workers')
    },
    ends: {
      ledger: [`${id} present 1/1, settled, vpc 7802, internet 7803, topic new present 1/1, topic orders present 2/2`],
      engine: [`${id} running @1, vpc 7802, internet 7803, topic new@1, topic orders@2`],
    },
  },
  {
    name: 'drop a topic and create it again before the loop looks',
    before: full,
    change: async (bench) => {
      await dropTopic(bench, id, 'orders')
      await addTopic(bench, id, 'orders')
    },
    ends: {
      ledger: [
        `${id} present 1/1, settled, vpc 7802, internet 7803, topic audit present 1/1, topic orders present 3/3, group workers present 1/1`,
      ],
      engine: [`${id} running @1, vpc 7802, internet 7803, topic audit@1, topic orders@3, group workers@1`],
    },
  },
  {
    name: 'reset the offsets of a group, one of them in place of an earlier reset',
    before: full,
    change: async (bench) => {
      await wantReset(bench, id, 'orders', 'workers', 5)
      await wantReset(bench, id, 'orders', 'workers', 7)
      await wantReset(bench, id, 'audit', 'workers')
    },
    ends: {
      ledger: [
        `${id} present 1/1, settled, vpc 7802, internet 7803, topic audit present 1/1, topic orders present 1/1, group workers present 1/1`,
      ],
      engine: [
        `${id} running @1, vpc 7802, internet 7803, topic audit@1, topic orders@1, group workers@1, reset audit for workers to the end, reset orders for workers to 7`,
      ],
    },
  },
  {
    name: 'make an account with a grant, and delete another with its own',
    before: async (bench) => {
      await addInstance(bench, id)
      await changeAccount(bench, id, 'leaving', 'present')
    },
    change: async (bench) => {
      await changeAccount(bench, id, 'coming', 'present')
      await changeAccount(bench, id, 'leaving', 'absent')
    },
    ends: {
      ledger: [`${id} present 4/4, settled, vpc 7802`],
      engine: [`${id} running @4, vpc 7802, account coming granted orders`],
    },
  },
  {
    name: 'make a group and reset it before it was made',
    before: (bench) => addInstance(bench, id, { topics: ['orders'] }),
    change: async (bench) => {
      await addGroup(bench, id, 'workers')
      await wantReset(bench, id, 'orders', 'workers', 5)
    },
    ends: {
      ledger: [`${id} present 1/1, settled, vpc 7802, topic orders present 1/1, group workers present 1/1`],
      engine: [`${id} running @1, vpc 7802, topic orders@1, group workers@1, reset orders for workers to 5`],
    },
  },
  {
    name: 'delete',
    before: full,
    change: (bench) => dropInstance(bench, id),
    ends: { ledger: [], engine: [] },
  },
  {
    name: 'create, and delete at once',
    before: async () => {},
    change: async (bench) => {
      await full(bench)
      await dropInstance(bench, id)
    },
    ends: { ledger: [], engine: [] },
  },
  {
    name: 'expire',
    before: (bench) => addInstance(bench, id, { expireInMs: 5 * minute, topics: ['orders'] }),
    change: (bench) => bench.clock.advance(6 * minute),
    ends: {
      ledger: [`${id} present 1/1, settled, vpc 7802, topic orders present 1/1`],
      engine: [`${id} stopped @1, vpc 7802, topic orders@1`],
    },
  },
  {
    name: 'renew after the expiry',
    before: async (bench) => {
      await addInstance(bench, id, { expireInMs: minute, topics: ['orders'] })
      await bench.clock.advance(2 * minute)
    },
    change: (bench) => moveExpiry(bench, id, 30 * minute),
    ends: {
      ledger: [`${id} present 2/2, settled, vpc 7802, topic orders present 1/1`],
      engine: [`${id} running @2, vpc 7802, topic orders@1`],
    },
  },
  {
    name: 'release',
    before: (bench) => addInstance(bench, id, { expireInMs: 2 * minute, graceMs: 3 * minute, topics: ['orders'] }),
    change: (bench) => bench.clock.advance(6 * minute),
    ends: { ledger: [], engine: [] },
  },
]

const neighbourLine = {
  ledger: `${neighbour} present 1/1, settled, vpc 7801, topic keep present 1/1`,
  engine: `${neighbour} running @1, vpc 7801, topic keep@1`,
}

describe('a kill at every step', () => {
  for (const scenario of scenarios) {
    it(`${scenario.name}`, async () => {
      const undisturbed = await run(scenario, null, 'lives on')
      expect(undisturbed.result).toEqual(wantedEnd(scenario))
      const { points } = undisturbed
      expect(points.length).toBeGreaterThan(0)
      for (const [point, step] of points.entries()) {
        for (const when of ['before', 'midway', 'after'] as const) {
          for (const engine of ['lives on', 'restarts', 'restarts with the data only'] as const) {
            if (when === 'midway' && step === 'ledger.change') continue
            const where = `${when} ${step} (point ${point}), the engine ${engine}`
            const { result } = await run(scenario, { point, when }, engine)
            expect({ where, ...result }).toEqual({ where, ...wantedEnd(scenario) })
          }
        }
      }
    })
  }
})

function wantedEnd({ ends }: Scenario): Awaited<ReturnType<typeof transcript>> & { remade: string[] } {
  return { ledger: [...ends.ledger, neighbourLine.ledger], engine: [...ends.engine, neighbourLine.engine], remade: [] }
}

async function run(
  scenario: Scenario,
  blowAt: { readonly point: number; readonly when: Fault } | null,
  engine: 'lives on' | 'restarts' | 'restarts with the data only',
): Promise<{ points: readonly string[]; result: Awaited<ReturnType<typeof transcript>> & { remade: string[] } }> {
  const bench = await makeBench({ forgetful: engine === 'restarts with the data only' })
  try {
    await addInstance(bench, neighbour, { topics: ['keep'] })
    await rest(bench)
    await scenario.before(bench)
    await rest(bench)
    const births = birthsOf(bench)

    const fuse = new Fuse()
    const doomed = await bench.startLoop(fuse)
    fuse.arm(blowAt)
    await scenario.change(bench)
    doomed.wake(id)
    await Promise.race([doomed.settled(), fuse.blown])
    if (blowAt === null) await doomed.stop()
    else {
      expect(fuse.isDead).toBe(true)
      if (engine !== 'lives on') bench.engine.restart()
      await rest(bench)
    }
    return {
      points: fuse.points,
      result: { ...(await transcript(bench)), remade: remadeTopics(births, birthsOf(bench)) },
    }
  } finally {
    await bench.close()
  }
}

/** A loop without a fuse, from its start to rest. */
async function rest(bench: Bench): Promise<void> {
  const loop = await bench.startLoop()
  await loop.settled()
  await loop.stop()
}

/** Which making of each topic the engine holds: another number means that its messages would be gone. */
function birthsOf({ engine }: Bench): Map<string, { birth: number; generation: number }> {
  return new Map(
    engine
      .heldIds()
      .flatMap((instanceId) =>
        [...engine.held(instanceId)!.topics.values()].map(
          (topic) => [`${instanceId}/${topic.topicName}`, topic] as const,
        ),
      ),
  )
}

/** Topics that were there before under an earlier generation and were made anew although nobody deleted them. */
function remadeTopics(before: ReturnType<typeof birthsOf>, after: ReturnType<typeof birthsOf>): string[] {
  const wasDropped = (was: { generation: number }, is: { generation: number }): boolean =>
    is.generation >= was.generation + 2
  return [...before].flatMap(([name, was]) => {
    const is = after.get(name)
    if (is === undefined) return []
    return (is.birth !== was.birth) === wasDropped(was, is) ? [] : [name]
  })
}
