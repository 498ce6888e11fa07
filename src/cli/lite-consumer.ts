/**
 * A consumer of lite topics that is asked for messages, as `gantry receive` needs one: it must not take more than it shows.
 * rocketmq-client-nodejs has a lite push consumer only, so this is that consumer without its own receiving, with the
 * methods of the library's simple consumer beside it.
 */
import type { ConsumerGroupId, LiteTopicName, TopicName } from '../model/ids.ts'
import { type ClientOptions, clientLibrary } from './connect.ts'

interface LiteSubscription {
  readonly group: ConsumerGroupId
  readonly topicName: TopicName
  readonly liteTopics: readonly LiteTopicName[]
  readonly waitMs: number
}

export function liteConsumer(client: ClientOptions, { group, topicName, liteTopics, waitMs }: LiteSubscription): any {
  const { LitePushConsumerImpl, FilterExpression, StatusChecker } = clientLibrary()

  class LiteConsumer extends (LitePushConsumerImpl as new (options: object) => any) {
    /** Nothing is received but what is asked for. */
    startAssignmentScanning(): void {}

    /** The library's own opens a log file in the user's home, and a timer that keeps the process from ending. */
    createConsumeService(): object {
      return { abort() {} }
    }

    async startup(): Promise<void> {
      await super.startup()
      for (const liteTopic of liteTopics) await this.subscribeLite(liteTopic)
    }

    async receive(most: number, invisibleMs: number): Promise<any[]> {
      const { messageQueues } = await this.getRouteData(topicName)
      const [queue] = messageQueues
      const request = this.wrapReceiveMessageRequest(most, queue, FilterExpression.SUB_ALL, invisibleMs, waitMs)
      return this.receiveMessage(request, queue, waitMs)
    }

    async ack(message: any): Promise<void> {
      const request = this.wrapAckMessageRequest(message)
      const response = await this.ackMessageViaRpc(message.endpoints, request, this.requestTimeoutValue)
      StatusChecker.check(response.getStatus().toObject())
    }

    async changeInvisibleDuration(message: any, invisibleMs: number): Promise<void> {
      const request = this.wrapChangeInvisibleDurationRequest(message, invisibleMs)
      const response = await this.changeInvisibleDurationViaRpc(message.endpoints, request, this.requestTimeoutValue)
      StatusChecker.check(response.getStatus().toObject())
    }
  }

  return new LiteConsumer({
    ...client,
    consumerGroup: group,
    bindTopic: topicName,
    messageListener: { consume: async () => {} },
  })
}
