/** Durable sends a second through one broker process, and what one costs. */
import { forSeconds, underLoad, withGantry } from '../support/gantry.mjs'
import { machineCpuMs } from '../support/machine.mjs'
import { openMessaging } from '../support/messaging.mjs'
import { figure, median, percentile } from '../support/numbers.mjs'

export default {
  name: 'send',
  title: 'Sends',
  method:
    'SendMessage with a body of 1 KiB over gRPC, cleartext, 64 in flight on four connections from another process, every ' +
    'answer checked; each is given after the message is durable on the disk. CPU is what the kernel charged the broker process, all its threads.',
  run: ({ source, quick, say }) =>
    withGantry(source, async ({ api, pids }) => {
      const { endpoint } = await api.runningInstance()
      const messaging = await openMessaging(source, endpoint, 4)
      await forSeconds(quick ? 1.5 : 3, 64, () => messaging.send('topic', 1024))
      const rounds = []
      for (let i = 0; i < (quick ? 2 : 5); i++) {
        const machine = machineCpuMs()
        const round = await underLoad({ pids }, 2, 64, () => messaging.send('topic', 1024))
        const others = Math.max(0, machineCpuMs() - machine - round.brokerMs - round.ownMs) / round.ms
        rounds.push({ ...round, busy: round.brokerMs / round.ms, others })
      }
      const latencies = []
      for (let i = 0; i < 300; i++) {
        const from = performance.now()
        await messaging.send('topic', 1024)
        latencies.push(performance.now() - from)
      }
      messaging.close()
      const of = (name) => median(rounds.map((round) => round[name]))
      say(`${figure(of('perSecond'))}/s, ${figure(of('cpuMicros'))} µs of CPU each`)
      return [
        {
          what: 'Durable 1 KiB sends, 64 in flight, one broker process',
          value: of('perSecond'),
          budget: 15_000,
          more: true,
          unit: '/s',
          detail: `broker process ${figure(of('cpuMicros'))} µs of CPU a send (${figure(1e6 / of('cpuMicros'))}/s for each core's worth), ${figure(of('busy') * 100)} % of a core busy; load client ${figure(of('ownMicros'))} µs a send, other programs ${figure(of('others') * 100)} % of a core; alone a send takes ${figure(median(latencies))} ms, p99 ${figure(percentile(latencies, 0.99))} ms`,
        },
      ]
    }),
}
