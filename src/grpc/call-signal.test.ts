/** What work for a call hears when the call ends. */
import { expect, it } from 'vitest'
import { CallSignal } from './call-signal.ts'

it('calls who listens once, in order, and not who has left', () => {
  const signal = new CallSignal()
  const heard: string[] = []
  const leaving = () => heard.push('left')
  signal.addEventListener('abort', () => heard.push('first'))
  signal.addEventListener('abort', leaving)
  signal.addEventListener('abort', () => heard.push('second'))
  signal.removeEventListener('abort', leaving)
  expect(signal.aborted).toBe(false)
  signal.abort('why')
  signal.abort('again')
  expect([signal.aborted, signal.reason, heard]).toEqual([true, 'why', ['first', 'second']])
})

it('is over from the beginning for who asks after the end', () => {
  const signal = new CallSignal()
  signal.abort('over')
  signal.addEventListener('abort', () => expect.unreachable())
  signal.abort('why')
  expect(signal.aborted).toBe(true)
})

it('lets a listener leave or come while it is called', () => {
  const signal = new CallSignal()
  const heard: string[] = []
  const first = () => {
    heard.push('first')
    signal.removeEventListener('abort', first)
    signal.addEventListener('abort', () => heard.push('too late'))
  }
  signal.addEventListener('abort', first)
  signal.addEventListener('abort', () => heard.push('second'))
  signal.abort('why')
  expect(heard).toEqual(['first', 'second'])
})
