/** What TLS adds to a send. */
import { clientShare, forSeconds, underLoad, withGantry } from '../support/gantry.mjs'
import { openMessaging } from '../support/messaging.mjs'
import { figure, median } from '../support/numbers.mjs'

export default {
  name: 'tls',
  title: 'TLS against cleartext',
  method:
    'The send load over four connections in cleartext and over four with TLS to the same port, in turns of a second and a half that ' +
    'alternate; CPU of the broker process a send, and the median of the ratios. The load client pays for TLS too, on the same cores.',
  run: ({ source, quick, say }) =>
    withGantry(source, async (gantry) => {
      const { endpoint } = await gantry.api.runningInstance()
      const sides = {
        cleartext: await openMessaging(source, endpoint, 4),
        tls: await openMessaging(source, endpoint, 4, { tls: true }),
      }
      const seen = { cleartext: [], tls: [] }
      for (const side of Object.values(sides)) await forSeconds(1, 64, () => side.send('topic', 1024))
      for (let round = 0; round < (quick ? 1 : 4); round++)
        for (const [name, side] of Object.entries(sides))
          seen[name].push(await underLoad(gantry, 1.5, 64, () => side.send('topic', 1024)))
      for (const side of Object.values(sides)) side.close()
      const of = (name, what) => median(seen[name].map((each) => each[what]))
      const ratio = median(seen.tls.map(({ cpuMicros }, round) => cpuMicros / seen.cleartext[round].cpuMicros))
      const told = (name) =>
        `${name} ${figure(of(name, 'cpuMicros'))} µs, ${figure(of(name, 'perSecond'))}/s (${clientShare(seen[name].at(-1))})`
      say(`${told('cleartext')}; ${told('tls')}`)
      return [
        {
          what: 'CPU of a send over TLS against cleartext',
          value: ratio,
          unit: '×',
          detail: `${told('cleartext')}; ${told('tls')}`,
        },
      ]
    }),
}
