/** A bit that flips in what is stored: the messages around it are delivered, and whoever looks is told which file it is. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect, it } from 'vitest'
import { run } from '../cli/run.ts'
import { clientOptions, receiveMany, rocketmq, sendMany } from '../support/client.ts'
import { runningInstance, sdkClient, until } from '../support/sdk.ts'
import { temporaryHome } from '../support/server.ts'

it('a damaged message is named by GetInstance and doctor, and the others are delivered', async () => {
  const home = await temporaryHome()
  try {
    let server = await home.start({ env: { GANTRY_FIRST_INSTANCE_PORT: '24680' } })
    const { instanceId, endpoint } = await runningInstance(sdkClient(server.ready), { topic: 'kept', group: 'readers' })
    const producer = new rocketmq.Producer(clientOptions(endpoint, { topics: ['kept'] }))
    await producer.startup()
    const sent = await sendMany(producer, 'kept', 20, 4, 'whole')
    const { messageId } = await producer.send({ topic: 'kept', tag: 't', body: Buffer.from('to be damaged') })
    await producer.shutdown()
    // Closed cleanly, so that the checkpoint spares the next opening from reading what is damaged.
    expect(await server.stop()).toBe(0)
    const segment = flipIn(path.join(home.home, 'instances', instanceId), 'to be damaged')

    server = await home.start({ env: { GANTRY_FIRST_INSTANCE_PORT: '24680' } })
    const client = sdkClient(server.ready)
    const runs = await until(
      () => client.getInstance(instanceId),
      (answer: any) => answer.body.data.status === 'RUNNING',
      'it runs',
    )
    expect(runs.body.message).toBe('Success')
    const consumer = new rocketmq.SimpleConsumer(
      clientOptions(endpoint, {
        consumerGroup: 'readers',
        subscriptions: new Map([['kept', '*']]),
        awaitDuration: 5000,
      }),
    )
    await consumer.startup()
    const { received } = await receiveMany(consumer, sent.size)
    await consumer.shutdown()
    expect([...received.keys()].sort()).toEqual([...sent.keys()].sort())
    expect(received.has(messageId)).toBe(false)

    const says = new RegExp(`1 record of instance ${instanceId} cannot be read: ${segment} is damaged at byte \\d+\\.`)
    const { data, message } = (await client.getInstance(instanceId)).body
    expect(data.status).toBe('RUNNING')
    expect(message).toMatch(says)
    expect(message).toMatch(/not delivered, all others are\. Check the disk/)
    const doctor = await run(['doctor', '--home', home.home])
    expect(doctor.code).toBe(1)
    expect(doctor.stdout).toMatch(new RegExp(`✗ ${says.source}\n {2}Messages there are not delivered`))
    expect(doctor.stdout).toMatch(/^1 thing to mend\.$/m)
  } finally {
    await home.close()
  }
})

/** KeyedQueue one bit of the text where it is stored; answers the file. */
function flipIn(folder: string, text: string): string {
  for (const name of readdirSync(folder)) {
    const file = path.join(folder, name)
    const bytes = readFileSync(file)
    const at = bytes.indexOf(text)
    if (!name.endsWith('.segment') || at < 0) continue
    bytes[at]! ^= 1
    writeFileSync(file, bytes)
    return file
  }
  throw new Error(`No segment in ${folder} holds "${text}".`)
}
