/**
 * What the management plane may ask of a connected client: to run one message through its listener, to show its threads, to
 * dial again (data-plane §1.12). Not every language's client answers; who does not is named with its language in the refusal.
 */

import type { ClientConnection, MessageToVerify, VerifiedMessage } from '../../model/clients.ts'
import { Code } from '../../model/codes.ts'
import type { ClientId, ConsumerGroupId } from '../../model/ids.ts'
import { BrokerRefusal } from '../../model/refusals.ts'
import { quoted } from '../messages/validation.ts'
import type { ClientRegistry } from './client-registry.ts'
import type { ClientCommand } from './client-streams.ts'
import type { ClientInfo } from './known-clients.ts'
import type { Answer } from './questions.ts'

const answerSeconds = 5

/** Clients of the group, or all of them. */
export function connections(clients: ClientRegistry, group: ConsumerGroupId | null): ClientConnection[] {
  return clients
    .list()
    .filter((client) => group === null || client.group === group)
    .map((client) => ({
      clientId: client.clientId,
      language: client.language === undefined ? null : languageName(client),
      version: client.version ?? null,
      group: client.group,
      topics: client.topics,
      address: client.address ?? null,
      listening: clients.listening(client.clientId),
    }))
}

/** Runs the message through the listener of one consumer; its progress in the group does not change. */
export async function verifyMessage(
  clients: ClientRegistry,
  clientId: ClientId,
  message: MessageToVerify,
): Promise<VerifiedMessage> {
  const { answer, client } = await put(clients, clientId, 'verify a message', (nonce) => ({
    kind: 'verify-message',
    ...{ nonce, message },
  }))
  if (answer.code === Code.OK) return { consumed: true, reason: null }
  if (answer.code === Code.FAILED_TO_CONSUME_MESSAGE) return { consumed: false, reason: answer.message || null }
  throw unable(client, 'verify a message', answer)
}

/** The client's own account of its threads. */
export async function stackTrace(clients: ClientRegistry, clientId: ClientId): Promise<string> {
  const { answer, client } = await put(clients, clientId, 'show its threads', (nonce) => ({
    kind: 'print-thread-stack-trace',
    nonce,
  }))
  if (answer.code !== Code.OK || answer.threadStackTrace === null) throw unable(client, 'show its threads', answer)
  return answer.threadStackTrace
}

/** Asks the client to open its connections anew; whether it does, its language decides (Java and Node.js do). */
export async function reconnect(clients: ClientRegistry, clientId: ClientId): Promise<void> {
  connected(clients, clientId)
  await clients.tell(clientId, { kind: 'reconnect-endpoints', nonce: `reconnect-${clientId}` })
}

async function put(
  clients: ClientRegistry,
  clientId: ClientId,
  what: string,
  command: (nonce: string) => ClientCommand,
): Promise<{ answer: Answer; client: ClientInfo }> {
  const client = connected(clients, clientId)
  const answer = await clients.ask(clientId, command)
  if (answer !== null) return { answer, client }
  const name = languageName(client)
  throw new BrokerRefusal(
    Code.NOT_IMPLEMENTED,
    `Client ${quoted(clientId)} did not answer within ${answerSeconds} s when it was asked to ${what}; ${name} clients ${answers(name)}.`,
  )
}

function connected(clients: ClientRegistry, clientId: ClientId): ClientInfo {
  const client = clients.get(clientId)
  if (client !== null && clients.listening(clientId)) return client
  throw new BrokerRefusal(
    Code.NOT_FOUND,
    `Client ${quoted(clientId)} has no open telemetry stream to this instance; only connected clients can be asked.`,
  )
}

function unable(client: ClientInfo, what: string, answer: Answer): BrokerRefusal {
  const said =
    answer.code === Code.NOT_IMPLEMENTED ? 'that it does not implement it' : `${answer.code} ${answer.message}`.trim()
  return new BrokerRefusal(
    Code.NOT_IMPLEMENTED,
    `The ${languageName(client)} client ${quoted(client.clientId)} was asked to ${what} and answered ${said}.`,
  )
}

const answers = (language: string): string =>
  language === 'Python' || language === 'Rust' ? 'do not answer such questions' : 'usually do, so look at its log'

function languageName({ language = '' }: ClientInfo): string {
  const names: Readonly<Record<string, string>> = {
    JAVA: 'Java',
    GO: 'Go',
    HTTP: 'Node.js',
    PYTHON: 'Python',
    CPP: 'C++',
    DOTNET: 'C#',
    RUST: 'Rust',
  }
  return names[language] ?? (language === '' ? 'unnamed' : language.slice(0, 32))
}
