/** What an idle server holds and uses, and what messages at rest cost in memory. */
import { cpuMs, inLanes, residentMb, sleep, withGantry } from '../support/gantry.mjs'
import { asOftenAsAllowed, openMessaging } from '../support/messaging.mjs'
import { figure } from '../support/numbers.mjs'

export default {
  name: 'resources',
  title: 'Memory and idle CPU',
  method:
    'Resident memory of the management and the broker process as the kernel counts it, some seconds after the last call; pages that ' +
    'map files (the Node binary) are counted once. One instance, then a hundred more; then CPU time of both processes over the idle ' +
    'time; then a million retained messages with bodies of 100 bytes, sent in batches of 64, after half a million that fill the caches of fixed size.',
  run: ({ source, quick, say }) =>
    withGantry(source, async ({ api, pids }) => {
      const { endpoint } = await api.runningInstance()
      await sleep(quick ? 2_000 : 5_000)
      const one = memory(pids)
      say(`one instance: management ${figure(one.management)} MB, broker ${figure(one.broker)} MB`)
      await api.manyInstances(100)
      await sleep(quick ? 2_000 : 5_000)
      const hundred = memory(pids)
      const idleSeconds = quick ? 5 : 30
      const before = { management: cpuMs(pids.management), broker: cpuMs(pids.broker) }
      await sleep(idleSeconds * 1000)
      const idle = (name) => (cpuMs(pids[name]) - before[name]) / idleSeconds / 10
      const idleCpu = { management: idle('management'), broker: idle('broker') }
      const after = memory(pids)
      say(
        `a hundred more: management ${figure(hundred.management)} MB, broker ${figure(hundred.broker)} MB; after ${idleSeconds} s ${figure(after.management)} and ${figure(after.broker)}`,
      )
      const retained = await retainedMessages(source, { endpoint, pids, count: quick ? 200_000 : 1_000_000 })
      say(`retained: ${figure(retained.from)} MB to ${figure(retained.to)} MB`)
      return [
        {
          what: 'Resident memory with one idle instance',
          value: one.sum,
          budget: 150,
          unit: 'MB',
          detail: `management ${figure(one.management)}, broker ${figure(one.broker)}, of which ${figure(one.shared)} MB of mapped files are in both`,
        },
        {
          what: 'Resident memory, each further idle instance',
          value: (hundred.sum - one.sum) / 100,
          budget: 1,
          unit: 'MB',
          detail: `management ${figure((hundred.management - one.management) / 100)}, broker ${figure((hundred.broker - one.broker) / 100)}; ${idleSeconds} s later ${figure((after.sum - one.sum) / 100)} in all`,
        },
        {
          what: 'Resident memory, each million retained messages',
          value: Math.max(0, retained.perMillion),
          budget: 8,
          unit: 'MB',
          detail: `broker ${figure(retained.from)} → ${figure(retained.to)}`,
        },
        {
          what: 'Idle CPU with 100 instances',
          value: idleCpu.management + idleCpu.broker,
          budget: 1,
          unit: '% of a core',
          detail: `management ${figure(idleCpu.management)}, broker ${figure(idleCpu.broker)}, over ${idleSeconds} s`,
        },
      ]
    }),
}

function memory(pids) {
  const management = residentMb(pids.management)
  const broker = residentMb(pids.broker)
  const shared = Math.min(management.files, broker.files)
  return { management: management.all, broker: broker.all, shared, sum: management.all + broker.all - shared }
}

async function retainedMessages(source, { endpoint, pids, count }) {
  const messaging = await openMessaging(source, endpoint, 2)
  const send = () => asOftenAsAllowed(() => messaging.send('topic', 100, 64))
  const fill = (messages) => inLanes(16, Array.from({ length: messages / 64 }), send)
  await fill(count / 2)
  await sleep(3_000)
  const from = residentMb(pids.broker).all
  await fill(count)
  await sleep(3_000)
  const to = residentMb(pids.broker).all
  messaging.close()
  return { from, to, perMillion: ((to - from) * 1_000_000) / count }
}
