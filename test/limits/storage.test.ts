/** Storage that was bought encrypted, over a real server: nothing readable in the home, and no other key opens it. */
import { readdir, readFile, rename } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { run } from '../cli/run.ts'
import { clientOptions, receiveMany, rocketmq } from '../support/client.ts'
import { runningInstance, sdk, sdkClient, until } from '../support/sdk.ts'
import { type TestHome, type TestServer, temporaryHome } from '../support/server.ts'

let home: TestHome
let server: TestServer
let client: any
beforeAll(async () => {
  home = await temporaryHome()
  server = await home.start()
  client = sdkClient(server.ready)
})
afterAll(() => home?.close())

const secrets = {
  body: 'body-9f3a61',
  key: 'key-77ab20',
  tag: 'tag-c0ffee',
  name: 'property-5d1e',
  value: 'value-be42',
}

const encrypted = (storageSecretKey: string) => ({
  seriesCode: 'ultimate',
  productInfo: new sdk.CreateInstanceRequestProductInfo({
    msgProcessSpec: 'rmq.u2.10xlarge',
    storageEncryption: true,
    storageSecretKey,
  }),
})

async function send(endpoint: string, topic: string): Promise<void> {
  const producer = new rocketmq.Producer(clientOptions(endpoint, { topics: [topic] }))
  await producer.startup()
  const { body, key, tag, name, value } = secrets
  await producer.send({ topic, tag, keys: [key], properties: new Map([[name, value]]), body: Buffer.from(body) })
  await producer.shutdown()
}

async function receive(endpoint: string, topic: string, group: string): Promise<string[]> {
  const consumer = new rocketmq.SimpleConsumer(
    clientOptions(endpoint, { consumerGroup: group, subscriptions: new Map([[topic, '*']]), awaitDuration: 5000 }),
  )
  await consumer.startup()
  try {
    return [...(await receiveMany(consumer, 1)).received.values()]
  } finally {
    await consumer.shutdown()
  }
}

/** Which of the texts stand in any file of the home. */
async function readable(texts: readonly string[]): Promise<string[]> {
  const found = new Set<string>()
  for (const entry of await readdir(home.home, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const bytes = await readFile(path.join(entry.parentPath ?? entry.path, entry.name))
    for (const text of texts) if (bytes.includes(text)) found.add(text)
  }
  return [...found]
}

it('an encrypted instance leaves nothing readable, and another key refuses to open it and damages nothing', async () => {
  const one = await runningInstance(client, { topic: 'secret', group: 'readers', changes: encrypted('key-one') })
  const two = await runningInstance(client, { topic: 'secret', group: 'readers', changes: encrypted('key-two') })
  await send(one.endpoint, 'secret')
  await send(two.endpoint, 'secret')
  // Closing writes checkpoints and index files.
  await server.stop()
  const texts = Object.values(secrets)
  expect(await readable(texts)).toEqual([])

  // Each instance finds files that were written with the other's key.
  const swap = async () => {
    const [a, b] = [one, two].map(({ instanceId }) => path.join(home.home, 'instances', instanceId)) as [string, string]
    await rename(a, `${a}.aside`)
    await rename(b, a)
    await rename(`${a}.aside`, b)
  }
  await swap()
  server = await home.start()
  client = sdkClient(server.ready)
  const plain = await runningInstance(client, { topic: 'open', group: 'readers' })
  await send(plain.endpoint, 'open')
  expect(await receive(plain.endpoint, 'open', 'readers')).toEqual([secrets.body])
  for (const { instanceId } of [one, two])
    expect((await client.getInstance(instanceId)).body.data.status).not.toBe('RUNNING')
  const doctor = await run(['doctor', '--home', home.home])
  expect(doctor.stdout).toMatch(new RegExp(`${one.instanceId}.*cannot be decrypted with the key at hand`))
  await server.stop()
  expect(await readable(texts)).toEqual(expect.arrayContaining(texts))

  await swap()
  server = await home.start()
  client = sdkClient(server.ready)
  for (const { instanceId } of [one, two]) {
    const { body } = await until(
      () => client.getInstance(instanceId),
      (answer: any) => answer.body.data.status === 'RUNNING',
      'it opens with its own key',
    )
    const [{ endpointUrl }] = body.data.networkInfo.endpoints
    expect(await receive(endpointUrl, 'secret', 'readers')).toEqual([secrets.body])
  }
}, 60_000)
