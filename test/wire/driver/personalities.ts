/**
 * The seven official clients where they differ on the wire, as data: what each says first, which headers it sends, how
 * it signs, what it asks of a poll. Sections are those of the data-plane reference; signatures are as recorded in
 * test/fixtures/captures/grpc-authorization-examples.json.
 */
import type { Settings } from 'node:http2'

export type Language = 'java' | 'go' | 'node' | 'python' | 'cpp' | 'csharp' | 'rust'

export interface Personality {
  readonly language: Language
  /** 11.2: what the client speaks when nobody says otherwise. */
  readonly defaultsToTls: boolean
  readonly alpn: readonly string[]
  /** First SETTINGS frame. */
  readonly settings: Settings
  readonly windowBytes: number
  readonly userAgent: string
  /** `x-mq-language` and the number in `settings.user_agent`. */
  readonly languageHeader: string
  readonly languageNumber: number
  readonly version: string
  readonly protocol: readonly [header: 'x-mq-protocol' | 'x-mq-protocol-version', value: string]
  /** More headers of the client's gRPC library. */
  readonly library: Readonly<Record<string, string>>
  readonly namespaceHeader: 'always' | 'not on QueryRoute' | 'never'
  readonly date: 'local time with a literal Z' | 'UTC' | 'RFC 3339 with the local offset'
  readonly hex: 'upper' | 'lower'
  /** Appended to the access key in `Credential`. */
  readonly credentialSuffix: string
  /** 7.1: Python signs even without credentials. */
  readonly signsWithoutCredentials: boolean
  /** `grpc-timeout` of so many milliseconds. */
  readonly timeout: (ms: number) => string
  /** 11.1 */
  readonly heartbeatMs: number
  readonly telemetryFirst: boolean
  /** Largest message the client's gRPC library takes; null means none that matters. */
  readonly receiveLimit: number | null
  /** What it puts into `body_digest` when sending. */
  readonly digest: 'CRC32' | 'MD5' | 'SHA1' | 'none'
  /** 3.1: garbage the server must ignore. */
  readonly deliveryAttempt: number | null
  /** Queue id written into sends and receives. */
  readonly queueId: (sequence: number) => number
  /** 1.7: what a poll says. Null leaves the field out. */
  readonly push: Poll
  readonly simple: Poll
}

export interface Poll {
  readonly autoRenew: boolean
  readonly invisibleMs: number | null
  readonly longPollingMs: number | null
  readonly attemptId: boolean
  /** The call's deadline; the poll's time plus the request timeout unless the client says otherwise. */
  readonly deadlineMs: number
}

const requestMs = 3000
const awaitMs = 10_000
const simpleInvisibleMs = 15_000

const micros = (ms: number): string => (ms < 100_000 ? `${ms * 1000}u` : millis(ms))
const millis = (ms: number): string => (ms < 100_000_000 ? `${ms}m` : `${Math.ceil(ms / 1000)}S`)
const seconds = (ms: number): string => (ms % 1000 === 0 ? `${ms / 1000}S` : `${ms}m`)

const push = (more: Partial<Poll> = {}): Poll => ({
  autoRenew: true,
  invisibleMs: null,
  longPollingMs: 20_000,
  attemptId: true,
  deadlineMs: 20_000 + requestMs,
  ...more,
})
const simple = (more: Partial<Poll> = {}): Poll => ({
  autoRenew: false,
  invisibleMs: simpleInvisibleMs,
  longPollingMs: awaitMs,
  attemptId: false,
  deadlineMs: awaitMs + requestMs,
  ...more,
})

const grpcCore: Settings = {
  enablePush: false,
  maxConcurrentStreams: 0,
  initialWindowSize: 4_194_304,
  maxFrameSize: 4_194_304,
  maxHeaderListSize: 16_384,
}
const fourMiB = 4 * 1024 * 1024

