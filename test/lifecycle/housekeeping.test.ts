/** What time alone makes due, over a real ledger with a moved clock. */
import { afterAll, afterEach, expect, it } from 'vitest'
import { createHousekeeping } from '../../src/lifecycle/housekeeping.ts'
import { silentLog } from '../../src/observability/log.ts'
import { SimulatedRandom } from '../../src/world/simulated.ts'
import { clean, instanceBody, Subject, stop } from '../resources/harness.ts'

afterEach(clean)
afterAll(stop)

const dayMs = 24 * 3600 * 1000

it('renews a subscription before it expires, tells the loop, and forgets old client tokens', async () => {
  const subject = await Subject.start()
  const woken: string[] = []
  const housekeeping = createHousekeeping({
    ledger: subject.ledger,
    world: { clock: subject.clock, random: new SimulatedRandom(1) },
    zoneMinutes: 480,
    wake: (instanceId) => woken.push(instanceId),
    log: silentLog,
  })
  const instanceId = await subject.call<string>('CreateInstance', {
    query: { clientToken: 'once' },
    body: {
      ...instanceBody(),
      paymentType: 'Subscription',
      period: 1,
      periodUnit: 'Month',
      autoRenew: true,
      autoRenewPeriod: 1,
    },
  })
  const expiry = async () =>
    (await subject.ledger.read.selectFrom('instances').select('expire_time_ms').executeTakeFirstOrThrow())
      .expire_time_ms
  const tokens = async () => (await subject.ledger.read.selectFrom('client_tokens').selectAll().execute()).length
  const first = await expiry()

  await housekeeping.start()
  expect([await expiry(), woken, await tokens()]).toEqual([first, [], 1])

  await subject.clock.advance(first - subject.clock.now() - 8 * dayMs)
  // The sweep works on a real database behind the moved clock; the next one comes ten minutes later.
  for (let sweeps = 0; sweeps < 20 && (await expiry()) === first; sweeps++) await subject.clock.advance(10 * 60_000)
  expect(await expiry()).toBeGreaterThan(first)
  expect(woken).toEqual([instanceId])
  expect(await tokens()).toBe(0)
  await housekeeping.stop()
  expect(subject.clock.pending).toBe(0)
})
