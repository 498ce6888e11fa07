/** The part of docs/benchmarks.md about the soak: kept as data beside its plot, because other runs of the bench do not measure it. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { figure } from './numbers.mjs'
import { timePlot } from './plot.mjs'
import { root } from './source.mjs'

const plots = path.join(root, 'docs', 'benchmarks')
const dataFile = path.join(plots, 'soak.json')
const pageFile = path.join(root, 'docs', 'benchmarks.md')
const begin = '<!-- soak -->'
const end = '<!-- /soak -->'

/** Writes the figures, the plot, and the section into the page that is there. */
export function writeSoak({ machine, minutes, perSecond, samples, found, collected }) {
  const { sent, received, failed } = samples.at(-1)
  const { date, commit, node } = machine
  writeFileSync(
    dataFile,
    `${JSON.stringify({ date, commit, node, minutes, perSecond, sent, received, failed, found, collected }, null, 2)}\n`,
  )
  const line = (label, of) => ({ label, points: samples.map((sample) => ({ x: sample.minute, y: of(sample) })) })
  writeFileSync(
    path.join(plots, 'soak.svg'),
    timePlot({
      title: 'minutes',
      unit: 'MB',
      lines: [
        line('broker, resident', ({ broker }) => broker.resident),
        line('server, resident', ({ management }) => management.resident),
        line('broker, buffers outside the heap', ({ broker }) => broker.arrayBuffers),
        line('broker, heap in use', ({ broker }) => broker.heapUsed),
        line('broker, descriptors (number)', ({ broker }) => broker.descriptors),
      ],
    }),
  )
  const page = readFileSync(pageFile, 'utf8')
  const before = page.includes(begin) ? page.slice(0, page.indexOf(begin)) : page.slice(0, page.indexOf('## Run it'))
  const after = page.includes(end)
    ? page.slice(page.indexOf(end) + end.length).trimStart()
    : page.slice(page.indexOf('## Run it'))
  writeFileSync(pageFile, `${before}${soakSection()}\n${after}`)
}

/** Empty when no soak was written yet. */
export function soakSection() {
  if (!existsSync(dataFile)) return ''
  const { date, commit, node, minutes, perSecond, sent, received, failed, found, collected } = JSON.parse(
    readFileSync(dataFile, 'utf8'),
  )
  const { broker, management } = found
  const growth = ({ slopePerHour }) =>
    Math.abs(slopePerHour) < 0.5
      ? 'does not grow'
      : `${slopePerHour > 0 ? 'grows' : 'shrinks'} by ${figure(Math.abs(slopePerHour))} MB an hour`
  return `${begin}
## An hour at a steady rate

${figure(perSecond)} messages of 1 KiB a second for ${figure(minutes)} minutes: 70 % NORMAL, read by three groups of which one leaves a hundredth to be delivered
again, 15 % FIFO with an orderly group, 10 % DELAY, 5 % TRANSACTION; two consumers a group, each with a new connection every two minutes.
Every ten seconds both processes say what they hold. Measured on ${date} at commit ${commit}, Node ${node}, by \`npm run bench -- soak --write\`.

The broker process levels off at ${figure(broker.level)} MB, which it came within 5 % of in minute ${figure(broker.reachedMinute)}; in the second half it ${growth(broker)}.
${figure(broker.last.arrayBuffers)} MB of it are buffers, nearly all of them the most recent records, of which a process keeps 64 MiB so that a message just sent is
delivered from memory. The rest is heap that is not collected before there is need. Made to collect it in minute ${figure(collected.minute)}, the process
held ${figure(collected.resident)} MB, of which ${figure(collected.arrayBuffers)} MB buffers and ${figure(collected.heapUsed)} MB heap in use: nothing piles up with the messages. The
management server levels off at ${figure(management.level)} MB and ${growth(management)}. Descriptors: at most ${broker.descriptors} and ${management.descriptors}. Of
${figure(sent)} messages sent and ${figure(received)} deliveries ${failed === 0 ? 'no call failed' : `${failed} calls failed`}.

![MB and descriptors over ${figure(minutes)} minutes](benchmarks/soak.svg)
${end}
`
}
