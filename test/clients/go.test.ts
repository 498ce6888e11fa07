/** Apache's Go client (`rocketmq-clients/golang/v5` 5.1.4), unmodified. */
import { expect, it } from 'vitest'
import { until } from '../support/sdk.ts'
import { judge, topic } from './judge.ts'

judge('Go', {}, (place) => {
  it.each([1, 2])('leaves a producer the %d attempts it was configured with', async (maxAttempts) => {
    const { api, instanceId } = place()
    const gone = `gone-${maxAttempts}`
    await topic(place(), gone, 'NORMAL')
    const client = place().client()
    await client.do({ do: 'producer', topics: [gone], maxAttempts })
    await client.do({ do: 'send', topic: gone, body: 'arrives' })
    // Its route is known, so each attempt reaches the broker, and is refused there once the deletion is carried out.
    await api.deleteTopic(instanceId, gone)
    await until(
      () => client.ask({ do: 'send', topic: gone, body: 'is refused' }),
      ({ error }) => error !== undefined,
      'the topic is gone',
    )
    const [finally_] = client.log.filter((line) => line.includes('failed to send message(s) finally'))
    expect(finally_).toMatch(new RegExp(`maxAttempts=${maxAttempts}, attempt=${maxAttempts},`))
    await client.close()
  })
})
