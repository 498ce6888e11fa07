/**
 * What an instance can be: every allowed combination of edition, deployment, payment, commodity and
 * specification code, with what each gives. `specificationOf` answers the row or says which field is wrong;
 * nothing else in the code base knows a figure of a specification.
 *
 * Sources: the vendor's CreateInstance and serverless pages for the combinations, its buy page as copied by a
 * cloud-management product for the figures of cluster_ha, a live answer for `rmq.s1.micro`. Figures marked
 * "ours" have no source; docs/decisions/catalogue-specifications.md says how they were chosen.
 */
import type { Problem } from '../problems.ts'

export const seriesCodes = ['standard', 'professional', 'ultimate', 'shared', 'dedicated'] as const
export const subSeriesCodes = ['cluster_ha', 'single_node', 'serverless'] as const
export const paymentTypes = ['PayAsYouGo', 'Subscription'] as const
export const commodityCodes = [
  'ons_rmqpost_public_cn',
  'ons_rmqsub_public_cn',
  'ons_rmqsrvlesspost_public_cn',
  'ons_rmqpost_public_intl',
  'ons_rmqsub_public_intl',
  'ons_rmqsrvlesspost_public_intl',
] as const

export type SeriesCode = (typeof seriesCodes)[number]
export type SubSeriesCode = (typeof subSeriesCodes)[number]
export type PaymentType = (typeof paymentTypes)[number]
export type CommodityCode = (typeof commodityCodes)[number]
export type CapacityType = 'provisioned' | 'onDemand'
/** The vendor's two sites; they differ in commodity codes only. */
export type Site = 'cn' | 'intl'

export interface Specification {
  readonly seriesCode: SeriesCode
  readonly subSeriesCode: SubSeriesCode
  /** Null on a serverless instance that was created without a code. */
  readonly msgProcessSpec: string | null
  /** Sends and receives a second, together; the ratio divides them. */
  readonly maxTps: number
  /** What auto scaling adds on top. */
  readonly elasticTps: number
  /** `productInfo.supportAutoScaling`. */
  readonly supportAutoScaling: boolean
  readonly maxConnections: number
  /** Topics inside the price (`freeCount` of the topic quota). */
  readonly freeTopics: number
  readonly maxTopics: number
  readonly maxGroups: number
  readonly storageEncryption: boolean
  /** Longest name of a topic or id of a group. */
  readonly nameMaxLength: number
  /** How far ahead a message may be scheduled, milliseconds. */
  readonly maxDelayMs: number
  /** Serverless only. */
  readonly capacityType: CapacityType | null
  /** Reserved TPS of a serverless instance; null unless `capacityType` is provisioned. */
  readonly provisionedCapacity: number | null
  /** How a serverless instance grows beyond `maxTps + elasticTps`; null elsewhere. */
  readonly elasticity: ElasticityFigures | null
}

export interface ElasticityFigures {
  readonly stepTps: number
  readonly maxTps: number
  readonly scaleMs: number
  readonly lookBackMs: number
}

/** The members of CreateInstance that decide. */
export interface Asked {
  readonly seriesCode: SeriesCode
  readonly subSeriesCode: SubSeriesCode
  readonly paymentType: PaymentType
  readonly commodityCode?: CommodityCode | undefined
  readonly msgProcessSpec?: string | undefined
  readonly capacityType?: CapacityType | undefined
  readonly provisionedCapacity?: number | undefined
}

export type Found =
  | { readonly ok: true; readonly specification: Specification; readonly commodityCode: CommodityCode }
  | { readonly ok: false; readonly problem: Problem }

/** Checks the combination from the general to the particular and answers the first thing wrong. */
export function specificationOf(asked: Asked, site: Site = 'cn'): Found {
  const problem = combinationProblem(asked) ?? commodityProblem(asked) ?? capacityProblem(asked)
  if (problem !== null) return { ok: false, problem }
  const found = asked.subSeriesCode === 'serverless' ? serverless(asked) : provisioned(asked)
  if ('field' in found) return { ok: false, problem: found }
  return { ok: true, specification: found, commodityCode: asked.commodityCode ?? commodityCodeOf(asked, site) }
}

