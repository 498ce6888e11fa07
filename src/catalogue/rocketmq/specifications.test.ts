/** The table of specifications: every combination, and every way to be wrong. */
import { describe, expect, it } from 'vitest'
import {
  type Asked,
  allCombinations,
  commodityCodeOf,
  commodityCodes,
  paymentTypes,
  seriesCodes,
  specificationCodes,
  specificationOf,
  specificationOfStored,
  subSeriesCodes,
} from './specifications.ts'

const standard: Asked = {
  seriesCode: 'standard',
  subSeriesCode: 'cluster_ha',
  paymentType: 'PayAsYouGo',
  msgProcessSpec: 'rmq.s2.2xlarge',
}
const shared: Asked = {
  seriesCode: 'shared',
  subSeriesCode: 'serverless',
  paymentType: 'PayAsYouGo',
  commodityCode: 'ons_rmqsrvlesspost_public_cn',
}

const found = (asked: Asked) => {
  const answer = specificationOf(asked)
  if (!answer.ok) throw new Error(`${answer.problem.field}: ${answer.problem.rule}`)
  return answer
}
const refused = (asked: Asked) => {
  const answer = specificationOf(asked)
  return answer.ok ? null : answer.problem
}

describe('figures', () => {
  it.each<[Asked, number[]]>([
    // max TPS, elastic TPS, connections, free topics, max topics, max groups, length of names
    [standard, [2_000, 0, 4_000, 100, 300, 1_000, 60]],
    [
      { ...standard, seriesCode: 'professional', msgProcessSpec: 'rmq.p2.50xlarge' },
      [50_000, 20_000, 14_000, 150, 2_000, 2_000, 60],
    ],
    [
      { ...standard, seriesCode: 'ultimate', msgProcessSpec: 'rmq.u2.1000xlarge' },
      [1_000_000, 300_000, 134_000, 200, 3_000, 4_000, 60],
    ],
    [
      { ...standard, subSeriesCode: 'single_node', msgProcessSpec: 'rmq.s1.micro' },
      [500, 0, 1_000, 100, 100, 1_000, 60],
    ],
    [shared, [25_000, 25_000, 10_000, 100, 5_000, 5_000, 128]],
    [
      { ...shared, capacityType: 'provisioned', provisionedCapacity: 8_000 },
      [8_000, 8_000, 10_000, 100, 5_000, 5_000, 128],
    ],
    [{ ...shared, capacityType: 'provisioned' }, [5_000, 5_000, 10_000, 100, 5_000, 5_000, 128]],
    [
      { ...shared, seriesCode: 'standard', msgProcessSpec: 'rmq.s3.nxlarge' },
      [25_000, 25_000, 10_000, 0, 5_000, 5_000, 128],
    ],
  ])('%o', (asked, figures) => {
    const row = found(asked).specification
    expect([
      row.maxTps,
      row.elasticTps,
      row.maxConnections,
      row.freeTopics,
      row.maxTopics,
      row.maxGroups,
      row.nameMaxLength,
    ]).toEqual(figures)
    expect(row.supportAutoScaling).toBe(row.elasticTps > 0)
  })

  const rows = (['standard', 'professional', 'ultimate'] as const).map((seriesCode) =>
    specificationCodes(seriesCode, 'cluster_ha').map(
      (msgProcessSpec) => found({ ...standard, seriesCode, msgProcessSpec }).specification,
    ),
  )

  it('grow with the size, whose number says the TPS', () => {
    for (const row of rows.flat()) expect(row.msgProcessSpec).toMatch(new RegExp(`\\.${row.maxTps / 1000}xlarge$`))
    for (const edition of rows)
      for (const figure of ['maxTps', 'elasticTps', 'maxConnections', 'maxTopics'] as const) {
        const column = edition.map((row) => row[figure])
        expect(column).toEqual([...column].sort((a, b) => a - b))
      }
  })

  it('agree with what other sources say', () => {
    // Connections by TPS on the vendor's limits page for 4.x, which was not where the table came from.
    const connections = {
      50000: 14_000,
      100000: 26_000,
      200000: 50_000,
      400000: 54_000,
      600000: 80_000,
      1000000: 134_000,
    }
    for (const row of rows.flat())
      if (row.maxTps in connections)
        expect(row.maxConnections).toBe(connections[row.maxTps as keyof typeof connections])
    expect(rows.map((edition) => [...new Set(edition.map((row) => row.maxTopics))])).toEqual([
      [300, 500],
      [500, 1_000, 2_000],
      [3_000],
    ])
    expect(rows.map((edition) => edition.map((row) => row.elasticTps).reduce((a, b) => a + b))).toEqual([
      0, 256_000, 1_610_000,
    ])
  })

  it('allow storage encryption in one edition only', () => {
    const editions = allCombinations().filter((each) => found(each).specification.storageEncryption)
    expect(new Set(editions.map((each) => each.seriesCode))).toEqual(new Set(['ultimate']))
  })
})

