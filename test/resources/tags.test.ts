/** Tags: setting, overwriting, taking off, and listing them with a cursor. */
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ledgerTargets } from '../support/ledger.ts'
import { clean, instanceBody, Subject, stop } from './harness.ts'

let subject: Subject
let instanceId: string
beforeEach(async () => {
  subject = await Subject.start()
  instanceId = await subject.running()
})
afterEach(clean)
afterAll(stop)

const asked = (query: Record<string, string>) => ({
  query: { regionId: 'cn-hangzhou', resourceType: 'instance', resourceId: JSON.stringify([instanceId]), ...query },
})
const pairs = (tags: Record<string, string>) =>
  JSON.stringify(Object.entries(tags).map(([key, value]) => ({ key, value })))
const put = (tags: Record<string, string>, more: Record<string, string> = {}) =>
  subject.call('TagResources', asked({ tag: pairs(tags), ...more }))
const tags = async () => (await subject.get(instanceId)).tags.map((tag: any) => `${tag.key}=${tag.value}`).join(' ')

describe('setting and taking off', () => {
  it('adds, overwrites, removes', async () => {
    expect(await put({ b: '1', a: '1' })).toBe(true)
    expect(await put({ a: '2', 团队: 'x' })).toBe(true)
    expect(await tags()).toBe('a=2 b=1 团队=x')
    await subject.call('UntagResources', asked({ tagKey: '["a","absent"]' }))
    expect(await tags()).toBe('b=1 团队=x')
    await subject.call('UntagResources', asked({ all: 'true' }))
    expect(await tags()).toBe('')
    expect((await subject.row(instanceId)).revision).toBe(1)
  })

  it('takes a bare id, and several instances at once or none of them', async () => {
    const second = await subject.running()
    await put({ a: '1' }, { resourceId: instanceId })
    await put({ b: '1' }, { resourceId: JSON.stringify([instanceId, second, instanceId]) })
    expect(await tags()).toBe('a=1 b=1')
    await subject.refused(
      'TagResources',
      asked({ tag: pairs({ c: '1' }), resourceId: JSON.stringify([instanceId, 'rmq-cn-nosuch']) }),
      404,
      'Instance.NotFound',
    )
    expect(await tags()).toBe('a=1 b=1')
  })

  it('holds twenty', async () => {
    const numbered = (from: number, to: number) =>
      Object.fromEntries(Array.from({ length: to - from }, (_, n) => [`k${from + n}`, 'v']))
    await put(numbered(0, 20))
    await put({ k3: 'other' })
    await subject.refused('TagResources', asked({ tag: pairs({ more: 'v' }) }), 400, 'InvalidTag', '20')
    await subject.call('UntagResources', asked({ tagKey: '["k0"]' }))
    await put({ more: 'v' })
  })

  it.each([
    ['another region', { tag: pairs({ a: '1' }), regionId: 'cn-beijing' }, 'InvalidRegionId'],
    ['another type', { tag: pairs({ a: '1' }), resourceType: 'topic' }, 'InvalidResourceType'],
    ['no tags', {}, 'MissingTag'],
    ['an empty list', { tag: '[]' }, 'InvalidTag'],
    ['no list', { tag: '{"key":' }, 'InvalidTag'],
    ['a key twice', { tag: '[{"key":"a","value":"1"},{"key":"a","value":"2"}]' }, 'InvalidKey'],
    ['a key of the system', { tag: pairs({ 'acs:a': '1' }) }, 'InvalidKey'],
    ['no instance', { tag: pairs({ a: '1' }), resourceId: '[]' }, 'InvalidResourceId'],
  ])('refuses %s', async (_, query, code) => {
    await subject.refused('TagResources', asked(query), 400, code)
    expect(await tags()).toBe('')
  })

  it('refuses to take off nothing in particular', async () => {
    await subject.refused('UntagResources', asked({}), 400, 'MissingTagKey')
    await subject.refused('UntagResources', asked({ all: 'false' }), 400, 'MissingTagKey')
  })

  it('does not touch what is elsewhere or released', async () => {
    const query = { tag: pairs({ a: '1' }), regionId: 'ap-southeast-1' }
    await subject.refused('TagResources', { ...asked(query), regionId: 'ap-southeast-1' }, 404, 'Instance.NotFound')
    await subject.call('DeleteInstance', { path: { instanceId } })
    for (const [action, more] of [
      ['TagResources', { tag: pairs({ a: '1' }) }],
      ['UntagResources', { all: 'true' }],
      ['ListTagResources', {}],
    ] as const) {
      await subject.refused(action, asked(more), 404, 'Instance.NotFound')
    }
  })
})

