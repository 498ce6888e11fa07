/** Where the broker process spends its time for a message, and what was done about the largest parts. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { forSeconds, withGantry } from '../support/gantry.mjs'
import { profiled } from '../support/inspector.mjs'
import { openMessaging } from '../support/messaging.mjs'
import { figure } from '../support/numbers.mjs'

/** Parts of the work with what belongs to each: files of ours as the bundle names them, and modules of Node. */
const parts = {
  'HTTP/2, streams and sockets': /^node:(internal\/(http2|stream|streams|net|tls|js_stream)|events|net|tls|_tls)/,
  protobuf: /(protobufjs|src\/grpc\/gen\/)/,
  'gRPC calls': /src\/grpc\//,
  'checks and answers of the RPCs': /src\/broker\/(protocols|messages|calls|clients)\//,
  'rules and state': /src\/broker\/(core|shell)\//,
  'log and disk': /(src\/broker\/log\/|src\/world\/|^node:(fs|internal\/fs|zlib))/,
  'MD5 of bodies': /^node:(crypto|internal\/crypto)/,
  'promises and turns':
    /^node:(internal\/process|internal\/timers|timers|internal\/promise|async_hooks|internal\/async)/,
  'buffers and signals': /^node:/,
}
const outside = 'native code: framing, system calls'
const collector = 'garbage collection'

/** What was done about each part when it was among the largest; said when it is. */
const done = {
  [outside]:
    'nghttp2 cutting frames, and the system calls that read and write sockets and files. Answers of one turn leave in one write, a ' +
    'commit is one write and one fdatasync for all sends of the meantime; the answer carries no date',
  'HTTP/2, streams and sockets':
    "Node's stream object, its events and its header objects, for each call. A unary answer is one `respond`, one `end` and one " +
    '`sendTrailers`; abort signal and timer are made only when asked for. Left: the price of a stream in `node:http2`',
  [collector]:
    'mostly of what lives as long as a call: streams, their states and buffers. Bodies are copied once when kept, records are encoded in one ' +
    'buffer, message headers are read in place, no AbortController is made for a call that needs none, views of topics and groups are kept. ' +
    'The signal alone had made a send 17 % dearer; reading headers in place and leaving the date out took 4 % off a send and 6 % off ' +
    'the whole way of a message (CPU, in alternation). Tried and not kept: a young generation of 32 MB (no less CPU, 30 MB more memory) and ' +
    'a single-threaded collector (1 to 6 % less CPU, 2 % fewer messages a second)',
  protobuf:
    'generated decoders and encoders without reflection; a delivery joins stored pieces and decodes no message; an answer is written in one exact buffer',
  'log and disk':
    'records are encoded into the block that is written, their checksums are native, and readers get views of it',
  'MD5 of bodies': 'the digest every official client checks; one native call over the body',
  'rules and state': 'plain objects changed in place; one record for a take and one for an acknowledgement',
}

export default {
  name: 'profile',
  title: 'Where the time goes',
  method:
    'The sampling profiler of V8, attached to the running broker process (a sample each 250 µs), under 64 durable sends of 1 KiB in flight, and ' +
    'under 64 lanes that each send, receive by long poll and acknowledge a message. Time of the thread that runs JavaScript, idle time ' +
    'left out; native functions count to the module that calls them. Sampling makes everything a little dearer.',
  async run({ source, quick, say }) {
    const seconds = quick ? 1 : 4
    const send = (messaging) => () => messaging.send('topic', 1024)
    const cycle = (messaging) => async () => {
      const [received] = await Promise.all([messaging.receive('group', 'topic'), messaging.send('topic', 1024)])
      if (received.length > 0) await messaging.ack('group', 'topic', received)
    }
    const results = []
    for (const [name, what, work] of [
      ['profile-send', 'A send', send],
      ['profile-cycle', 'A message sent, received and acknowledged', cycle],
    ]) {
      const found = await withGantry(source, (gantry) => sampled({ source, gantry, seconds, work }))
      const all = found.reduce((sum, { micros }) => sum + micros, 0)
      const largest = found.slice(0, 3)
      say(`${what}: ${found.map(({ part, micros }) => `${part} ${figure(micros)}`).join(', ')}`)
      results.push({
        what: `${what}, time of the JavaScript thread`,
        value: all,
        unit: 'µs',
        detail: `the three largest: ${largest.map(({ part, micros }) => `${part} ${figure(micros)} µs (${Math.round((micros / all) * 100)} %)`).join(', ')}`,
        text: largest.map(({ part }) => part),
        bars: {
          name,
          unit: `µs for ${what.charAt(0).toLowerCase()}${what.slice(1)}`,
          bars: found
            .filter(({ micros }) => micros >= all / 200)
            .map(({ part, micros }) => ({ label: part, value: micros })),
        },
      })
    }
    const named = [...new Set(results.flatMap(({ text }) => text))]
    for (const result of results) result.text = undefined
    results[0].text = [
      'What was done about the largest:',
      '',
      ...named.map((part) => `- **${part}**: ${done[part] ?? 'nothing yet'}.`),
    ].join('\n')
    return results
  },
}

async function sampled({ source, gantry, seconds, work }) {
  const { endpoint } = await gantry.api.runningInstance()
  const messaging = await openMessaging(source, endpoint, 4)
  await forSeconds(Math.max(2, seconds / 2), 64, work(messaging))
  let times = 0
  const profile = await profiled(
    gantry.pids.broker,
    async () => {
      times = (await forSeconds(seconds, 64, work(messaging))).done
    },
    250,
  )
  messaging.close()
  return [...timeOfParts(profile)]
    .map(([part, micros]) => ({ part, micros: micros / times }))
    .sort((a, b) => b.micros - a.micros)
}

function timeOfParts({ nodes, samples, timeDeltas }) {
  const partOfNode = new Map()
  const visit = (node, parentPart) => {
    const part = partOf(node.callFrame) ?? parentPart
    partOfNode.set(node.id, part)
    for (const id of node.children ?? []) visit(byId.get(id), part)
  }
  const byId = new Map(nodes.map((node) => [node.id, node]))
  visit(nodes[0], outside)
  const time = new Map()
  for (const [index, id] of samples.entries()) {
    const part = partOfNode.get(id)
    if (part !== 'idle') time.set(part, (time.get(part) ?? 0) + (timeDeltas[index + 1] ?? 0))
  }
  return time
}

/** Null for native functions, which belong to who calls them. */
function partOf({ functionName, url, lineNumber }) {
  if (functionName === '(idle)') return 'idle'
  if (functionName === '(garbage collector)') return collector
  if (functionName === '(program)' || functionName === '(root)') return outside
  if (url === '') return null
  const place = url.startsWith('file:') ? sourceOf(url, lineNumber) : url
  return Object.entries(parts).find(([, files]) => files.test(place))?.[0] ?? 'the rest'
}

const outlines = new Map()

/** Bundles say above each module which file it was. */
function sourceOf(url, line) {
  let outline = outlines.get(url)
  if (outline === undefined) {
    outline = []
    for (const [index, text] of readFileSync(fileURLToPath(url), 'utf8').split('\n').entries())
      if (/^\/\/ \S+\.(ts|js|mjs|cjs)$/.test(text)) outline.push({ index, file: text.slice(3) })
    outlines.set(url, outline)
  }
  return outline.findLast(({ index }) => index <= line)?.file ?? ''
}
