/** What must not compile: the compiler checks every line below a `@ts-expect-error`, and fails when it does compile. */
import { expect, it } from 'vitest'
import type { Declared } from '../catalogue/declare.ts'
import { type HandlerOf, type HandlersOf, handlersOf } from './handler.ts'
import { handlers, type RocketmqHandlers } from './rocketmq/index.ts'

interface Operations {
  readonly GetTopic: Declared<'GetTopic', { topicName: string }, string>
  readonly DeleteTopic: Declared<'DeleteTopic', { topicName: string }, string>
  readonly VerifySendMessage: Declared<'VerifySendMessage', { topicName: string }, string>
}
type Handlers = HandlersOf<Operations, 'VerifySendMessage'>

const getTopic: HandlerOf<'GetTopic', { topicName: string }, string> = async (_services, _call, { topicName }) =>
  topicName
const deleteTopic: HandlerOf<'DeleteTopic', { topicName: string }, string> = async () => 'deleted'

const complete: Handlers = { GetTopic: getTopic, DeleteTopic: deleteTopic }

// @ts-expect-error a missing handler
const missing: Handlers = { GetTopic: getTopic }

const swapped: Handlers = {
  // @ts-expect-error the handler of another operation, though it takes and answers the same
  GetTopic: deleteTopic,
  DeleteTopic: deleteTopic,
}

const misspelt: Handlers = {
  GetTopic: getTopic,
  // @ts-expect-error a misspelt name
  DeletTopic: deleteTopic,
}

const superfluous: Handlers = {
  GetTopic: getTopic,
  DeleteTopic: deleteTopic,
  // @ts-expect-error an operation that the product does not have
  PurgeTopic: deleteTopic,
}

const notYet: Handlers = {
  GetTopic: getTopic,
  DeleteTopic: deleteTopic,
  // @ts-expect-error an operation that is named as not carried out
  VerifySendMessage: async () => 'sent',
}

const real: RocketmqHandlers = {
  ...handlers,
  // @ts-expect-error the same for the real operations
  GetTopic: handlers.DeleteConsumerGroup,
}

const wrongInput: RocketmqHandlers = {
  ...handlers,
  // @ts-expect-error an input that the operation does not have
  GetTopic: async (_services, _call, input: { topicId: string }) => input.topicId,
}

const compose = handlersOf<Operations, 'VerifySendMessage'>()
const composed = compose({ getTopic, deleteTopic })

// @ts-expect-error a missing handler among what the families export
compose({ getTopic })

// @ts-expect-error the handler of another operation
compose({ getTopic: deleteTopic, deleteTopic })

// @ts-expect-error an export that is no handler of the product
compose({ getTopic, deleteTopic, ...{ checkTopic: () => true } })

// @ts-expect-error the handler of an operation that is named as not carried out
compose({ getTopic, deleteTopic, ...{ verifySendMessage: deleteTopic } })

it('compiles with one handler of its own for each operation', () => {
  expect(Object.keys(complete)).toEqual(['GetTopic', 'DeleteTopic'])
  expect(composed).toEqual(complete)
  expect([missing, swapped, misspelt, superfluous, notYet, real, wrongInput]).toHaveLength(7)
})