/** The specification of a stored instance, whose combination was checked when it was created. */
export function specificationOfStored(stored: {
  readonly seriesCode: string
  readonly subSeriesCode: string
  readonly msgProcessSpec?: string | null | undefined
  readonly capacityType?: string | null | undefined
  readonly provisionedCapacity?: number | null | undefined
}): Specification {
  const asked: Asked = {
    seriesCode: stored.seriesCode as SeriesCode,
    subSeriesCode: stored.subSeriesCode as SubSeriesCode,
    paymentType: 'PayAsYouGo',
    msgProcessSpec: stored.msgProcessSpec ?? undefined,
    capacityType: (stored.capacityType ?? undefined) as CapacityType | undefined,
    provisionedCapacity: stored.provisionedCapacity ?? undefined,
  }
  const found = asked.subSeriesCode === 'serverless' ? serverless(asked) : provisioned(asked)
  if ('field' in found) throw new Error(`A stored instance has a specification that does not exist: ${found.rule}`)
  return found
}

/** The code that payment and deployment imply. */
export function commodityCodeOf(asked: Pick<Asked, 'subSeriesCode' | 'paymentType'>, site: Site = 'cn'): CommodityCode {
  if (asked.subSeriesCode === 'serverless') return `ons_rmqsrvlesspost_public_${site}`
  return asked.paymentType === 'Subscription' ? `ons_rmqsub_public_${site}` : `ons_rmqpost_public_${site}`
}

/** Which deployments an edition has. Single node is still listed although the vendor closed it in 2024. */
const deployments: Readonly<Record<SeriesCode, readonly SubSeriesCode[]>> = {
  standard: ['cluster_ha', 'single_node', 'serverless'],
  professional: ['cluster_ha', 'single_node', 'serverless'],
  ultimate: ['cluster_ha'],
  shared: ['serverless'],
  dedicated: ['serverless'],
}

const day = 24 * 3600 * 1000

/** What an edition gives whatever the size; `freeTopics` counts for cluster_ha. */
const editions: Readonly<Record<SeriesCode, Edition>> = {
  standard: { freeTopics: 100, maxGroups: 1000, storageEncryption: false, maxDelayMs: 7 * day },
  professional: { freeTopics: 150, maxGroups: 2000, storageEncryption: false, maxDelayMs: 40 * day },
  ultimate: { freeTopics: 200, maxGroups: 4000, storageEncryption: true, maxDelayMs: 40 * day },
  shared: { freeTopics: 100, maxGroups: 5000, storageEncryption: false, maxDelayMs: 7 * day },
  dedicated: { freeTopics: 100, maxGroups: 5000, storageEncryption: false, maxDelayMs: 7 * day },
}
interface Edition {
  readonly freeTopics: number
  readonly maxGroups: number
  readonly storageEncryption: boolean
  readonly maxDelayMs: number
}

