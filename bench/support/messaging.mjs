/** RocketMQ's calls over the light client: send, receive, acknowledge. Every answer's status is checked. */
import { Connection } from './http2.mjs'

const okCode = 20_000
const messageNotFound = 40_401
let ids = 0

/** `count` connections to one endpoint, used in turn. */
export async function openMessaging(source, endpoint, count = 1) {
  const { gen } = source
  const connections = await Promise.all(
    Array.from({ length: count }, (_, index) => Connection.open(endpoint, `bench@${process.pid}@${index}`)),
  )
  let turn = 0
  const next = () => connections[turn++ % connections.length]
  const sends = new Map()

  function sendTemplate(topic, bodyBytes, batch) {
    const key = `${topic} ${bodyBytes} ${batch}`
    let template = sends.get(key)
    if (template === undefined) {
      const marker = (index) => `#${index}`.padEnd(34, '#')
      const message = (index) => ({
        topic: { name: topic },
        systemProperties: { messageId: marker(index), tag: 'tag', messageType: 1, bodyEncoding: 1, bornHost: 'bench' },
        body: Buffer.alloc(bodyBytes, 7),
      })
      const bytes = Buffer.from(
        gen.SendMessageRequest.encode({ messages: Array.from({ length: batch }, (_, i) => message(i)) }).finish(),
      )
      template = { bytes, places: Array.from({ length: batch }, (_, index) => bytes.indexOf(marker(index))) }
      sends.set(key, template)
    }
    return template
  }

  return {
    /** One call with `batch` messages, answered when they are durable. */
    async send(topic, bodyBytes, batch = 1) {
      const { bytes, places } = sendTemplate(topic, bodyBytes, batch)
      const request = Buffer.from(bytes)
      for (const place of places) request.write((ids++).toString(16).padStart(34, '0'), place, 'latin1')
      const [answer] = await next().call('SendMessage', request)
      if (!startsWithOk(answer))
        throw new Error(`A send was refused: ${JSON.stringify(gen.SendMessageResponse.decode(answer).status)}`)
    },

    /** A long poll; answers [] when nothing came for `waitMs`. */
    async receive(group, topic, { max = 1, waitMs = 5_000, invisibleMs = 60_000 } = {}) {
      const request = gen.ReceiveMessageRequest.encode({
        group: { name: group },
        messageQueue: { topic: { name: topic } },
        filterExpression: { type: 1, expression: '*' },
        batchSize: max,
        invisibleDuration: { seconds: invisibleMs / 1000, nanos: 0 },
        longPollingTimeout: { seconds: waitMs / 1000, nanos: 0 },
      }).finish()
      const received = []
      for (const bytes of await next().call('ReceiveMessage', request)) {
        // Field 1 is the status, field 2 a message, field 3 the time.
        if (bytes[0] === 0x12) received.push(gen.ReceiveMessageResponse.decode(bytes).message.systemProperties)
        else if (bytes[0] === 0x0a) {
          const { code, message } = gen.ReceiveMessageResponse.decode(bytes).status
          if (code !== okCode && code !== messageNotFound) throw new Error(`A receive was refused: ${code} ${message}`)
        }
      }
      return received
    },

    async ack(group, topic, received) {
      const request = gen.AckMessageRequest.encode({
        group: { name: group },
        topic: { name: topic },
        entries: received.map(({ messageId, receiptHandle }) => ({ messageId, receiptHandle })),
      }).finish()
      const [answer] = await next().call('AckMessage', request)
      if (!startsWithOk(answer))
        throw new Error(
          `An acknowledgement was refused: ${JSON.stringify(gen.AckMessageResponse.decode(answer).status)}`,
        )
    },

    close() {
      for (const connection of connections) connection.close()
    },
  }
}

/** Whether field 1 of the answer is a status whose code, its first field, is OK (20000). */
function startsWithOk(answer) {
  return (
    answer !== undefined &&
    answer[0] === 0x0a &&
    answer[2] === 0x08 &&
    answer[3] === 0xa0 &&
    answer[4] === 0x9c &&
    answer[5] === 0x01
  )
}
