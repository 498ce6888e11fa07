/**
 * What went wrong by itself with the log of an instance that is open: places that cannot be read any
 * more, and a write that the disk refused, after which a log takes nothing until it is opened again.
 * It listens to what the instance reports anyway, keeps that as long as the instance is open, and says
 * it in a sentence for whoever looks.
 */

import path from 'node:path'
import { LogError } from '../../broker/log/errors.ts'
import { segmentOfFileName } from '../../broker/log/format.ts'
import type { InstanceId } from '../../model/ids.ts'
import { withoutStop } from '../processes/sentences.ts'

/** Places beyond these are counted no more. */
const placesKept = 1000
const causesFollowed = 8

export class InstanceHealth {
  readonly #instanceId: InstanceId
  /** Offsets of records that cannot be read, by segment file. */
  readonly #damaged = new Map<string, Set<number>>()
  #places = 0
  #stopped: string | null = null

  constructor(instanceId: InstanceId) {
    this.#instanceId = instanceId
  }

  note(error: unknown): void {
    let at: unknown = error
    for (let depth = 0; at instanceof Error && depth < causesFollowed; depth++) {
      if (at instanceof LogError && at.code === 'failed') this.#stopped ??= at.message
      if (at instanceof LogError && at.place !== null) this.#damage(at.place)
      at = at.cause
    }
  }

  /** Why the log takes nothing any more; null while it does. */
  get stopped(): string | null {
    return this.#stopped === null ? null : `Instance ${this.#instanceId} takes no messages: ${this.#stopped}`
  }

  /** What cannot be read, and what becomes of it; null when everything that was looked at could be. */
  get damage(): string | null {
    const [first, ...others] = this.#damaged
    if (first === undefined) return null
    const [file, offsets] = first
    const records = `${this.#places}${this.#places === placesKept ? ' or more' : ''} record${this.#places === 1 ? '' : 's'}`
    const also =
      others.length === 0 ? '' : `, and so ${others.length === 1 ? 'is one file' : `are ${others.length} files`} more`
    return `${records} of instance ${this.#instanceId} cannot be read: ${file} is damaged at byte ${Math.min(...offsets)}${also}. Messages there are not delivered, all others are. Check the disk; what was there comes back only from a copy of the file, put in its place while the server is stopped.`
  }

  #damage({ file, offset }: NonNullable<LogError['place']>): void {
    // Index files are made anew from their segments.
    if (segmentOfFileName(path.basename(file)) === null || this.#places === placesKept) return
    const offsets = this.#damaged.get(file) ?? new Set()
    if (offsets.has(offset)) return
    this.#damaged.set(file, offsets.add(offset))
    this.#places += 1
  }
}

const wrongKeyAdvice =
  "Nothing was changed. Put back this home's own instances folder or secret.key, whichever was exchanged; the instance then comes up by itself."
const newerAdvice =
  'Nothing was changed. Start the program that wrote it, or a newer one; the instance then comes up by itself.'
const unreadableAdvice =
  'What its files hold makes no sense. Nothing was changed; restore its folder from a copy, and the instance comes up by itself, or delete the instance.'

function adviceOn(code: string | undefined): string {
  switch (code) {
    case 'wrong-key':
      return ` ${wrongKeyAdvice}`
    case 'newer':
      return ` ${newerAdvice}`
    case undefined:
      return ` ${unreadableAdvice}`
    default:
      return ''
  }
}

/** Why the messages of an instance could not be opened, as a sentence with what to do. */
export function whyUnopened(instanceId: InstanceId, error: unknown): string {
  const { code, message } = error as { code?: string; message: string }
  const advice = adviceOn(code)
  return `The messages of instance ${instanceId} cannot be opened: ${withoutStop(message)}.${advice}`
}