/** Code → [max TPS, elastic TPS, connections, max topics]; the letter is the edition, the digit the deployment. */
const codes: Readonly<Record<string, readonly [number, number, number, number]>> = {
  // Single node. Connections of the first and the whole second row are ours.
  'rmq.s1.micro': [500, 0, 1_000, 100],
  'rmq.p1.micro': [500, 0, 1_000, 100],
  'rmq.s2.2xlarge': [2_000, 0, 4_000, 300],
  'rmq.s2.4xlarge': [4_000, 0, 4_000, 300],
  'rmq.s2.6xlarge': [6_000, 0, 6_000, 500],
  'rmq.p2.2xlarge': [2_000, 1_000, 4_000, 500],
  'rmq.p2.4xlarge': [4_000, 2_000, 4_000, 500],
  'rmq.p2.6xlarge': [6_000, 3_000, 6_000, 500],
  'rmq.p2.10xlarge': [10_000, 5_000, 10_000, 1_000],
  'rmq.p2.20xlarge': [20_000, 10_000, 10_000, 1_000],
  'rmq.p2.30xlarge': [30_000, 15_000, 12_000, 2_000],
  'rmq.p2.40xlarge': [40_000, 20_000, 12_000, 2_000],
  'rmq.p2.50xlarge': [50_000, 20_000, 14_000, 2_000],
  'rmq.p2.100xlarge': [100_000, 30_000, 26_000, 2_000],
  'rmq.p2.120xlarge': [120_000, 40_000, 30_000, 2_000],
  'rmq.p2.150xlarge': [150_000, 50_000, 38_000, 2_000],
  'rmq.p2.200xlarge': [200_000, 60_000, 50_000, 2_000],
  'rmq.u2.10xlarge': [10_000, 5_000, 10_000, 3_000],
  'rmq.u2.20xlarge': [20_000, 10_000, 10_000, 3_000],
  'rmq.u2.30xlarge': [30_000, 15_000, 12_000, 3_000],
  'rmq.u2.40xlarge': [40_000, 20_000, 12_000, 3_000],
  'rmq.u2.50xlarge': [50_000, 20_000, 14_000, 3_000],
  'rmq.u2.60xlarge': [60_000, 22_000, 16_000, 3_000],
  'rmq.u2.70xlarge': [70_000, 24_000, 18_000, 3_000],
  'rmq.u2.80xlarge': [80_000, 26_000, 20_000, 3_000],
  'rmq.u2.90xlarge': [90_000, 28_000, 24_000, 3_000],
  'rmq.u2.100xlarge': [100_000, 30_000, 26_000, 3_000],
  'rmq.u2.120xlarge': [120_000, 40_000, 30_000, 3_000],
  'rmq.u2.150xlarge': [150_000, 50_000, 38_000, 3_000],
  'rmq.u2.200xlarge': [200_000, 60_000, 50_000, 3_000],
  'rmq.u2.250xlarge': [250_000, 70_000, 51_000, 3_000],
  'rmq.u2.300xlarge': [300_000, 80_000, 52_000, 3_000],
  'rmq.u2.350xlarge': [350_000, 90_000, 53_000, 3_000],
  'rmq.u2.400xlarge': [400_000, 100_000, 54_000, 3_000],
  'rmq.u2.450xlarge': [450_000, 120_000, 60_000, 3_000],
  'rmq.u2.500xlarge': [500_000, 140_000, 66_000, 3_000],
  'rmq.u2.550xlarge': [550_000, 160_000, 72_000, 3_000],
  'rmq.u2.600xlarge': [600_000, 200_000, 80_000, 3_000],
  'rmq.u2.1000xlarge': [1_000_000, 300_000, 134_000, 3_000],
}

const letters = { standard: 's', professional: 'p', ultimate: 'u' } as const

/**
 * Serverless. A step is the size in which the vendor scales the cumulative mode; the reservation is its own
 * step. Connections and the default reservation (the page's example) are ours; topics and groups are the
 * current limits page's figure for any instance.
 */
export const serverlessFigures = {
  stepTps: 25_000,
  maxConnections: 10_000,
  maxTopics: 5_000,
  maxGroups: 5_000,
  defaultProvisionedCapacity: 5_000,
  maxProvisionedCapacity: 1_000_000,
  /** Ours: the largest TPS offered by any specification. */
  maxTps: 1_000_000,
  /** "Minutes; longer for larger reservations" (vendor's page): so long for each 25,000 TPS of the step, ours. */
  scaleMsPerStep: 3 * 60_000,
  /** Vendor's page: traffic of about ten minutes decides. */
  lookBackMs: 10 * 60_000,
  codes: {
    standard: ['rmq.s3.nxlarge'],
    professional: ['rmq.p3.nxlarge'],
    shared: ['rmq.s3.nxlarge', 'rmq.p3.nxlarge'],
    dedicated: ['rmq.s3.nxlarge', 'rmq.p3.nxlarge'],
    ultimate: [],
  } as Readonly<Record<SeriesCode, readonly string[]>>,
} as const

