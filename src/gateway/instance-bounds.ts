/**
 * What one instance may hold of what its process has, over all its endpoints: connections, places of strangers, bytes of
 * requests, open calls. What the process has is shared by the rule of `bounds/shares.ts`: an instance that is attacked fills its own part.
 */

import { Share } from '../bounds/shares.ts'
import { Strangers } from '../bounds/strangers.ts'
import type { Clock } from '../world/world.ts'
import { ConnectionLimit } from './connection-limit.ts'
import type { GatewayLimits } from './limits.ts'
import { WrongPasswords } from './wrong-passwords.ts'

/** Of the whole process. */
export class ProcessBounds {
  readonly limits: GatewayLimits
  readonly connections: Share
  readonly strangers: Share
  readonly heldBytes: Share
  readonly openCallBytes: Share

  constructor(limits: GatewayLimits) {
    this.limits = limits
    this.connections = new Share({ most: limits.maxConnections })
    this.strangers = new Share({ most: limits.maxStrangers })
    this.heldBytes = new Share({ most: limits.maxHeldBytes })
    this.openCallBytes = new Share({ most: limits.maxOpenCallBytes })
  }
}

export class InstanceBounds {
  readonly connections: ConnectionLimit
  readonly strangers: Strangers
  readonly heldBytes: Share
  readonly openCallBytes: Share
  readonly wrongPasswords: WrongPasswords

  constructor(
    process: ProcessBounds,
    options: {
      /** Connections its specification allows; `connections.most` may be changed later. */
      readonly maxConnections: number
      /** Connections beyond, that are let in for as long as it takes to tell them. */
      readonly overflow: number
      readonly clock: Clock
      /** Told once of each burst of wrong passwords. */
      readonly tell: (sentence: string) => void
    },
  ) {
    const { maxStrangersPerInstance, maxHeldBytesPerInstance, maxOpenCallBytesPerInstance } = process.limits
    this.connections = new ConnectionLimit({
      most: options.maxConnections,
      overflow: options.overflow,
      parent: process.connections,
    })
    this.strangers = new Strangers({ most: maxStrangersPerInstance, parent: process.strangers })
    this.heldBytes = new Share({ most: maxHeldBytesPerInstance, parent: process.heldBytes })
    this.openCallBytes = new Share({ most: maxOpenCallBytesPerInstance, parent: process.openCallBytes })
    this.wrongPasswords = new WrongPasswords(options.clock, options.tell)
  }

  /** Once its endpoints are closed. */
  close(): void {
    this.connections.close()
    this.strangers.close()
    this.heldBytes.close()
    this.openCallBytes.close()
  }
}