export const personalities: Readonly<Record<Language, Personality>> = {
  java: {
    language: 'java',
    defaultsToTls: true,
    alpn: ['h2'],
    settings: { enablePush: false, maxConcurrentStreams: 0, initialWindowSize: 1_048_576, maxHeaderListSize: 8192 },
    windowBytes: 1_048_576,
    userAgent: 'grpc-java-netty/1.50.0',
    languageHeader: 'JAVA',
    languageNumber: 1,
    version: '5.2.1',
    protocol: ['x-mq-protocol', 'v2'],
    library: { 'grpc-accept-encoding': 'gzip' },
    namespaceHeader: 'always',
    date: 'local time with a literal Z',
    hex: 'upper',
    credentialSuffix: '',
    signsWithoutCredentials: false,
    timeout: micros,
    heartbeatMs: 10_000,
    telemetryFirst: false,
    receiveLimit: null,
    digest: 'CRC32',
    deliveryAttempt: null,
    queueId: (sequence) => sequence % 8,
    push: push(),
    simple: simple(),
  },
  go: {
    language: 'go',
    defaultsToTls: true,
    alpn: ['h2'],
    settings: {},
    windowBytes: 65_535,
    userAgent: 'grpc-go/1.56.3',
    languageHeader: 'GO',
    languageNumber: 4,
    version: '5.1.4',
    protocol: ['x-mq-protocol', 'v2'],
    library: {},
    namespaceHeader: 'always',
    date: 'local time with a literal Z',
    hex: 'lower',
    credentialSuffix: '//Rocketmq',
    signsWithoutCredentials: false,
    timeout: millis,
    heartbeatMs: 10_000,
    telemetryFirst: false,
    receiveLimit: null,
    digest: 'CRC32',
    deliveryAttempt: null,
    queueId: (sequence) => sequence % 8,
    push: push(),
    // Leaves the poll's time out: the server has only the deadline to go by.
    simple: simple({ longPollingMs: null }),
  },
  node: {
    language: 'node',
    defaultsToTls: false,
    alpn: ['h2'],
    settings: { enablePush: false },
    windowBytes: 65_535,
    userAgent: 'grpc-node-js/1.14.0',
    languageHeader: 'HTTP',
    languageNumber: 8,
    version: '1.0.8',
    protocol: ['x-mq-protocol', 'v2'],
    library: { 'grpc-accept-encoding': 'identity,deflate,gzip', 'accept-encoding': 'identity' },
    namespaceHeader: 'not on QueryRoute',
    date: 'UTC',
    hex: 'upper',
    credentialSuffix: '',
    signsWithoutCredentials: false,
    timeout: millis,
    heartbeatMs: 10_000,
    telemetryFirst: false,
    receiveLimit: fourMiB,
    digest: 'MD5',
    deliveryAttempt: null,
    queueId: () => 0,
    push: push(),
    simple: simple({ longPollingMs: 30_000, deadlineMs: 30_000 + requestMs }),
  },
  python: {
    language: 'python',
    defaultsToTls: false,
    alpn: ['grpc-exp', 'h2'],
    settings: grpcCore,
    windowBytes: 4_194_304,
    userAgent: 'grpc-python/1.60.0 grpc-c/37.0.0 (linux; chttp2)',
    languageHeader: 'PYTHON',
    languageNumber: 6,
    version: '5.1.1',
    protocol: ['x-mq-protocol', 'GRPC_V2'],
    library: { 'grpc-accept-encoding': 'identity, deflate, gzip' },
    namespaceHeader: 'always',
    date: 'local time with a literal Z',
    hex: 'lower',
    credentialSuffix: '',
    signsWithoutCredentials: true,
    timeout: seconds,
    heartbeatMs: 10_000,
    telemetryFirst: false,
    receiveLimit: null,
    digest: 'CRC32',
    deliveryAttempt: null,
    queueId: (sequence) => sequence % 8,
    push: push(),
    simple: simple({ longPollingMs: 20_000, deadlineMs: 20_000 + requestMs }),
  },
  cpp: {
    language: 'cpp',
    defaultsToTls: true,
    alpn: ['grpc-exp', 'h2'],
    settings: grpcCore,
    windowBytes: 4_194_304,
    userAgent: 'grpc-c++/1.46.7 grpc-c/24.0.0 (linux; chttp2)',
    languageHeader: 'CPP',
    languageNumber: 2,
    version: '5.0.3',
    protocol: ['x-mq-protocol-version', 'v2'],
    library: { 'grpc-accept-encoding': 'identity, deflate, gzip' },
    namespaceHeader: 'always',
    date: 'UTC',
    hex: 'upper',
    credentialSuffix: '/cn-hangzhou/RocketMQ',
    signsWithoutCredentials: false,
    timeout: seconds,
    heartbeatMs: 10_000,
    telemetryFirst: true,
    receiveLimit: null,
    digest: 'SHA1',
    deliveryAttempt: 1_886_351_212,
    queueId: (sequence) => sequence % 8,
    push: push({ longPollingMs: null, invisibleMs: simpleInvisibleMs, attemptId: false }),
    simple: simple({ autoRenew: true }),
  },
  csharp: {
    language: 'csharp',
    defaultsToTls: true,
    alpn: ['h2', 'http/1.1'],
    settings: { enablePush: false, initialWindowSize: 65_535 },
    windowBytes: 64 * 1024 * 1024,
    userAgent: 'grpc-dotnet/2.55.0 (.NET 6.0.21; CLR 6.0.21; net6.0; linux; x64)',
    languageHeader: 'DOTNET',
    languageNumber: 3,
    version: '5.2.0',
    protocol: ['x-mq-protocol-version', 'v2'],
    library: { 'grpc-accept-encoding': 'identity,gzip,deflate' },
    namespaceHeader: 'always',
    date: 'local time with a literal Z',
    hex: 'upper',
    credentialSuffix: '',
    signsWithoutCredentials: false,
    timeout: seconds,
    heartbeatMs: 10_000,
    telemetryFirst: false,
    receiveLimit: fourMiB,
    digest: 'CRC32',
    deliveryAttempt: null,
    queueId: (sequence) => sequence % 8,
    push: push(),
    simple: simple(),
  },
  rust: {
    language: 'rust',
    defaultsToTls: false,
    alpn: ['h2'],
    settings: { enablePush: false, initialWindowSize: 2_097_152, maxFrameSize: 16_384 },
    windowBytes: 5 * 1024 * 1024,
    userAgent: 'tonic/0.9.2',
    languageHeader: 'RUST',
    languageNumber: 5,
    version: '5.0.0',
    protocol: ['x-mq-protocol-version', '2.0.0'],
    library: {},
    namespaceHeader: 'never',
    date: 'RFC 3339 with the local offset',
    hex: 'lower',
    credentialSuffix: '',
    signsWithoutCredentials: false,
    timeout: micros,
    heartbeatMs: 30_000,
    telemetryFirst: true,
    receiveLimit: fourMiB,
    digest: 'none',
    deliveryAttempt: null,
    queueId: (sequence) => sequence % 8,
    push: push({ longPollingMs: 40_000, attemptId: false, deadlineMs: 40_000 }),
    simple: simple({ longPollingMs: 40_000, deadlineMs: 40_000 }),
  },
}

export const languages = Object.keys(personalities) as Language[]
