/**
 * The figures and names the product enforces, as data with their sources, and the few pure questions asked of
 * them. Names in comments: "limits page" is the vendor's *Quotas and limits*, "operation page" the page of the
 * operation, "validators" those of the vendor's templates and Terraform provider. Where no source gives a
 * figure the comment says that it is ours.
 */
import { defaultMaxRetryTimes } from '../../model/defaults.ts'

export const limits = {
  /** Ours: bounds what a path may name. Longer names cannot exist, so nothing is lost. */
  pathSegment: 255,
  instance: {
    /** Limits page: Chinese, letters, digits, `_`. `-` is accepted too, the default name (the id) has it. */
    name: {
      minLength: 1,
      maxLength: 128,
      pattern: '^[\\u4e00-\\u9fa5A-Za-z0-9_-]+$',
      rule: 'Chinese characters, letters, digits, "_" and "-"',
    },
  },
  /** Validators: topics and groups. The same figure for instances is ours. */
  remark: { maxLength: 128 },
  topic: {
    /** Limits page. The length depends on the instance: `nameMaxLength` of its specification. */
    namePattern: /^[A-Za-z0-9_-]+$/,
    nameRule: 'letters, digits, "_" and "-"',
    reservedNames: [
      'TBW102',
      'BenchmarkTest',
      'SELF_TEST_TOPIC',
      'OFFSET_MOVED_EVENT',
      'SCHEDULE_TOPIC_XXXX',
      'RMQ_SYS_TRANS_HALF_TOPIC',
      'RMQ_SYS_TRACE_TOPIC',
      'RMQ_SYS_TRANS_OP_HALF_TOPIC',
    ],
    reservedPrefixes: ['rmq_sys_', '%RETRY%', '%DLQ%', 'rocketmq-broker-', 'rocketmq-proxy-'],
    reservedSuffixes: ['_REPLY_TOPIC'],
  },
  consumerGroup: {
    /** `%` stands in the operation's text and not on the limits page: accepted (docs/decisions). */
    namePattern: /^[A-Za-z0-9_%-]+$/,
    nameRule: 'letters, digits, "_", "-" and "%"',
    reservedNames: [
      'DEFAULT_CONSUMER',
      'DEFAULT_PRODUCER',
      'TOOLS_CONSUMER',
      'FILTERSRV_CONSUMER',
      '__MONITOR_CONSUMER',
      'CLIENT_INNER_PRODUCER',
      'SELF_TEST_P_GROUP',
      'SELF_TEST_C_GROUP',
      'CID_ONS-HTTP-PROXY',
      'CID_ONSAPI_PERMISSION',
      'CID_ONSAPI_OWNER',
      'CID_ONSAPI_PULL',
      'CID_RMQ_SYS_TRANS',
      'CID_HOUSEKEEPING',
    ],
    reservedPrefixes: ['CID_RMQ_SYS_'],
    reservedSuffixes: [],
  },
  liteTopic: {
    /** Limits page. */
    name: { minLength: 1, maxLength: 64, pattern: '^[A-Za-z0-9_-]+$', rule: 'letters, digits, "_" and "-"' },
    /** Operation page: minutes since the last write; an older page begins at 30. -1 is never. */
    expirationMinutes: { minimum: 15, maximum: 720, never: -1 },
  },
  /** Vendor-published inspection tool, 2026; default from the operation page's example and a live answer. */
  retentionHours: { minimum: 24, maximum: 720, default: 72 },
  /** Share of the TPS kept for sending. Create: operation page, 2026. Update: union with the SDK's 0.25 to 1. */
  sendReceiveRatio: { minimum: 0.05, createMaximum: 0.95, updateMaximum: 1, default: 0.5 },
  /** Operation page, Mbit/s. */
  flowOutBandwidth: { minimum: 1, maximum: 1000 },
  /** Template validator; serverless needs two (Terraform documentation). */
  vSwitches: { maximum: 10, serverlessMinimum: 2 },
  /** Operation page: months 1 to 6, years 1 to 3. */
  period: { Month: { minimum: 1, maximum: 6 }, Year: { minimum: 1, maximum: 3 } },
  /** Operation page, months. */
  autoRenewPeriods: [1, 2, 3, 6, 12],
  /** Operation page: ASCII. Kept 24 hours is ours. */
  clientToken: { maxLength: 64, pattern: '^[\\x20-\\x7e]*$', rule: 'ASCII characters', keptMs: 24 * 3600 * 1000 },
  retry: {
    /** Both validators; default from the operation page's example and the open-source client. */
    maxRetryTimes: { minimum: 0, maximum: 1000, default: defaultMaxRetryTimes },
    /** Seconds, SDK text. */
    fixedIntervalSeconds: {
      Concurrently: { minimum: 10, maximum: 1800 },
      Orderly: { minimum: 1, maximum: 600 },
    },
  },
  /** A cap set by the user on one topic or group. No published range; the bound is the largest specification. */
  tpsCap: { minimum: 0, maximum: 1_300_000 },
  account: {
    /** Template validator. */
    username: { minLength: 3, maxLength: 64, pattern: '^[A-Za-z0-9_-]+$', rule: 'letters, digits, "_" and "-"' },
    password: { minLength: 3, maxLength: 64 },
    /** Ours, the default account included. */
    perInstance: 100,
  },
  /** Ours: of all accounts together. A process holds them all to each call, and is told all of them with each change. */
  grants: { perInstance: 2000, addressesPerInstance: 4000 },
  /** The platform's rule for tags, 20 a resource, keys to 128, values to 128. Not stated for this product. */
  tags: { perResource: 20, keyMaxLength: 128, valueMaxLength: 128, reservedPrefixes: ['aliyun', 'acs:'] },
  /** Ours: resources in one tag call (the platform's usual 50). */
  tagResources: { maximum: 50 },
  /** Sister product Kafka: 200 entries. */
  ipWhitelist: { maximum: 200, entryMaxLength: 43 },
  /** Ours: groups that clients may make by using them, beside the quota of groups, as a share of it. */
  groupsMadeByUseShare: 0.1,
  /** Ours. */
  filter: { maxLength: 256 },
  message: {
    /** Limits page: the body before compression. */
    bodyBytes: 4 * 1024 * 1024,
    /** Open-source proxy. */
    groupMaxLength: 64,
    keyMaxLength: 1024,
    tagMaxLength: 1024,
  },
  /** Open-source proxy: properties of one message; bytes of keys and values together. */
  properties: { count: 128, bytes: 16 * 1024 },
  dateTime: {
    pattern: '^\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01]) ([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d$',
    rule: 'YYYY-MM-DD HH:mm:ss',
  },
  /** The only caller, Terraform, sends `02:00-06:00`. */
  maintainTime: {
    pattern: '^([01]\\d|2[0-3]):[0-5]\\d-([01]\\d|2[0-3]):[0-5]\\d$',
    rule: 'HH:mm-HH:mm',
    default: '02:00-06:00',
  },
  /**
   * Page sizes by operation; a number outside is moved to the bound, never refused (published for
   * ListInstances, taken over for the rest). Metadata of 2024 unless noted. ListTopics begins at 1 because the
   * SDK's own sample asks for 3, ListMessages ends at 50 because its sample answers 50; the last three are ours.
   */
  pages: {
    numberMaximum: 100_000_000,
    sizes: {
      ListInstances: { minimum: 10, maximum: 200 },
      ListTopics: { minimum: 1, maximum: 10_000 },
      ListConsumerGroups: { minimum: 10, maximum: 100 },
      ListInstanceAccount: { minimum: 10, maximum: 10_000 },
      ListInstanceAcl: { minimum: 10, maximum: 10_000 },
      ListInstanceIpWhitelist: { minimum: 10, maximum: 10_000 },
      ListMessages: { minimum: 1, maximum: 50 },
      ListTraces: { minimum: 1, maximum: 10_000 },
      ListMetricMeta: { minimum: 1, maximum: 100 },
      migrations: { minimum: 1, maximum: 100 },
      disasterRecovery: { minimum: 1, maximum: 100 },
    },
  },
} as const

