/** Reads records of the log for inspection: one, several behind a position, and the time at a position. */

import { decodeEvent } from '../core/event-codec.ts'
import type { BrokerEvent } from '../core/events.ts'
import { neighbourBytes, timeStretchBytes, timeTerm } from '../core/lookup-terms.ts'
import type { BrokerState } from '../core/state.ts'
import { positionOf, type SegmentLog, segmentOf } from '../log/contract.ts'
import { isDamage } from '../log/errors.ts'
import type { LookupIndex } from '../log/lookup/lookup-index.ts'
import type { TurnBudget } from './turn-budget.ts'

export interface ReadContext {
  readonly state: BrokerState
  readonly log: SegmentLog
  readonly turns: TurnBudget
  report(error: unknown): void
}

export interface LogView extends ReadContext {
  readonly lookups: LookupIndex
}

export interface Recorded {
  readonly position: number
  readonly event: BrokerEvent
}

/** Records read together; large ones fewer. */
const recordsAhead = 32
/** Stretches of the log gone back for a record that carries a time: an acknowledgement is at most a second behind one. */
const stretchesBack = 64

/** Null for a record that is damaged, or that retention took meanwhile; the others can still be read. */
export async function readEach(context: ReadContext, positions: readonly number[]): Promise<Array<Uint8Array | null>> {
  try {
    return await context.log.readMany(positions)
  } catch (error) {
    if (!isDamage(error)) throw error
    if (positions.length === 1) {
      if (positions[0]! >= context.log.first)
        context.report(new Error('A message cannot be shown; the others are.', { cause: error }))
      return [null]
    }
    const each: Array<Uint8Array | null> = []
    for (const position of positions) each.push(...(await readEach(context, [position])))
    return each
  }
}

/** Those of the records at the positions that can be read. */
export async function recordsAt(context: ReadContext, positions: readonly number[]): Promise<Recorded[]> {
  const found: Recorded[] = []
  for (let at = 0; at < positions.length; at += recordsAhead) {
    if (context.turns.isSpent) await context.turns.pause()
    const some = positions.slice(at, at + recordsAhead)
    const records = await readEach(context, some)
    records.forEach((record, i) => {
      if (record) found.push({ position: some[i]!, event: decodeEvent(record) })
    })
  }
  return found
}

/** The record at the position and those closely behind it; none when retention took it meanwhile, or it is damaged. */
export async function* neighbours(context: ReadContext, position: number): AsyncGenerator<Recorded> {
  const { log, turns } = context
  try {
    const below = Math.min(position + neighbourBytes, log.end, positionOf(segmentOf(position) + 1, 0))
    for await (const records of log.scanChunks(position, below)) {
      for (const record of records) {
        if (turns.isSpent) await turns.pause()
        yield { position: record.position, event: decodeEvent(record.payload) }
      }
    }
  } catch (error) {
    if (!isDamage(error)) throw error
    if (position >= log.first) context.report(new Error('Part of a trace cannot be read.', { cause: error }))
  }
}

/** The latest time that the log says at the position or before; null when it says none nearby. */
export async function timeBefore(context: LogView, position: number): Promise<number | null> {
  let at = position
  for (let back = 0; back < stretchesBack; back++) {
    const start = stretchStart(at)
    const [first] = await context.lookups.find(timeTerm(at), start, 1)
    if (first !== undefined && first <= position) {
      let latest: number | null = null
      for await (const records of context.log.scanChunks(first, position + 1))
        for (const { payload } of records) latest = timeOf(decodeEvent(payload)) ?? latest
      return latest
    }
    const before = stretchBefore(context.log, start)
    if (before === null) return null
    at = before
  }
  return null
}

/** When it happened, for events that say so. */
export function timeOf(event: BrokerEvent): number | null {
  switch (event.type) {
    case 'time':
    case 'leased':
    case 'locked':
    case 'timer-fired':
    case 'transaction-checked':
    case 'transaction-ended':
      return event.at
    case 'message':
    case 'timer-stored':
    case 'half':
      return event.storeTimeMs
    default:
      return null
  }
}

function stretchStart(position: number): number {
  return position - (position % timeStretchBytes)
}

/** A position in the stretch before the one that begins at `start`; null at the beginning of the log. */
function stretchBefore(log: SegmentLog, start: number): number | null {
  if (start <= log.first) return null
  const segment = segmentOf(start)
  if (start > positionOf(segment, 0)) return start - 1
  const previous = log.segments().findLast((one) => one.segment < segment)
  return previous ? previous.end - 1 : null
}
