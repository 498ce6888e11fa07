/** RocketMQ's calls over the light client: send, end a transaction, receive, acknowledge. Every answer's status is checked. */
import { Connection } from './http2.mjs'

const okCode = 20_000
const messageNotFound = 40_401
let ids = 0

/** A send that the instance's bought rate does not allow now. */
const tooManyRequests = 42_900

/** For what only fills: a filling may be faster than what was bought (a delayed message counts five times in it). */
export async function asOftenAsAllowed(send) {
  for (;;) {
    try {
      return await send()
    } catch (error) {
      if (error.code !== tooManyRequests) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

/** `count` connections to one endpoint, used in turn. */
export async function openMessaging(source, endpoint, count = 1, { tls = false } = {}) {
  const { gen } = source
  const connections = await Promise.all(
    // One client over several connections: a delivery is acknowledged by the client that was given it.
    Array.from({ length: count }, () => Connection.open(endpoint, `bench@${process.pid}@0`, { tls })),
  )
  let turn = 0
  const next = () => connections[turn++ % connections.length]
  const sends = new Map()

  function encodeSend(topic, bodyBytes, batch, properties) {
    const marker = (index) => `#${index}`.padEnd(34, '#')
    const message = (index) => ({
      topic: { name: topic },
      systemProperties: {
        messageId: marker(index),
        tag: 'tag',
        messageType: 1,
        bodyEncoding: 1,
        bornHost: 'bench',
        ...properties,
      },
      body: Buffer.alloc(bodyBytes, 7),
    })
    const bytes = Buffer.from(
      gen.SendMessageRequest.encode({ messages: Array.from({ length: batch }, (_, i) => message(i)) }).finish(),
    )
    return { bytes, places: Array.from({ length: batch }, (_, index) => bytes.indexOf(marker(index))) }
  }

  /** Encoded once for all sends that differ in their ids only. */
  function sendTemplate(topic, bodyBytes, batch, { messageGroup = '', messageType = 1 }) {
    const key = `${topic} ${bodyBytes} ${batch} ${messageGroup} ${messageType}`
    let template = sends.get(key)
    if (template === undefined) {
      template = encodeSend(topic, bodyBytes, batch, { messageType, ...(messageGroup && { messageGroup }) })
      sends.set(key, template)
    }
    return template
  }

  function encodedKind(topic, bodyBytes, batch, kind) {
    if (kind.keys !== undefined) return encodeSend(topic, bodyBytes, batch, { keys: kind.keys })
    if (kind.deliverAtMs === undefined) return sendTemplate(topic, bodyBytes, batch, kind)
    return encodeSend(topic, bodyBytes, batch, { messageType: 3, deliveryTimestamp: timestamp(kind.deliverAtMs) })
  }

  function encodedSend(topic, bodyBytes, batch, kind) {
    const { bytes, places } = encodedKind(topic, bodyBytes, batch, kind)
    const request = Buffer.from(bytes)
    let messageId = ''
    for (const place of places) {
      messageId = (ids++).toString(16).padStart(34, '0')
      request.write(messageId, place, 'latin1')
    }
    return { request, messageId }
  }

  async function answered(request) {
    const [answer] = await next().call('SendMessage', request)
    if (!startsWithOk(answer)) throw refusal('send', gen.SendMessageResponse.decode(answer).status)
    return answer
  }

  return {
    /**
     * One call with `batch` messages, answered when they are durable; answers the id of the last. Of a FIFO message `kind`
     * says the `messageGroup`, of a delayed one `deliverAtMs`; of any, `keys`.
     */
    async send(topic, bodyBytes, batch = 1, kind = {}) {
      const { request, messageId } = encodedSend(topic, bodyBytes, batch, kind)
      await answered(request)
      return messageId
    },

    /** As `send`; the id is known at once. */
    sendKnown(topic, bodyBytes) {
      const { request, messageId } = encodedSend(topic, bodyBytes, 1, {})
      return { messageId, done: answered(request) }
    },

    /** A transactional message sent and committed: two calls. */
    async sendAndCommit(topic, bodyBytes) {
      const { request: half, messageId } = encodedSend(topic, bodyBytes, 1, { messageType: 4 })
      const { transactionId } = gen.SendMessageResponse.decode(await answered(half)).entries[0]
      const request = gen.EndTransactionRequest.encode({
        topic: { name: topic },
        messageId,
        transactionId,
        resolution: 1,
      }).finish()
      const [ended] = await next().call('EndTransaction', request)
      if (!startsWithOk(ended)) throw refusal('commit', gen.EndTransactionResponse.decode(ended).status)
      return messageId
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
          if (code !== okCode && code !== messageNotFound) throw refusal('receive', { code, message })
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
      if (!startsWithOk(answer)) throw refusal('acknowledgement', gen.AckMessageResponse.decode(answer).status)
    },

    close() {
      for (const connection of connections) connection.close()
    },
  }
}

const refusal = (what, { code, message }) =>
  Object.assign(new Error(`A ${what} was refused: ${code} ${message}`), { code })

const timestamp = (ms) => ({ seconds: Math.floor(ms / 1000), nanos: Math.round(ms % 1000) * 1_000_000 })

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
