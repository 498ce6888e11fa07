import { describe, expect, it } from 'vitest'
import { SimulatedClock } from '../world/simulated.ts'
import { createLog, describeError, type LogLevel } from './log.ts'

function logging(level: LogLevel = 'info') {
  const lines: string[] = []
  const log = createLog({ clock: new SimulatedClock(), level, to: { write: (line) => void lines.push(line) } })
  return { log, lines }
}

describe('the log', () => {
  it('writes one JSON object a line with the time of our clock', () => {
    const { log, lines } = logging()
    log.info({ requestId: 'A', ms: 1.5 }, 'request')
    expect(lines).toEqual([
      '{"level":"info","time":"2026-01-01T00:00:00.000Z","requestId":"A","ms":1.5,"msg":"request"}\n',
    ])
    log.flush()
  })

  it('keeps to its level', () => {
    const { log, lines } = logging('warn')
    log.debug({}, 'a')
    log.info({}, 'b')
    log.warn({}, 'c')
    log.error({}, 'd')
    expect(lines.map((line) => JSON.parse(line).msg)).toEqual(['c', 'd'])
  })

  it('blanks members that are named like secrets, at the top and one below', () => {
    const { log, lines } = logging()
    log.info({ accessKeySecret: 's3cret', key: { secret: 's3cret', id: 'ak' }, password: 's3cret' }, 'x')
    expect(lines[0]).not.toContain('s3cret')
    expect(lines[0]).toContain('"id":"ak"')
  })

  it('tells an error with its causes, and ends even when they form a ring', () => {
    const { log, lines } = logging()
    const root = Object.assign(new Error('disk full'), { code: 'ENOSPC' })
    log.error({ err: new TypeError('the change failed', { cause: root }) }, 'a request failed')
    expect(JSON.parse(lines[0]!).err).toMatchObject({
      type: 'TypeError',
      message: 'the change failed',
      stack: expect.stringContaining('log.test.ts'),
      cause: { type: 'Error', message: 'disk full', code: 'ENOSPC' },
    })
    root.cause = root
    log.error({ err: root }, 'ring')
    expect(lines).toHaveLength(2)
    expect(describeError('just text')).toEqual({ type: 'string', message: 'just text' })
  })
})
