/** Commands to a client (`clients/client-streams.ts`) as messages of its telemetry stream, and its answers. */
import { hash } from 'node:crypto'
import * as gen from '../../../../grpc/gen/rocketmq.js'
import type { MessageToVerify } from '../../../../model/clients.ts'
import type { Orphan } from '../../../broker.ts'
import type { ClientCommand } from '../../../clients/client-streams.ts'
import type { Answer } from '../../../clients/questions.ts'
import { decodeStored } from '../../../messages/stored-message.ts'
import { secondsAndNanos } from '../../../messages/time.ts'

export function telemetryCommandOf(command: ClientCommand): gen.TelemetryCommandInit {
  switch (command.kind) {
    case 'verify-message':
      return { verifyMessageCommand: { nonce: command.nonce, message: messageOf(command.message) } }
    case 'print-thread-stack-trace':
      return { printThreadStackTraceCommand: { nonce: command.nonce } }
    case 'reconnect-endpoints':
      return { reconnectEndpointsCommand: { nonce: command.nonce } }
    case 'recover-orphaned-transaction':
      return { recoverOrphanedTransactionCommand: questionOf(command.orphan, command.namespace) }
    case 'notify-unsubscribe-lite':
      return { notifyUnsubscribeLiteCommand: { liteTopic: command.liteTopic } }
  }
}

/** What a client answers with this command; null when it is no answer. */
export function answerIn(command: gen.TelemetryCommand): { readonly nonce: string; readonly answer: Answer } | null {
  // The Node.js client says NOT_IMPLEMENTED in the field of the question.
  const { threadStackTrace, verifyMessageResult, verifyMessageCommand, status } = command
  const nonce = (threadStackTrace ?? verifyMessageResult ?? verifyMessageCommand)?.nonce
  if (nonce === undefined) return null
  return {
    nonce,
    answer: {
      code: status?.code ?? 0,
      message: status?.message ?? '',
      threadStackTrace: threadStackTrace?.threadStackTrace ?? null,
    },
  }
}

/** As a consumer would get it. */
function messageOf(parts: MessageToVerify): gen.MessageInit {
  const body = Buffer.from(parts.body, 'base64')
  return {
    topic: { name: parts.topicName },
    userProperties: parts.userProperties,
    systemProperties: {
      tag: parts.tag,
      keys: parts.keys,
      messageId: parts.messageId,
      bodyDigest: { type: gen.DigestType.MD5, checksum: hash('md5', body, 'hex').toUpperCase() },
      bodyEncoding: gen.Encoding.IDENTITY,
      messageType: gen.MessageType.NORMAL,
      bornTimestamp: secondsAndNanos(parts.bornTimeMs),
      storeTimestamp: secondsAndNanos(parts.bornTimeMs),
      queueId: 0,
      deliveryAttempt: 1,
    },
    body,
  }
}

function questionOf(orphan: Orphan, namespace: string): gen.RecoverOrphanedTransactionCommandInit {
  const { systemProperties, ...rest } = decodeStored(orphan.payload)
  return {
    message: {
      ...rest,
      topic: { resourceNamespace: namespace, name: orphan.topicName },
      systemProperties: {
        ...systemProperties,
        storeTimestamp: secondsAndNanos(orphan.storeTimeMs),
        queueId: 0,
        deliveryAttempt: 1,
      },
    },
    transactionId: orphan.transactionId,
  }
}