/** The specification codes of an edition in a deployment, smallest first. */
export function specificationCodes(seriesCode: SeriesCode, subSeriesCode: SubSeriesCode): readonly string[] {
  if (!deployments[seriesCode].includes(subSeriesCode)) return []
  if (subSeriesCode === 'serverless') return serverlessFigures.codes[seriesCode]
  const prefix = `rmq.${letters[seriesCode as keyof typeof letters]}${subSeriesCode === 'single_node' ? 1 : 2}.`
  return Object.keys(codes).filter((code) => code.startsWith(prefix))
}

/** Every combination that `specificationOf` accepts, for documents, forms and tests. */
export function allCombinations(): readonly (Asked & { readonly commodityCode: CommodityCode })[] {
  const sites: readonly Site[] = ['cn', 'intl']
  return seriesCodes.flatMap((seriesCode) =>
    deployments[seriesCode].flatMap((subSeriesCode) =>
      paymentTypes
        .filter((paymentType) => subSeriesCode !== 'serverless' || paymentType === 'PayAsYouGo')
        .flatMap((paymentType) =>
          sites.flatMap((site) =>
            specificationCodes(seriesCode, subSeriesCode).map((msgProcessSpec) => ({
              seriesCode,
              subSeriesCode,
              paymentType,
              commodityCode: commodityCodeOf({ subSeriesCode, paymentType }, site),
              msgProcessSpec,
            })),
          ),
        ),
    ),
  )
}

function combinationProblem(asked: Asked): Problem | null {
  const possible = deployments[asked.seriesCode]
  if (!possible.includes(asked.subSeriesCode))
    return wrong(
      'subSeriesCode',
      `"${asked.subSeriesCode}" does not go with seriesCode "${asked.seriesCode}", which has ${listed(possible)}.`,
    )
  if (asked.subSeriesCode === 'serverless' && asked.paymentType !== 'PayAsYouGo')
    return wrong('paymentType', `"${asked.paymentType}" does not go with serverless, which is paid as PayAsYouGo only.`)
  return null
}

function commodityProblem(asked: Asked): Problem | null {
  const fitting = [commodityCodeOf(asked, 'cn'), commodityCodeOf(asked, 'intl')]
  if (asked.commodityCode === undefined) {
    if (asked.subSeriesCode !== 'serverless') return null
    return { field: 'commodityCode', kind: 'missing', rule: `A serverless instance must send ${listed(fitting)}.` }
  }
  if (fitting.includes(asked.commodityCode)) return null
  return wrong(
    'commodityCode',
    `"${asked.commodityCode}" does not go with paymentType "${asked.paymentType}" and subSeriesCode "${asked.subSeriesCode}", which take ${listed(fitting)}.`,
  )
}

function capacityProblem(asked: Asked): Problem | null {
  const { capacityType, provisionedCapacity } = asked
  if (capacityType === undefined && provisionedCapacity === undefined) return null
  if (asked.subSeriesCode !== 'serverless')
    return wrong(
      capacityType === undefined ? 'productInfo.provisionedCapacity' : 'productInfo.capacityType',
      `Only serverless instances choose a capacity; the capacity of "${asked.subSeriesCode}" is that of its msgProcessSpec.`,
    )
  if (capacityType === 'provisioned' && (asked.seriesCode === 'standard' || asked.seriesCode === 'professional'))
    return wrong(
      'productInfo.capacityType',
      `"provisioned" does not go with serverless ${asked.seriesCode}, which takes onDemand; shared and dedicated take both.`,
    )
  if (provisionedCapacity === undefined) return null
  if (capacityType !== 'provisioned')
    return wrong('productInfo.provisionedCapacity', 'It counts only with capacityType "provisioned"; leave it out.')
  const most = serverlessFigures.maxProvisionedCapacity
  if (!Number.isInteger(provisionedCapacity) || provisionedCapacity < 1 || provisionedCapacity > most)
    return wrong('productInfo.provisionedCapacity', `${provisionedCapacity} is not an integer from 1 to ${most}.`)
  return null
}

