/** Apache's official client (npm rocketmq-client-nodejs), unmodified. */
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
export const rocketmq = require('rocketmq-client-nodejs')

export const quiet = { info() {}, warn() {}, error() {}, debug() {} }

/** Options every client shares; `tls` needs the server's certificate in GRPC_DEFAULT_SSL_ROOTS_FILE_PATH. */
export function clientOptions(endpoint: string, more: Readonly<Record<string, unknown>> = {}): any {
  return { endpoints: endpoint, namespace: '', logger: quiet, ...more }
}

/** Sends `count` messages, `inFlight` at a time; answers body text by message id. */
export async function sendMany(
  producer: any,
  topic: string,
  count: number,
  inFlight = 32,
  prefix = 'message',
): Promise<Map<string, string>> {
  const sent = new Map<string, string>()
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) {
      const body = `${prefix} ${next++}`
      const receipt = await producer.send({ topic, tag: 'tag', keys: [`key of ${body}`], body: Buffer.from(body) })
      sent.set(receipt.messageId, body)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
  return sent
}

/** Receives and acknowledges until `count` messages came (or `rounds` empty polls); answers body text by message id, and repeats. */
export async function receiveMany(
  consumer: any,
  count: number,
  rounds = 3,
): Promise<{ received: Map<string, string>; repeats: number }> {
  const received = new Map<string, string>()
  let repeats = 0
  for (let empty = 0; received.size < count && empty < rounds; ) {
    const messages = await consumer.receive(32, 30_000)
    if (messages.length === 0) empty++
    for (const message of messages) {
      if (received.has(message.messageId)) repeats++
      received.set(message.messageId, message.body.toString())
    }
    await Promise.all(messages.map((message: any) => consumer.ack(message)))
  }
  return { received, repeats }
}
