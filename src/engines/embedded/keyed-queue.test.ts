import { expect, it } from 'vitest'
import { settle } from '../../world/simulated.ts'
import { createKeyedQueue } from './keyed-queue.ts'

it('steps on one thing run one after another, also after one that failed; those on others do not wait', async () => {
  const inTurn = createKeyedQueue()
  const log: string[] = []
  const ends = new Map<string, () => void>()
  const step = (id: string, name: string, fails = false) =>
    inTurn(id, async () => {
      log.push(`${name} begins`)
      await new Promise<void>((resolve) => ends.set(name, resolve))
      log.push(`${name} ends`)
      if (fails) throw new Error(name)
      return name
    })
  const [first, second, other] = [step('a', 'first', true), step('a', 'second'), step('b', 'other')]
  first.catch(() => {})
  await settle()
  expect(log).toEqual(['first begins', 'other begins'])
  ends.get('first')!()
  await expect(first).rejects.toThrow('first')
  await settle()
  expect(log.slice(2)).toEqual(['first ends', 'second begins'])
  for (const name of ['second', 'other']) ends.get(name)!()
  expect(await Promise.all([second, other])).toEqual(['second', 'other'])
})
