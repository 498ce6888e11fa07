/**
 * What may be asked of an instance, each question with what it needs and what it answers. This map is the only place
 * that names them all: links, hosts and wiring pass on whatever they are given.
 *
 * A new question: an entry here, an answer in each engine (`embedded/answers.ts`, `simulated/engine.ts`), a case in
 * `suite.ts`, and the handler that asks. Parameters and answers are plain data that survives JSON.
 *
 * Every question is refused with `EngineError`: `absent` when the engine does not hold the instance, `unavailable` when
 * it cannot be asked now, `unsupported` when the engine has no such question or the client cannot be asked.
 */
import type { ClientConnection, ClientMetric, MessageToVerify, VerifiedMessage } from '../model/clients.ts'
import type { ClientId, ConsumerGroupId, InstanceId } from '../model/ids.ts'
import type { MessagePage, MessageQuery, MessageTrace, TraceQuery } from '../model/messages.ts'
import type { InstanceUsage, TopicLag } from '../model/observations.ts'
import { EngineError } from '../model/refusals.ts'

export interface Questions {
  /** Bytes stored, live connections, and what is wrong though it runs. */
  usage: Question<Nothing, InstanceUsage>
  /** How far a group is behind on each topic it reads. */
  lag: Question<{ readonly consumerGroupId: ConsumerGroupId }, readonly TopicLag[]>
  /** Stored messages; null when there is no such topic. */
  findMessages: Question<MessageQuery, MessagePage | null>
  /** What became of one; null when it is not stored. */
  traceMessage: Question<TraceQuery, MessageTrace | null>
  /** Clients of a group, or every client when `group` is null. */
  connections: Question<{ readonly group: ConsumerGroupId | null }, readonly ClientConnection[]>
  /** Runs one message through the listener of one consumer; the group's progress does not change. */
  verifyMessage: Question<{ readonly clientId: ClientId; readonly message: MessageToVerify }, VerifiedMessage>
  /** The client's own account of its threads. */
  stackTrace: Question<{ readonly clientId: ClientId }, string>
  /** Asks the client to dial again; whether it does, its language decides (Java and Node.js do). */
  reconnectClient: Question<{ readonly clientId: ClientId }, null>
  /** The latest of what clients measured themselves (OTLP). */
  clientMetrics: Question<Nothing, readonly ClientMetric[]>
}

export interface Question<Params, Answer> {
  readonly params: Params
  readonly answer: Answer
}

export type Nothing = Readonly<Record<never, never>>

export type QuestionName = keyof Questions
export type ParamsOf<Name extends QuestionName> = Questions[Name]['params']
export type AnswerOf<Name extends QuestionName> = Questions[Name]['answer']

/** How a question is put. */
export type Ask = <Name extends QuestionName>(
  instanceId: InstanceId,
  question: Name,
  params: ParamsOf<Name>,
) => Promise<AnswerOf<Name>>

/** An answer to every question, by whoever holds `Subject`. A question without one does not compile. */
export type Answers<Subject> = {
  readonly [Name in QuestionName]: (
    subject: Subject,
    params: ParamsOf<Name>,
  ) => Promise<AnswerOf<Name>> | AnswerOf<Name>
}

/** What `subject` answers; rejects with `unsupported` where it has no answer to such a question. */
export async function answerOf<Subject, Name extends QuestionName>(
  answers: Partial<Answers<Subject>>,
  subject: Subject,
  question: Name,
  params: ParamsOf<Name>,
): Promise<AnswerOf<Name>> {
  // The name may come from another process.
  const answer = Object.hasOwn(answers, question) ? answers[question] : undefined
  if (answer === undefined) throw new EngineError('unsupported', `The engine has no answer to "${question}".`)
  return answer(subject, params)
}
