import { describe, expect, it } from 'vitest'
import type { Delivery } from '../../../broker.ts'
import { allFit, whatFits } from './receive-limit.ts'

const big = 4 * 1024 * 1024
/** `a1` is a small message of lane 1, `B2` one too large of lane 2, `=1` one that just fits. */
const deliveries = (text: string): Delivery[] =>
  text.split(' ').map(
    (name, offset) =>
      ({
        messageId: name,
        queueId: Number(name[1]),
        offset,
        payload: { byteLength: name[0] === 'B' ? big : name[0] === '=' ? big - 200 : 100 },
      }) as Delivery,
  )
const names = (some: readonly Delivery[]) => some.map(({ messageId }) => messageId).join(' ')

describe('what a client of 4 MiB a message gets of a receive', () => {
  it.each<[language: string, ordered: boolean, all: string, sent: string, heldBack: string]>([
    ['HTTP', false, 'a1 b2 c1', 'a1 b2 c1', ''],
    ['HTTP', false, 'a1 B2 c1', 'a1 c1', 'B2'],
    ['DOTNET', false, 'B1 a1', 'B1', 'a1'],
    ['RUST', false, 'B1 B2', 'B1', 'B2'],
    ['RUST', false, 'B1', 'B1', ''],
    ['RUST', false, '=1 a1', '=1 a1', ''],
    ['HTTP', true, 'a1 B1 c1 d2', 'a1 d2', 'B1 c1'],
    ['HTTP', true, 'B1 a1 b2', 'B1', 'a1 b2'],
    ['HTTP', true, 'b2 B1 a1', 'b2', 'B1 a1'],
    ['HTTP', true, 'B1 a1', 'B1', 'a1'],
    ['JAVA', false, 'a1 B1 c1', 'a1 B1 c1', ''],
    ['GO', true, 'B1 a1', 'B1 a1', ''],
  ])('%s, in order %s: %s', (language, ordered, all, sent, heldBack) => {
    const laneOf = ordered ? ({ queueId }: Delivery) => queueId : null
    const sorted = allFit(language, deliveries(all))
      ? { sent: deliveries(all), heldBack: [] }
      : whatFits(deliveries(all), laneOf, ({ payload }) => payload.byteLength + 100)
    expect([names(sorted.sent), names(sorted.heldBack)]).toEqual([sent, heldBack])
  })
})