interface NameRules {
  readonly namePattern: RegExp
  readonly nameRule: string
  readonly reservedNames: readonly string[]
  readonly reservedPrefixes: readonly string[]
  readonly reservedSuffixes: readonly string[]
}

/** Why this may not be a topic's name, as a sentence, or null when it may. `maxLength` is the specification's. */
export const topicNameProblem = (name: string, maxLength: number): string | null =>
  nameProblem('a topic name', name, maxLength, limits.topic)

/** Why this may not be a consumer group's id, as a sentence, or null when it may. */
export const consumerGroupIdProblem = (id: string, maxLength: number): string | null =>
  nameProblem('a consumer group id', id, maxLength, limits.consumerGroup)

/** Retry and dead-letter topics are named by their group. */
const derivedTopic = /^%(?:RETRY|DLQ)%/

/**
 * Why this may not be what a grant is for, as a sentence, or null when it may: a name that a topic or group may have, the
 * beginning of one followed by `*`, or `*`.
 */
export function grantedNameProblem(type: 'Topic' | 'Group', name: string, maxLength: number): string | null {
  const derived = type === 'Topic' ? (derivedTopic.exec(name)?.[0] ?? '') : ''
  const rest = name.slice(derived.length)
  const rules = type === 'Topic' && derived === '' ? limits.topic : limits.consumerGroup
  const what = type === 'Topic' && derived === '' ? 'a topic name' : 'a consumer group id'
  if (!rest.endsWith('*')) return nameProblem(what, rest, maxLength, rules)
  const beginning = rest.slice(0, -1)
  if (beginning === '' || (beginning.length <= maxLength && rules.namePattern.test(beginning))) return null
  return `${JSON.stringify(name.slice(0, 80))} is not allowed; before the "*" at its end stand at most ${maxLength} of ${rules.nameRule}.`
}