function provisioned(asked: Asked): Specification | Problem {
  const fitting = specificationCodes(asked.seriesCode, asked.subSeriesCode)
  const code = asked.msgProcessSpec
  if (code === undefined || code === '')
    return {
      field: 'productInfo.msgProcessSpec',
      kind: 'missing',
      rule: `${asked.seriesCode} ${asked.subSeriesCode} takes ${listed(fitting)}.`,
    }
  if (!fitting.includes(code)) return wrongCode(asked, code, fitting)
  const [maxTps, elasticTps, maxConnections, maxTopics] = codes[code]!
  return {
    seriesCode: asked.seriesCode,
    subSeriesCode: asked.subSeriesCode,
    msgProcessSpec: code,
    maxTps,
    elasticTps,
    supportAutoScaling: elasticTps > 0,
    maxConnections,
    maxTopics,
    nameMaxLength: 60,
    capacityType: null,
    provisionedCapacity: null,
    elasticity: null,
    ...editions[asked.seriesCode],
    ...(asked.subSeriesCode === 'single_node' ? { maxGroups: 1_000, freeTopics: 100 } : {}),
  }
}

function serverless(asked: Asked): Specification | Problem {
  const fitting = specificationCodes(asked.seriesCode, 'serverless')
  const code = asked.msgProcessSpec === '' ? undefined : asked.msgProcessSpec
  if (code !== undefined && !fitting.includes(code)) return wrongCode(asked, code, fitting)
  const capacityType = asked.capacityType ?? 'onDemand'
  const reserved =
    capacityType === 'provisioned' ? (asked.provisionedCapacity ?? serverlessFigures.defaultProvisionedCapacity) : null
  const older = asked.seriesCode === 'standard' || asked.seriesCode === 'professional'
  return {
    ...editions[asked.seriesCode],
    seriesCode: asked.seriesCode,
    subSeriesCode: 'serverless',
    msgProcessSpec: code ?? null,
    maxTps: reserved ?? serverlessFigures.stepTps,
    elasticTps: reserved ?? serverlessFigures.stepTps,
    supportAutoScaling: true,
    maxConnections: serverlessFigures.maxConnections,
    freeTopics: older ? 0 : editions[asked.seriesCode].freeTopics,
    maxTopics: serverlessFigures.maxTopics,
    maxGroups: serverlessFigures.maxGroups,
    nameMaxLength: 128,
    // Documented for the older generation, which has seven days in both editions; taken over for the newer.
    maxDelayMs: 7 * day,
    capacityType,
    provisionedCapacity: reserved,
    elasticity: elasticityOf(reserved ?? serverlessFigures.stepTps),
  }
}

function elasticityOf(stepTps: number): ElasticityFigures {
  const { maxTps, scaleMsPerStep, lookBackMs } = serverlessFigures
  const scaleMs = Math.round(scaleMsPerStep * Math.max(1, stepTps / serverlessFigures.stepTps))
  return { stepTps, maxTps: Math.max(maxTps, 2 * stepTps), scaleMs, lookBackMs }
}

const wrong = (field: string, rule: string): Problem => ({ field, kind: 'invalid', rule })

function wrongCode(asked: Asked, code: string, fitting: readonly string[]): Problem {
  const shown = JSON.stringify(code.length > 60 ? `${code.slice(0, 60)}…` : code)
  const what = Object.hasOwn(codes, code) ? 'belongs to another edition or deployment' : 'is not a specification code'
  return wrong(
    'productInfo.msgProcessSpec',
    `${shown} ${what}; ${asked.seriesCode} ${asked.subSeriesCode} takes ${listed(fitting)}.`,
  )
}

const listed = (values: readonly string[]): string =>
  values.length < 2 ? values.join('') : `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`
