import { EventEmitter } from 'node:events'
import { expect, it } from 'vitest'
import { connectionAt, started } from './connect.ts'

/** As rocketmq-client-nodejs: a stream a start, whose listeners go when the client is done with it. */
class FakeClient {
  readonly streams: EventEmitter[] = []
  createTelemetryStream(): EventEmitter {
    const stream = new EventEmitter()
    this.streams.push(stream)
    return stream
  }
  async startup(): Promise<void> {
    this.createTelemetryStream().on('error', () => {})
  }
  async shutdown(): Promise<void> {
    for (const stream of this.streams) stream.removeAllListeners()
  }
}

it('does not end with a stream that fails after its client was shut down', async () => {
  const client = new FakeClient()
  await started(client, connectionAt('rmq-cn-one', '127.0.0.1:1', null))
  await client.shutdown()
  const [stream] = client.streams
  expect(() => stream!.emit('error', new Error('14 UNAVAILABLE: The server is closing'))).not.toThrow()
})
