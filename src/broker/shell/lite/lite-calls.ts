/** The calls of lite consumers beside their receives: what group they are of, and what they subscribe to. */
import type { ClientId, ConsumerGroupId, LiteTopicName } from '../../../model/ids.ts'
import type { GroupView, LiteRole, LiteSyncRequest } from '../../broker.ts'
import type { BrokerState } from '../../core/state.ts'
import type { ClientLiveness } from '../client-liveness.ts'
import { refused } from '../refusals.ts'
import { groupView } from '../views.ts'
import type { LiteShell } from './lite.ts'
import { liteGroup } from './lite-groups.ts'

export interface LiteCallsContext {
  readonly state: BrokerState
  readonly liveness: Pick<ClientLiveness, 'alive'>
  readonly lite: Pick<LiteShell, 'sync' | 'onLost'>
}

export class LiteCalls implements LiteRole {
  readonly #context: LiteCallsContext

  constructor(context: LiteCallsContext) {
    this.#context = context
  }

  group(consumerGroupId: ConsumerGroupId): GroupView {
    return groupView(liteGroup(this.#context.state, consumerGroupId))
  }

  sync(request: LiteSyncRequest): Promise<void> {
    this.#context.liveness.alive(request.clientId)
    return this.#context.lite.sync(request).catch(refused)
  }

  onTopicLost(listener: (clientId: ClientId, liteTopic: LiteTopicName) => void): void {
    this.#context.lite.onLost(listener)
  }
}