describe('combinations', () => {
  it('are these, and the rest is refused with a field and a sentence', () => {
    const accepted = new Set(allCombinations().map((each) => JSON.stringify(each)))
    const codes = [...new Set(allCombinations().map((each) => each.msgProcessSpec!)), 'rmq.x9.huge']
    let count = 0
    for (const seriesCode of seriesCodes)
      for (const subSeriesCode of subSeriesCodes)
        for (const paymentType of paymentTypes)
          for (const commodityCode of commodityCodes)
            for (const msgProcessSpec of codes) {
              const asked = { seriesCode, subSeriesCode, paymentType, commodityCode, msgProcessSpec }
              const answer = specificationOf(asked)
              expect(answer.ok, JSON.stringify(asked)).toBe(accepted.has(JSON.stringify(asked)))
              if (answer.ok) count++
              else expect(answer.problem.rule).toMatch(/^\S.*\.$/)
            }
    expect(count).toBe(accepted.size)
    // 3 + 12 + 22 codes of cluster_ha, 2 of single node: two payments, two sites. 6 of serverless: one, two.
    expect(count).toBe((3 + 12 + 22 + 2) * 4 + 6 * 2)
  })

  it.each<[string, Asked, string, string]>([
    [
      'an edition without that deployment',
      { ...standard, seriesCode: 'ultimate', subSeriesCode: 'single_node' },
      'subSeriesCode',
      '"single_node" does not go with seriesCode "ultimate", which has cluster_ha.',
    ],
    [
      'a subscription to serverless',
      { ...shared, paymentType: 'Subscription' },
      'paymentType',
      '"Subscription" does not go with serverless, which is paid as PayAsYouGo only.',
    ],
    [
      'a commodity of another payment',
      { ...standard, commodityCode: 'ons_rmqsub_public_cn' },
      'commodityCode',
      '"ons_rmqsub_public_cn" does not go with paymentType "PayAsYouGo" and subSeriesCode "cluster_ha", which take ons_rmqpost_public_cn or ons_rmqpost_public_intl.',
    ],
    [
      'a code of another edition',
      { ...standard, msgProcessSpec: 'rmq.p2.4xlarge' },
      'productInfo.msgProcessSpec',
      '"rmq.p2.4xlarge" belongs to another edition or deployment; standard cluster_ha takes rmq.s2.2xlarge, rmq.s2.4xlarge or rmq.s2.6xlarge.',
    ],
    [
      'a code nobody knows',
      { ...standard, msgProcessSpec: 'constructor' },
      'productInfo.msgProcessSpec',
      '"constructor" is not a specification code; standard cluster_ha takes rmq.s2.2xlarge, rmq.s2.4xlarge or rmq.s2.6xlarge.',
    ],
    [
      'a capacity where none is chosen',
      { ...standard, capacityType: 'onDemand' },
      'productInfo.capacityType',
      'Only serverless instances choose a capacity; the capacity of "cluster_ha" is that of its msgProcessSpec.',
    ],
    [
      'a reservation in the older generation',
      { ...shared, seriesCode: 'standard', capacityType: 'provisioned' },
      'productInfo.capacityType',
      '"provisioned" does not go with serverless standard, which takes onDemand; shared and dedicated take both.',
    ],
    [
      'a reservation without its mode',
      { ...shared, provisionedCapacity: 5_000 },
      'productInfo.provisionedCapacity',
      'It counts only with capacityType "provisioned"; leave it out.',
    ],
    [
      'too large a reservation',
      { ...shared, capacityType: 'provisioned', provisionedCapacity: 1_000_001 },
      'productInfo.provisionedCapacity',
      '1000001 is not an integer from 1 to 1000000.',
    ],
  ])('refuse %s', (_, asked, field, rule) => {
    expect(refused(asked)).toEqual({ field, kind: 'invalid', rule })
  })

  it('name what is missing', () => {
    expect(refused({ ...standard, msgProcessSpec: undefined })).toEqual({
      field: 'productInfo.msgProcessSpec',
      kind: 'missing',
      rule: 'standard cluster_ha takes rmq.s2.2xlarge, rmq.s2.4xlarge or rmq.s2.6xlarge.',
    })
    expect(refused({ ...shared, commodityCode: undefined })).toEqual({
      field: 'commodityCode',
      kind: 'missing',
      rule: 'A serverless instance must send ons_rmqsrvlesspost_public_cn or ons_rmqsrvlesspost_public_intl.',
    })
  })
})

it('derives the commodity code by site, and keeps the one that was sent', () => {
  expect(found(standard).commodityCode).toBe('ons_rmqpost_public_cn')
  expect(specificationOf(standard, 'intl')).toMatchObject({ commodityCode: 'ons_rmqpost_public_intl' })
  expect(found({ ...standard, commodityCode: 'ons_rmqpost_public_intl' }).commodityCode).toBe('ons_rmqpost_public_intl')
  expect(commodityCodeOf({ subSeriesCode: 'cluster_ha', paymentType: 'Subscription' })).toBe('ons_rmqsub_public_cn')
})

it('gives a stored instance the specification it was created with', () => {
  for (const asked of [
    ...allCombinations(),
    shared,
    { ...shared, capacityType: 'provisioned', provisionedCapacity: 7 } as const,
  ]) {
    const { specification } = found(asked)
    expect(specificationOfStored({ ...asked, ...specification })).toEqual(specification)
  }
  expect(() =>
    specificationOfStored({ seriesCode: 'standard', subSeriesCode: 'cluster_ha', msgProcessSpec: 'x' }),
  ).toThrow('does not exist')
})

it('lists codes smallest first, and none where an edition has no such deployment', () => {
  expect(specificationCodes('standard', 'cluster_ha')).toEqual(['rmq.s2.2xlarge', 'rmq.s2.4xlarge', 'rmq.s2.6xlarge'])
  expect(specificationCodes('ultimate', 'serverless')).toEqual([])
  expect(specificationCodes('shared', 'cluster_ha')).toEqual([])
})
