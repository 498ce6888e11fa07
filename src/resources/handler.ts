/**
 * A handler: what an operation does, over the ledger. Handlers write what is wanted and return; no
 * handler calls an engine to make something true, the loop does. They know nothing of HTTP.
 */
import type { DataIn, InputIn } from '../catalogue/declare.ts'
import type { Product } from '../catalogue/product.ts'
import type { EngineCapabilities } from '../engines/engine.ts'
import type { AnswerOf, Ask, ParamsOf, QuestionName } from '../engines/questions.ts'
import type { Principal } from '../iam/principal.ts'
import type { Ledger, OneUse } from '../ledger/ledger.ts'
import type { InstanceId } from '../model/ids.ts'
import type { World } from '../world/world.ts'

export interface Call {
  readonly requestId: string
  /** Region of the call: the endpoint's. */
  readonly regionId: string
  readonly at: number
  readonly principal: Principal
  /** Stored with the change that this call makes, so that the same signed bytes make it once. */
  readonly once: OneUse
  /** Host name under which the caller reached the API, to advertise endpoints it can dial. */
  readonly reachedHost: string
}

export type AskBriefly = <Name extends QuestionName>(
  instanceId: InstanceId,
  question: Name,
  params: ParamsOf<Name>,
) => Promise<AnswerOf<Name> | null>

/** What handlers need besides the call; made once by server.ts. */
export interface Services {
  readonly world: World
  readonly ledger: Ledger
  readonly settings: {
    readonly accountId: string
    readonly defaultRegionId: string
    /** Regions this server answers for, first the default. */
    readonly regionIds: readonly string[]
    /** Offset of the API's date texts from UTC, minutes (vendor: unstated, UTC+8 by default). */
    readonly timeZoneOffsetMinutes: number
    /** Host advertised in instance endpoints; null means the host the caller used. */
    readonly advertisedHost: string | null
    /** Name and version of this program. */
    readonly softwareVersion: string
  }
  /** What the engine in use can do, for refusals that name it. */
  readonly engine: EngineCapabilities & { readonly name: string }
  /** Asks the loop for a look at this instance. Call after the change is committed. */
  wake(instanceId: InstanceId): void
  /** Asks the engine (engines/questions.ts). Rejects with `EngineError` when it has no answer now. */
  readonly ask: Ask
  /** The same for what a reply can do without: null when the engine has no answer, or none in time. */
  readonly askBriefly: AskBriefly
}

/**
 * A handler of the operation `Action`. `input` is the decoded and validated request: path, query and body members in
 * one object, lists and JSON texts already parsed. Answers the reply's `data`; throws `ApiError` to refuse.
 */
export interface HandlerOf<Action extends PropertyKey, Input, Data> {
  (services: Services, call: Call, input: Input): Promise<Data | WithMessage<Data>>
  /** In types only: tells apart the handlers of operations that take and answer the same. */
  readonly '~action'?: Action
}

/** Exactly one handler, its own, for each operation of a product but those named in `NotYet`. */
export type HandlersOf<Operations, NotYet = never> = {
  readonly [Action in Exclude<keyof Operations, NotYet>]: HandlerOf<
    Action,
    InputIn<Operations, Action>,
    DataIn<Operations, Action>
  >
}

/** The same under the names that the handlers are exported by: the action with a small first letter. */
type ExportedHandlersOf<Operations, NotYet> = {
  readonly [Action in Exclude<keyof Operations, NotYet> & string as Uncapitalize<Action>]: HandlerOf<
    Action,
    InputIn<Operations, Action>,
    DataIn<Operations, Action>
  >
}

/**
 * The handlers that the modules of a product's families export, by action. It does not compile while an operation has no
 * handler or another one's, nor with an export that is no handler.
 */
export const handlersOf =
  <Operations, NotYet = never>() =>
  <Found extends ExportedHandlersOf<Operations, NotYet>>(
    found: Found & Readonly<Record<Exclude<keyof Found, keyof ExportedHandlersOf<Operations, NotYet>>, never>>,
  ): HandlersOf<Operations, NotYet> =>
    Object.fromEntries(
      Object.entries(found).map(([name, handler]) => [`${name[0]!.toUpperCase()}${name.slice(1)}`, handler]),
    ) as unknown as HandlersOf<Operations, NotYet>

/** Handlers by action, as api/ looks them up. An operation that is absent answers 501. */
export type Handlers = Readonly<Record<string, (services: Services, call: Call, input: any) => Promise<unknown>>>

/** A product and what carries out its operations. */
export interface ServedProduct {
  readonly product: Product
  readonly handlers: Handlers
}

/** `data` with a sentence for the reply's `message`, which says "Success" otherwise. */
export class WithMessage<Data> {
  readonly data: Data
  readonly message: string
  constructor(data: Data, message: string) {
    this.data = data
    this.message = message
  }
}

/**
 * `data`, with what the caller should know of a call that did what it could: of what was sent and has no effect, where the
 * vendor takes it and clients send it as a matter of routine.
 */
export const withNotes = <Data>(data: Data, notes: readonly string[]): Data | WithMessage<Data> =>
  notes.length === 0 ? data : new WithMessage(data, ['Success.', ...notes].join(' '))