describe.each(ledgerTargets.filter((target) => target.missing === null))('listing on $name', (target) => {
  const list = async (query: Record<string, string>) => {
    const { nextToken, tagResources } = await subject.call('ListTagResources', {
      query: { regionId: 'cn-hangzhou', resourceType: 'instance', ...query },
    })
    return { nextToken, entries: tagResources as any[] }
  }

  it('filters', async () => {
    subject = await Subject.start(target)
    const make = (keyed: Record<string, string>, resourceGroupId = 'rg-1') =>
      subject.create({ ...instanceBody(), resourceGroupId, tags: JSON.parse(pairs(keyed)) })
    const a = await make({ env: 'test', team: 'x' })
    const b = await make({ env: 'test', team: 'y' }, 'rg-2')
    const nameOf = (id: string) => (id === a ? 'a' : id === b ? 'b' : '?')
    const found = async (query: Record<string, string>) =>
      (await list(query)).entries
        .map((each) => `${nameOf(each.resourceId)}:${each.tagKey}=${each.tagValue}`)
        .sort()
        .join(' ')
    expect(await found({})).toBe('a:env=test a:team=x b:env=test b:team=y')
    expect(await found({ resourceId: JSON.stringify([b]) })).toBe('b:env=test b:team=y')
    expect(await found({ tag: pairs({ env: 'test' }) })).toBe('a:env=test b:env=test')
    expect(await found({ tag: pairs({ env: 'test', team: 'x' }) })).toBe('a:env=test a:team=x')
    expect(await found({ tag: '[{"key":"team"}]' })).toBe('a:team=x b:team=y')
    expect(await found({ resourceGroupId: 'rg-2' })).toBe('b:env=test b:team=y')
    const data = await subject.call('ListTagResources', {
      query: { regionId: 'cn-hangzhou', resourceType: 'instance', resourceId: a, tag: pairs({ team: 'x' }) },
    })
    expect(data).toEqual({
      requestId: expect.stringMatching(/^REQUEST-/),
      tagResources: [
        {
          aliUid: 1234567890123456,
          category: 'custom',
          resourceId: a,
          resourceType: 'instance',
          scope: 'public',
          tagKey: 'team',
          tagValue: 'x',
        },
      ],
    })
  })

  it('goes on with nextToken, each tag once, though instances come and go meanwhile', async () => {
    subject = await Subject.start(target)
    const keyed = Array.from({ length: 20 }, (_, n) => ({ key: `k${n}`, value: '字'.repeat(128) }))
    const ids: string[] = []
    for (let n = 0; n < 7; n++) ids.push(await subject.create({ ...instanceBody(), tags: keyed }))
    const seen: string[] = []
    let nextToken: string | undefined
    do {
      const page = await list(nextToken === undefined ? {} : { nextToken })
      expect(page.entries.length).toBeLessThanOrEqual(50)
      seen.push(...page.entries.map((each) => `${each.resourceId} ${each.tagKey}`))
      nextToken = page.nextToken
      await subject.call('DeleteInstance', {
        path: { instanceId: await subject.create({ ...instanceBody(), tags: [] }) },
      })
    } while (nextToken !== undefined)
    expect(seen).toHaveLength(140)
    expect(new Set(seen).size).toBe(140)
    for (const bad of ['x', '%%', 'YWZ0ZXIg', Buffer.from('after \0').toString('base64url')]) {
      await subject.refused(
        'ListTagResources',
        { query: { regionId: 'cn-hangzhou', resourceType: 'instance', nextToken: bad } },
        400,
        'InvalidNextToken',
      )
    }
  })
})
