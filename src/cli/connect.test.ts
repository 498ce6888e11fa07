import { EventEmitter } from 'node:events'
import { describe, expect, it } from 'vitest'
import { clientError, connectionAt, started } from './connect.ts'
import { LateError, UnreachableError } from './errors.ts'

/** As rocketmq-client-nodejs: a stream a start, whose listeners go when the client is done with it. */
class FakeClient {
  readonly streams: EventEmitter[] = []
  createTelemetryStream(): EventEmitter {
    const stream = new EventEmitter()
    this.streams.push(stream)
    return stream
  }
  async startup(): Promise<void> {
    this.createTelemetryStream()
      .on('error', () => {})
      .on('end', () => this.createTelemetryStream())
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
  stream!.emit('end')
  expect(client.streams, 'its listeners are gone: it opens no other stream').toHaveLength(1)
})

describe('what a client throws', () => {
  it.each([
    [
      new Error('Startup failed', { cause: new Error('[request-id=a, response-code=40100] wrong password') }),
      'It failed: UNAUTHORIZED (40100)\n  wrong password\n  "gantry accounts INSTANCE --show-password" shows with which account clients connect.',
    ],
    [
      new Error('[request-id=undefined, response-code=40402] gone'),
      /^It failed: TOPIC_NOT_FOUND \(40402\)\n {2}gone\n/,
    ],
    [new TypeError('not a message'), 'It failed: not a message'],
  ] as const)('is a sentence with the code: %s', (error, says) => {
    expect(clientError('It failed', error).message).toEqual(
      typeof says === 'string' ? says : expect.stringMatching(says),
    )
  })

  it('says whether nobody answered, or nobody in time', () => {
    const transport = (code: number) => Object.assign(new Error('x'), { code, details: 'no connection' })
    expect(clientError('It failed', transport(14))).toBeInstanceOf(UnreachableError)
    expect(clientError('It failed', transport(4))).toBeInstanceOf(LateError)
  })
})
