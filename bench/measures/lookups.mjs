/** What looking one message up costs beside few and beside many messages retained: by id, by key, its trace, and by time. */
import { inLanes, sleep, withGantry } from '../support/gantry.mjs'
import { asOftenAsAllowed, openMessaging } from '../support/messaging.mjs'
import { figure, median } from '../support/numbers.mjs'

const few = 2_000
const fillLimitMs = 150_000
const rounds = 250
/** Messages with a key of their own, sent while the instance is filled. */
const marksPerStep = 60

export default {
  name: 'lookups',
  title: 'Look-ups',
  limitMs: () => 420_000,
  method:
    'Two instances of one broker process hold messages of 100 bytes: one keeps 2,000, the other is filled in steps, for at most 150 s or up ' +
    'to 10,000,000. In between, messages with a key of their own go to a second topic, 60 a step, and are delivered and acknowledged. At ' +
    'each step signed calls go to both in alternation, 250 each, for messages drawn from all over what is stored: GetMessageDetail, ' +
    'ListMessages by key, GetTrace, and ListMessages from a random second on, pages of ten. The figures are ratios of medians, from ' +
    'request to answer.',
  async run({ source, quick, say }) {
    return withGantry(source, async ({ api }) => {
      const small = await holder(source, api)
      const large = await holder(source, api)
      await small.fill(few)
      const points = { id: [], key: [], trace: [], time: [] }
      const until = performance.now() + (quick ? 20_000 : fillLimitMs)
      for (const target of quick ? [few, 20_000, 200_000] : [few, 100_000, 1_000_000, 10_000_000]) {
        await large.fill(target, until)
        // Merging goes on for a moment after the last send.
        await sleep(quick ? 500 : 4_000)
        for (const [kind, look] of Object.entries(kinds)) {
          const times = { small: [], large: [] }
          for (let round = -20; round < rounds; round++)
            for (const [side, one] of Object.entries({ small, large })) {
              const from = performance.now()
              await look(api, one)
              if (round >= 0) times[side].push(performance.now() - from)
            }
          points[kind].push({ x: large.count(), y: median(times.large), beside: median(times.small) })
        }
        say(
          `${figure(large.count())}: ${Object.entries(points)
            .map(
              ([kind, all]) =>
                `${kind} ${figure(all.at(-1).y)} ms (${figure(all.at(-1).beside)} ms beside ${figure(few)})`,
            )
            .join(', ')}`,
        )
        if (performance.now() > until) break
      }
      for (const one of [small, large]) one.close()
      return Object.entries(points).map(([kind, all]) => ({
        what: `Looking a message up ${names[kind]} beside ${figure(all.at(-1).x)} messages`,
        value: all.at(-1).y / all.at(-1).beside,
        budget: kind === 'time' ? undefined : 1.25,
        unit: `× the time beside ${figure(few)}`,
        detail: all.map(({ x, y, beside }) => `${figure(y)} ms at ${figure(x)} (${figure(beside)})`).join(', '),
        plot: {
          name: `lookups-${kind}`,
          title: 'messages retained',
          unit: `ms for a look-up ${names[kind]}`,
          points: all,
        },
      }))
    })
  },
}

const names = { id: 'by id', key: 'by key', trace: 'with its trace', time: 'by time' }

const kinds = {
  id: async (api, one) => {
    const { messageId } = one.any()
    must((await api.getMessage(one.id, 'topic', messageId)).messageId === messageId)
  },
  key: async (api, one) => {
    const { key, messageId } = one.marked()
    const { list } = await api.listMessages(one.id, 'marked', { messageKey: key, pageSize: 10 })
    must(list.length === 1 && list[0].messageId === messageId)
  },
  trace: async (api, one) => {
    const { consumerInfos } = await api.getTrace(one.id, 'marked', one.marked().messageId)
    must(consumerInfos[0]?.consumeStatus === 'SUCCESS')
  },
  time: async (api, one) => {
    const { list } = await api.listMessages(one.id, 'topic', { startTime: one.second(), pageSize: 10 })
    must(list.length === 10)
  },
}

function must(found) {
  if (!found) throw new Error('A look-up did not find what is stored.')
}

/** An instance that is filled, and remembers some of what it holds. */
async function holder(source, api) {
  const { id, endpoint } = await api.runningInstance({ topics: ['topic', 'marked'] })
  const messaging = await openMessaging(source, endpoint, 4)
  await messaging.receive('group', 'marked', { waitMs: 100 })
  const known = []
  const marked = []
  const from = Date.now()
  let count = 0
  let lastMs = from

  async function mark() {
    const key = `key-${marked.length}`
    const messageId = await asOftenAsAllowed(() => messaging.send('marked', 100, 1, { keys: [key] }))
    const received = await messaging.receive('group', 'marked')
    await messaging.ack('group', 'marked', received)
    marked.push({ key, messageId })
    count++
  }

  return {
    id,
    count: () => count,
    any: () => pick(known),
    marked: () => pick(marked),
    second: () => chinaTime(from + Math.random() * 0.9 * (lastMs - from)),
    close: () => messaging.close(),
    async fill(target, until = Number.POSITIVE_INFINITY) {
      const portion = Math.ceil((target - count) / marksPerStep)
      while (count < target && performance.now() < until) {
        await mark()
        const batch = Math.min(64, portion)
        const calls = Math.ceil(Math.min(portion, target - count) / batch)
        await inLanes(16, Array.from({ length: Math.max(0, calls) }), async () => {
          const messageId = await asOftenAsAllowed(() => messaging.send('topic', 100, batch))
          count += batch
          lastMs = Date.now()
          if (known.length < 5_000) known.push({ messageId })
          else if (Math.random() < 0.2) known[Math.floor(Math.random() * known.length)] = { messageId }
        })
      }
    },
  }
}

const pick = (all) => all[Math.floor(Math.random() * all.length)]

/** As the API writes times. */
const chinaTime = (ms) => new Date(ms + 8 * 3_600_000).toISOString().slice(0, 19).replace('T', ' ')