/** Reserved words are compared regardless of case: the vendor does not say, and this is the safe side. */
function nameProblem(what: string, name: string, maxLength: number, rules: NameRules): string | null {
  const shown = JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name)
  const lower = name.toLowerCase()
  const taken = rules.reservedNames.find((each) => each.toLowerCase() === lower)
  if (taken !== undefined) return `"${taken}" is reserved for the system; choose another name.`
  const prefix = rules.reservedPrefixes.find((each) => lower.startsWith(each.toLowerCase()))
  if (prefix !== undefined) return `${shown} begins with "${prefix}", which is reserved for the system.`
  const suffix = rules.reservedSuffixes.find((each) => lower.endsWith(each.toLowerCase()))
  if (suffix !== undefined) return `${shown} ends with "${suffix}", which is reserved for the system.`
  if (name.length < 1 || name.length > maxLength)
    return `${shown} has ${name.length} characters; ${what} has 1 to ${maxLength}.`
  if (!rules.namePattern.test(name)) return `${shown} is not allowed; ${what} consists of ${rules.nameRule}.`
  return null
}

export type PageSizes = { readonly minimum: number; readonly maximum: number }

/** Moves a page's number and size into their bounds; what is absent becomes 1 and 10. */
export function clampPage(
  sizes: PageSizes,
  asked: { readonly pageNumber?: number | undefined; readonly pageSize?: number | undefined },
): { readonly pageNumber: number; readonly pageSize: number } {
  return {
    pageNumber: clamp(asked.pageNumber ?? 1, 1, limits.pages.numberMaximum),
    pageSize: clamp(asked.pageSize ?? 10, sizes.minimum, sizes.maximum),
  }
}

/** The value, or the bound it passed. */
export const clamp = (value: number, minimum: number, maximum: number): number =>
  Math.min(Math.max(value, minimum), maximum)
