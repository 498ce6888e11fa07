/** The inspection role: stored messages for an operator, and how much is stored. A failure of the log is a refusal. */
import type { TopicName } from '../../model/ids.ts'
import type {
  BrowsePage,
  BrowseRequest,
  FindRequest,
  FoundMessage,
  Incident,
  InspectionRole,
  Usage,
} from '../broker.ts'
import { type BrowseContext, browse } from './browse.ts'
import { findMessage } from './find-message.ts'
import { historyOf } from './history.ts'
import { refused } from './refusals.ts'
import { storedBytesOf, usageOf } from './views.ts'

export class Inspection implements InspectionRole {
  readonly #context: BrowseContext

  constructor(context: BrowseContext) {
    this.#context = context
  }

  browse(request: BrowseRequest): Promise<BrowsePage | null> {
    return browse(this.#context, request).catch(refused)
  }

  findMessage(request: FindRequest): Promise<FoundMessage | null> {
    return findMessage(this.#context, request).catch(refused)
  }

  historyOf(topicName: TopicName, found: FoundMessage): Promise<Incident[]> {
    return historyOf(this.#context, topicName, found).catch(refused)
  }

  storedBytes(): number {
    return storedBytesOf(this.#context.log)
  }

  usage(): Usage {
    return usageOf(this.#context.state, this.#context.log)
  }
}
