// Generated from proto/ by scripts/generate-proto.mjs. Do not edit.
import type { Codec } from '../protobuf.ts'

export declare const TransactionResolution: {
  readonly TRANSACTION_RESOLUTION_UNSPECIFIED: 0
  readonly COMMIT: 1
  readonly ROLLBACK: 2
  readonly [value: number]: string | undefined
}

export declare const TransactionSource: {
  readonly SOURCE_UNSPECIFIED: 0
  readonly SOURCE_CLIENT: 1
  readonly SOURCE_SERVER_CHECK: 2
  readonly [value: number]: string | undefined
}

export declare const Permission: {
  readonly PERMISSION_UNSPECIFIED: 0
  readonly NONE: 1
  readonly READ: 2
  readonly WRITE: 3
  readonly READ_WRITE: 4
  readonly [value: number]: string | undefined
}

export declare const FilterType: {
  readonly FILTER_TYPE_UNSPECIFIED: 0
  readonly TAG: 1
  readonly SQL: 2
  readonly [value: number]: string | undefined
}

export declare const AddressScheme: {
  readonly ADDRESS_SCHEME_UNSPECIFIED: 0
  readonly IPv4: 1
  readonly IPv6: 2
  readonly DOMAIN_NAME: 3
  readonly [value: number]: string | undefined
}

export declare const MessageType: {
  readonly MESSAGE_TYPE_UNSPECIFIED: 0
  readonly NORMAL: 1
  readonly FIFO: 2
  readonly DELAY: 3
  readonly TRANSACTION: 4
  readonly LITE: 5
  readonly PRIORITY: 6
  readonly [value: number]: string | undefined
}

export declare const DigestType: {
  readonly DIGEST_TYPE_UNSPECIFIED: 0
  readonly CRC32: 1
  readonly MD5: 2
  readonly SHA1: 3
  readonly [value: number]: string | undefined
}

export declare const ClientType: {
  readonly CLIENT_TYPE_UNSPECIFIED: 0
  readonly PRODUCER: 1
  readonly PUSH_CONSUMER: 2
  readonly SIMPLE_CONSUMER: 3
  readonly PULL_CONSUMER: 4
  readonly LITE_PUSH_CONSUMER: 5
  readonly LITE_SIMPLE_CONSUMER: 6
  readonly [value: number]: string | undefined
}

export declare const Encoding: {
  readonly ENCODING_UNSPECIFIED: 0
  readonly IDENTITY: 1
  readonly GZIP: 2
  readonly [value: number]: string | undefined
}

export declare const Code: {
  readonly CODE_UNSPECIFIED: 0
  readonly OK: 20000
  readonly MULTIPLE_RESULTS: 30000
  readonly BAD_REQUEST: 40000
  readonly ILLEGAL_ACCESS_POINT: 40001
  readonly ILLEGAL_TOPIC: 40002
  readonly ILLEGAL_CONSUMER_GROUP: 40003
  readonly ILLEGAL_MESSAGE_TAG: 40004
  readonly ILLEGAL_MESSAGE_KEY: 40005
  readonly ILLEGAL_MESSAGE_GROUP: 40006
  readonly ILLEGAL_MESSAGE_PROPERTY_KEY: 40007
  readonly INVALID_TRANSACTION_ID: 40008
  readonly ILLEGAL_MESSAGE_ID: 40009
  readonly ILLEGAL_FILTER_EXPRESSION: 40010
  readonly ILLEGAL_INVISIBLE_TIME: 40011
  readonly ILLEGAL_DELIVERY_TIME: 40012
  readonly INVALID_RECEIPT_HANDLE: 40013
  readonly MESSAGE_PROPERTY_CONFLICT_WITH_TYPE: 40014
  readonly UNRECOGNIZED_CLIENT_TYPE: 40015
  readonly MESSAGE_CORRUPTED: 40016
  readonly CLIENT_ID_REQUIRED: 40017
  readonly ILLEGAL_POLLING_TIME: 40018
  readonly ILLEGAL_OFFSET: 40019
  readonly ILLEGAL_LITE_TOPIC: 40020
  readonly INVALID_CLIENT_PROPERTIES: 40021
  readonly UNAUTHORIZED: 40100
  readonly PAYMENT_REQUIRED: 40200
  readonly FORBIDDEN: 40300
  readonly NOT_FOUND: 40400
  readonly MESSAGE_NOT_FOUND: 40401
  readonly TOPIC_NOT_FOUND: 40402
  readonly CONSUMER_GROUP_NOT_FOUND: 40403
  readonly OFFSET_NOT_FOUND: 40404
  readonly REQUEST_TIMEOUT: 40800
  readonly PAYLOAD_TOO_LARGE: 41300
  readonly MESSAGE_BODY_TOO_LARGE: 41301
  readonly MESSAGE_BODY_EMPTY: 41302
  readonly PRECONDITION_FAILED: 42800
  readonly TOO_MANY_REQUESTS: 42900
  readonly LITE_TOPIC_QUOTA_EXCEEDED: 42901
  readonly LITE_SUBSCRIPTION_QUOTA_EXCEEDED: 42902
  readonly REQUEST_HEADER_FIELDS_TOO_LARGE: 43100
  readonly MESSAGE_PROPERTIES_TOO_LARGE: 43101
  readonly INTERNAL_ERROR: 50000
  readonly INTERNAL_SERVER_ERROR: 50001
  readonly HA_NOT_AVAILABLE: 50002
  readonly NOT_IMPLEMENTED: 50100
  readonly PROXY_TIMEOUT: 50400
  readonly MASTER_PERSISTENCE_TIMEOUT: 50401
  readonly SLAVE_PERSISTENCE_TIMEOUT: 50402
  readonly UNSUPPORTED: 50500
  readonly VERSION_UNSUPPORTED: 50501
  readonly VERIFY_FIFO_MESSAGE_UNSUPPORTED: 50502
  readonly FAILED_TO_CONSUME_MESSAGE: 60000
  readonly [value: number]: string | undefined
}

export declare const Language: {
  readonly LANGUAGE_UNSPECIFIED: 0
  readonly JAVA: 1
  readonly CPP: 2
  readonly DOT_NET: 3
  readonly GOLANG: 4
  readonly RUST: 5
  readonly PYTHON: 6
  readonly PHP: 7
  readonly NODE_JS: 8
  readonly RUBY: 9
  readonly OBJECTIVE_C: 10
  readonly DART: 11
  readonly KOTLIN: 12
  readonly [value: number]: string | undefined
}

export declare const LiteSubscriptionAction: {
  readonly PARTIAL_ADD: 0
  readonly PARTIAL_REMOVE: 1
  readonly COMPLETE_ADD: 2
  readonly COMPLETE_REMOVE: 3
  readonly [value: number]: string | undefined
}

export declare const QueryOffsetPolicy: {
  readonly BEGINNING: 0
  readonly END: 1
  readonly TIMESTAMP: 2
  readonly [value: number]: string | undefined
}

export declare const OffsetOption_Policy: {
  readonly LAST: 0
  readonly MIN: 1
  readonly MAX: 2
  readonly [value: number]: string | undefined
}

export interface QueryRouteRequest {
  readonly topic: Resource | null
  readonly endpoints: Endpoints | null
}
export interface QueryRouteRequestInit {
  topic?: ResourceInit | null | undefined
  endpoints?: EndpointsInit | null | undefined
}
export declare const QueryRouteRequest: Codec<QueryRouteRequest, QueryRouteRequestInit>

export interface QueryRouteResponse {
  readonly status: Status | null
  readonly messageQueues: readonly MessageQueue[]
}
export interface QueryRouteResponseInit {
  status?: StatusInit | null | undefined
  messageQueues?: readonly MessageQueueInit[] | null | undefined
}
export declare const QueryRouteResponse: Codec<QueryRouteResponse, QueryRouteResponseInit>

export interface SendMessageRequest {
  readonly messages: readonly Message[]
}
export interface SendMessageRequestInit {
  messages?: readonly MessageInit[] | null | undefined
}
export declare const SendMessageRequest: Codec<SendMessageRequest, SendMessageRequestInit>

export interface SendResultEntry {
  readonly status: Status | null
  readonly messageId: string
  readonly transactionId: string
  readonly offset: number
  readonly recallHandle: string
}
export interface SendResultEntryInit {
  status?: StatusInit | null | undefined
  messageId?: string | null | undefined
  transactionId?: string | null | undefined
  offset?: number | null | undefined
  recallHandle?: string | null | undefined
}
export declare const SendResultEntry: Codec<SendResultEntry, SendResultEntryInit>

export interface SendMessageResponse {
  readonly status: Status | null
  readonly entries: readonly SendResultEntry[]
}
export interface SendMessageResponseInit {
  status?: StatusInit | null | undefined
  entries?: readonly SendResultEntryInit[] | null | undefined
}
export declare const SendMessageResponse: Codec<SendMessageResponse, SendMessageResponseInit>

export interface QueryAssignmentRequest {
  readonly topic: Resource | null
  readonly group: Resource | null
  readonly endpoints: Endpoints | null
}
export interface QueryAssignmentRequestInit {
  topic?: ResourceInit | null | undefined
  group?: ResourceInit | null | undefined
  endpoints?: EndpointsInit | null | undefined
}
export declare const QueryAssignmentRequest: Codec<QueryAssignmentRequest, QueryAssignmentRequestInit>

export interface QueryAssignmentResponse {
  readonly status: Status | null
  readonly assignments: readonly Assignment[]
}
export interface QueryAssignmentResponseInit {
  status?: StatusInit | null | undefined
  assignments?: readonly AssignmentInit[] | null | undefined
}
export declare const QueryAssignmentResponse: Codec<QueryAssignmentResponse, QueryAssignmentResponseInit>

export interface ReceiveMessageRequest {
  readonly group: Resource | null
  readonly messageQueue: MessageQueue | null
  readonly filterExpression: FilterExpression | null
  readonly batchSize: number
  readonly invisibleDuration: Duration | null
  readonly autoRenew: boolean
  readonly longPollingTimeout: Duration | null
  readonly attemptId: string | null
}
export interface ReceiveMessageRequestInit {
  group?: ResourceInit | null | undefined
  messageQueue?: MessageQueueInit | null | undefined
  filterExpression?: FilterExpressionInit | null | undefined
  batchSize?: number | null | undefined
  invisibleDuration?: DurationInit | null | undefined
  autoRenew?: boolean | null | undefined
  longPollingTimeout?: DurationInit | null | undefined
  attemptId?: string | null | undefined
}
export declare const ReceiveMessageRequest: Codec<ReceiveMessageRequest, ReceiveMessageRequestInit>

export interface ReceiveMessageResponse {
  readonly status: Status | null
  readonly message: Message | null
  readonly deliveryTimestamp: Timestamp | null
  /** Which of these is set. */
  readonly content?: 'status' | 'message' | 'deliveryTimestamp' | undefined
}
export interface ReceiveMessageResponseInit {
  status?: StatusInit | null | undefined
  message?: MessageInit | null | undefined
  deliveryTimestamp?: TimestampInit | null | undefined
}
export declare const ReceiveMessageResponse: Codec<ReceiveMessageResponse, ReceiveMessageResponseInit>

export interface AckMessageEntry {
  readonly messageId: string
  readonly receiptHandle: string
  readonly liteTopic: string | null
}
export interface AckMessageEntryInit {
  messageId?: string | null | undefined
  receiptHandle?: string | null | undefined
  liteTopic?: string | null | undefined
}
export declare const AckMessageEntry: Codec<AckMessageEntry, AckMessageEntryInit>

export interface AckMessageRequest {
  readonly group: Resource | null
  readonly topic: Resource | null
  readonly entries: readonly AckMessageEntry[]
}
export interface AckMessageRequestInit {
  group?: ResourceInit | null | undefined
  topic?: ResourceInit | null | undefined
  entries?: readonly AckMessageEntryInit[] | null | undefined
}
export declare const AckMessageRequest: Codec<AckMessageRequest, AckMessageRequestInit>

export interface AckMessageResultEntry {
  readonly messageId: string
  readonly receiptHandle: string
  readonly status: Status | null
}
export interface AckMessageResultEntryInit {
  messageId?: string | null | undefined
  receiptHandle?: string | null | undefined
  status?: StatusInit | null | undefined
}
export declare const AckMessageResultEntry: Codec<AckMessageResultEntry, AckMessageResultEntryInit>

export interface AckMessageResponse {
  readonly status: Status | null
  readonly entries: readonly AckMessageResultEntry[]
}
export interface AckMessageResponseInit {
  status?: StatusInit | null | undefined
  entries?: readonly AckMessageResultEntryInit[] | null | undefined
}
export declare const AckMessageResponse: Codec<AckMessageResponse, AckMessageResponseInit>

export interface ForwardMessageToDeadLetterQueueRequest {
  readonly group: Resource | null
  readonly topic: Resource | null
  readonly receiptHandle: string
  readonly messageId: string
  readonly deliveryAttempt: number
  readonly maxDeliveryAttempts: number
  readonly liteTopic: string | null
}
export interface ForwardMessageToDeadLetterQueueRequestInit {
  group?: ResourceInit | null | undefined
  topic?: ResourceInit | null | undefined
  receiptHandle?: string | null | undefined
  messageId?: string | null | undefined
  deliveryAttempt?: number | null | undefined
  maxDeliveryAttempts?: number | null | undefined
  liteTopic?: string | null | undefined
}
export declare const ForwardMessageToDeadLetterQueueRequest: Codec<ForwardMessageToDeadLetterQueueRequest, ForwardMessageToDeadLetterQueueRequestInit>

export interface ForwardMessageToDeadLetterQueueResponse {
  readonly status: Status | null
}
export interface ForwardMessageToDeadLetterQueueResponseInit {
  status?: StatusInit | null | undefined
}
export declare const ForwardMessageToDeadLetterQueueResponse: Codec<ForwardMessageToDeadLetterQueueResponse, ForwardMessageToDeadLetterQueueResponseInit>

export interface HeartbeatRequest {
  readonly group: Resource | null
  /** A value of `ClientType`, or a number this version does not know. */
  readonly clientType: number
}
export interface HeartbeatRequestInit {
  group?: ResourceInit | null | undefined
  clientType?: number | null | undefined
}
export declare const HeartbeatRequest: Codec<HeartbeatRequest, HeartbeatRequestInit>

export interface HeartbeatResponse {
  readonly status: Status | null
}
export interface HeartbeatResponseInit {
  status?: StatusInit | null | undefined
}
export declare const HeartbeatResponse: Codec<HeartbeatResponse, HeartbeatResponseInit>

export interface EndTransactionRequest {
  readonly topic: Resource | null
  readonly messageId: string
  readonly transactionId: string
  /** A value of `TransactionResolution`, or a number this version does not know. */
  readonly resolution: number
  /** A value of `TransactionSource`, or a number this version does not know. */
  readonly source: number
  readonly traceContext: string
}
export interface EndTransactionRequestInit {
  topic?: ResourceInit | null | undefined
  messageId?: string | null | undefined
  transactionId?: string | null | undefined
  resolution?: number | null | undefined
  source?: number | null | undefined
  traceContext?: string | null | undefined
}
export declare const EndTransactionRequest: Codec<EndTransactionRequest, EndTransactionRequestInit>

export interface EndTransactionResponse {
  readonly status: Status | null
}
export interface EndTransactionResponseInit {
  status?: StatusInit | null | undefined
}
export declare const EndTransactionResponse: Codec<EndTransactionResponse, EndTransactionResponseInit>

export interface PrintThreadStackTraceCommand {
  readonly nonce: string
}
export interface PrintThreadStackTraceCommandInit {
  nonce?: string | null | undefined
}
export declare const PrintThreadStackTraceCommand: Codec<PrintThreadStackTraceCommand, PrintThreadStackTraceCommandInit>

export interface ReconnectEndpointsCommand {
  readonly nonce: string
}
export interface ReconnectEndpointsCommandInit {
  nonce?: string | null | undefined
}
export declare const ReconnectEndpointsCommand: Codec<ReconnectEndpointsCommand, ReconnectEndpointsCommandInit>

export interface ThreadStackTrace {
  readonly nonce: string
  readonly threadStackTrace: string | null
}
export interface ThreadStackTraceInit {
  nonce?: string | null | undefined
  threadStackTrace?: string | null | undefined
}
export declare const ThreadStackTrace: Codec<ThreadStackTrace, ThreadStackTraceInit>

export interface VerifyMessageCommand {
  readonly nonce: string
  readonly message: Message | null
}
export interface VerifyMessageCommandInit {
  nonce?: string | null | undefined
  message?: MessageInit | null | undefined
}
export declare const VerifyMessageCommand: Codec<VerifyMessageCommand, VerifyMessageCommandInit>

export interface VerifyMessageResult {
  readonly nonce: string
}
export interface VerifyMessageResultInit {
  nonce?: string | null | undefined
}
export declare const VerifyMessageResult: Codec<VerifyMessageResult, VerifyMessageResultInit>

export interface RecoverOrphanedTransactionCommand {
  readonly message: Message | null
  readonly transactionId: string
}
export interface RecoverOrphanedTransactionCommandInit {
  message?: MessageInit | null | undefined
  transactionId?: string | null | undefined
}
export declare const RecoverOrphanedTransactionCommand: Codec<RecoverOrphanedTransactionCommand, RecoverOrphanedTransactionCommandInit>

export interface NotifyUnsubscribeLiteCommand {
  readonly liteTopic: string
}
export interface NotifyUnsubscribeLiteCommandInit {
  liteTopic?: string | null | undefined
}
export declare const NotifyUnsubscribeLiteCommand: Codec<NotifyUnsubscribeLiteCommand, NotifyUnsubscribeLiteCommandInit>

export interface TelemetryCommand {
  readonly status: Status | null
  readonly settings: Settings | null
  readonly threadStackTrace: ThreadStackTrace | null
  readonly verifyMessageResult: VerifyMessageResult | null
  readonly recoverOrphanedTransactionCommand: RecoverOrphanedTransactionCommand | null
  readonly printThreadStackTraceCommand: PrintThreadStackTraceCommand | null
  readonly verifyMessageCommand: VerifyMessageCommand | null
  readonly reconnectEndpointsCommand: ReconnectEndpointsCommand | null
  readonly notifyUnsubscribeLiteCommand: NotifyUnsubscribeLiteCommand | null
  /** Which of these is set. */
  readonly command?: 'settings' | 'threadStackTrace' | 'verifyMessageResult' | 'recoverOrphanedTransactionCommand' | 'printThreadStackTraceCommand' | 'verifyMessageCommand' | 'reconnectEndpointsCommand' | 'notifyUnsubscribeLiteCommand' | undefined
}
export interface TelemetryCommandInit {
  status?: StatusInit | null | undefined
  settings?: SettingsInit | null | undefined
  threadStackTrace?: ThreadStackTraceInit | null | undefined
  verifyMessageResult?: VerifyMessageResultInit | null | undefined
  recoverOrphanedTransactionCommand?: RecoverOrphanedTransactionCommandInit | null | undefined
  printThreadStackTraceCommand?: PrintThreadStackTraceCommandInit | null | undefined
  verifyMessageCommand?: VerifyMessageCommandInit | null | undefined
  reconnectEndpointsCommand?: ReconnectEndpointsCommandInit | null | undefined
  notifyUnsubscribeLiteCommand?: NotifyUnsubscribeLiteCommandInit | null | undefined
}
export declare const TelemetryCommand: Codec<TelemetryCommand, TelemetryCommandInit>

export interface NotifyClientTerminationRequest {
  readonly group: Resource | null
}
export interface NotifyClientTerminationRequestInit {
  group?: ResourceInit | null | undefined
}
export declare const NotifyClientTerminationRequest: Codec<NotifyClientTerminationRequest, NotifyClientTerminationRequestInit>

export interface NotifyClientTerminationResponse {
  readonly status: Status | null
}
export interface NotifyClientTerminationResponseInit {
  status?: StatusInit | null | undefined
}
export declare const NotifyClientTerminationResponse: Codec<NotifyClientTerminationResponse, NotifyClientTerminationResponseInit>

export interface ChangeInvisibleDurationRequest {
  readonly group: Resource | null
  readonly topic: Resource | null
  readonly receiptHandle: string
  readonly invisibleDuration: Duration | null
  readonly messageId: string
  readonly liteTopic: string | null
  readonly suspend: boolean | null
}
export interface ChangeInvisibleDurationRequestInit {
  group?: ResourceInit | null | undefined
  topic?: ResourceInit | null | undefined
  receiptHandle?: string | null | undefined
  invisibleDuration?: DurationInit | null | undefined
  messageId?: string | null | undefined
  liteTopic?: string | null | undefined
  suspend?: boolean | null | undefined
}
export declare const ChangeInvisibleDurationRequest: Codec<ChangeInvisibleDurationRequest, ChangeInvisibleDurationRequestInit>

export interface ChangeInvisibleDurationResponse {
  readonly status: Status | null
  readonly receiptHandle: string
}
export interface ChangeInvisibleDurationResponseInit {
  status?: StatusInit | null | undefined
  receiptHandle?: string | null | undefined
}
export declare const ChangeInvisibleDurationResponse: Codec<ChangeInvisibleDurationResponse, ChangeInvisibleDurationResponseInit>

export interface PullMessageRequest {
  readonly group: Resource | null
  readonly messageQueue: MessageQueue | null
  readonly offset: number
  readonly batchSize: number
  readonly filterExpression: FilterExpression | null
  readonly longPollingTimeout: Duration | null
}
export interface PullMessageRequestInit {
  group?: ResourceInit | null | undefined
  messageQueue?: MessageQueueInit | null | undefined
  offset?: number | null | undefined
  batchSize?: number | null | undefined
  filterExpression?: FilterExpressionInit | null | undefined
  longPollingTimeout?: DurationInit | null | undefined
}
export declare const PullMessageRequest: Codec<PullMessageRequest, PullMessageRequestInit>

export interface PullMessageResponse {
  readonly status: Status | null
  readonly message: Message | null
  readonly nextOffset: number | null
  /** Which of these is set. */
  readonly content?: 'status' | 'message' | 'nextOffset' | undefined
}
export interface PullMessageResponseInit {
  status?: StatusInit | null | undefined
  message?: MessageInit | null | undefined
  nextOffset?: number | null | undefined
}
export declare const PullMessageResponse: Codec<PullMessageResponse, PullMessageResponseInit>

export interface UpdateOffsetRequest {
  readonly group: Resource | null
  readonly messageQueue: MessageQueue | null
  readonly offset: number
}
export interface UpdateOffsetRequestInit {
  group?: ResourceInit | null | undefined
  messageQueue?: MessageQueueInit | null | undefined
  offset?: number | null | undefined
}
export declare const UpdateOffsetRequest: Codec<UpdateOffsetRequest, UpdateOffsetRequestInit>

export interface UpdateOffsetResponse {
  readonly status: Status | null
}
export interface UpdateOffsetResponseInit {
  status?: StatusInit | null | undefined
}
export declare const UpdateOffsetResponse: Codec<UpdateOffsetResponse, UpdateOffsetResponseInit>

export interface GetOffsetRequest {
  readonly group: Resource | null
  readonly messageQueue: MessageQueue | null
}
export interface GetOffsetRequestInit {
  group?: ResourceInit | null | undefined
  messageQueue?: MessageQueueInit | null | undefined
}
export declare const GetOffsetRequest: Codec<GetOffsetRequest, GetOffsetRequestInit>

export interface GetOffsetResponse {
  readonly status: Status | null
  readonly offset: number
}
export interface GetOffsetResponseInit {
  status?: StatusInit | null | undefined
  offset?: number | null | undefined
}
export declare const GetOffsetResponse: Codec<GetOffsetResponse, GetOffsetResponseInit>

export interface QueryOffsetRequest {
  readonly messageQueue: MessageQueue | null
  /** A value of `QueryOffsetPolicy`, or a number this version does not know. */
  readonly queryOffsetPolicy: number
  readonly timestamp: Timestamp | null
}
export interface QueryOffsetRequestInit {
  messageQueue?: MessageQueueInit | null | undefined
  queryOffsetPolicy?: number | null | undefined
  timestamp?: TimestampInit | null | undefined
}
export declare const QueryOffsetRequest: Codec<QueryOffsetRequest, QueryOffsetRequestInit>

export interface QueryOffsetResponse {
  readonly status: Status | null
  readonly offset: number
}
export interface QueryOffsetResponseInit {
  status?: StatusInit | null | undefined
  offset?: number | null | undefined
}
export declare const QueryOffsetResponse: Codec<QueryOffsetResponse, QueryOffsetResponseInit>

export interface RecallMessageRequest {
  readonly topic: Resource | null
  readonly recallHandle: string
}
export interface RecallMessageRequestInit {
  topic?: ResourceInit | null | undefined
  recallHandle?: string | null | undefined
}
export declare const RecallMessageRequest: Codec<RecallMessageRequest, RecallMessageRequestInit>

export interface RecallMessageResponse {
  readonly status: Status | null
  readonly messageId: string
}
export interface RecallMessageResponseInit {
  status?: StatusInit | null | undefined
  messageId?: string | null | undefined
}
export declare const RecallMessageResponse: Codec<RecallMessageResponse, RecallMessageResponseInit>

export interface SyncLiteSubscriptionRequest {
  /** A value of `LiteSubscriptionAction`, or a number this version does not know. */
  readonly action: number
  readonly topic: Resource | null
  readonly group: Resource | null
  readonly liteTopicSet: readonly string[]
  readonly version: number | null
  readonly offsetOption: OffsetOption | null
}
export interface SyncLiteSubscriptionRequestInit {
  action?: number | null | undefined
  topic?: ResourceInit | null | undefined
  group?: ResourceInit | null | undefined
  liteTopicSet?: readonly string[] | null | undefined
  version?: number | null | undefined
  offsetOption?: OffsetOptionInit | null | undefined
}
export declare const SyncLiteSubscriptionRequest: Codec<SyncLiteSubscriptionRequest, SyncLiteSubscriptionRequestInit>

export interface SyncLiteSubscriptionResponse {
  readonly status: Status | null
}
export interface SyncLiteSubscriptionResponseInit {
  status?: StatusInit | null | undefined
}
export declare const SyncLiteSubscriptionResponse: Codec<SyncLiteSubscriptionResponse, SyncLiteSubscriptionResponseInit>

export interface FilterExpression {
  /** A value of `FilterType`, or a number this version does not know. */
  readonly type: number
  readonly expression: string
}
export interface FilterExpressionInit {
  type?: number | null | undefined
  expression?: string | null | undefined
}
export declare const FilterExpression: Codec<FilterExpression, FilterExpressionInit>

export interface RetryPolicy {
  readonly maxAttempts: number
  readonly exponentialBackoff: ExponentialBackoff | null
  readonly customizedBackoff: CustomizedBackoff | null
  /** Which of these is set. */
  readonly strategy?: 'exponentialBackoff' | 'customizedBackoff' | undefined
}
export interface RetryPolicyInit {
  maxAttempts?: number | null | undefined
  exponentialBackoff?: ExponentialBackoffInit | null | undefined
  customizedBackoff?: CustomizedBackoffInit | null | undefined
}
export declare const RetryPolicy: Codec<RetryPolicy, RetryPolicyInit>

export interface ExponentialBackoff {
  readonly initial: Duration | null
  readonly max: Duration | null
  readonly multiplier: number
}
export interface ExponentialBackoffInit {
  initial?: DurationInit | null | undefined
  max?: DurationInit | null | undefined
  multiplier?: number | null | undefined
}
export declare const ExponentialBackoff: Codec<ExponentialBackoff, ExponentialBackoffInit>

export interface CustomizedBackoff {
  readonly next: readonly Duration[]
}
export interface CustomizedBackoffInit {
  next?: readonly DurationInit[] | null | undefined
}
export declare const CustomizedBackoff: Codec<CustomizedBackoff, CustomizedBackoffInit>

export interface Resource {
  readonly resourceNamespace: string
  readonly name: string
}
export interface ResourceInit {
  resourceNamespace?: string | null | undefined
  name?: string | null | undefined
}
export declare const Resource: Codec<Resource, ResourceInit>

export interface SubscriptionEntry {
  readonly topic: Resource | null
  readonly expression: FilterExpression | null
}
export interface SubscriptionEntryInit {
  topic?: ResourceInit | null | undefined
  expression?: FilterExpressionInit | null | undefined
}
export declare const SubscriptionEntry: Codec<SubscriptionEntry, SubscriptionEntryInit>

export interface Address {
  readonly host: string
  readonly port: number
}
export interface AddressInit {
  host?: string | null | undefined
  port?: number | null | undefined
}
export declare const Address: Codec<Address, AddressInit>

export interface Endpoints {
  /** A value of `AddressScheme`, or a number this version does not know. */
  readonly scheme: number
  readonly addresses: readonly Address[]
}
export interface EndpointsInit {
  scheme?: number | null | undefined
  addresses?: readonly AddressInit[] | null | undefined
}
export declare const Endpoints: Codec<Endpoints, EndpointsInit>

export interface Broker {
  readonly name: string
  readonly id: number
  readonly endpoints: Endpoints | null
}
export interface BrokerInit {
  name?: string | null | undefined
  id?: number | null | undefined
  endpoints?: EndpointsInit | null | undefined
}
export declare const Broker: Codec<Broker, BrokerInit>

export interface MessageQueue {
  readonly topic: Resource | null
  readonly id: number
  /** A value of `Permission`, or a number this version does not know. */
  readonly permission: number
  readonly broker: Broker | null
  /** A value of `MessageType`, or a number this version does not know. */
  readonly acceptMessageTypes: readonly number[]
}
export interface MessageQueueInit {
  topic?: ResourceInit | null | undefined
  id?: number | null | undefined
  permission?: number | null | undefined
  broker?: BrokerInit | null | undefined
  acceptMessageTypes?: readonly number[] | null | undefined
}
export declare const MessageQueue: Codec<MessageQueue, MessageQueueInit>

export interface Digest {
  /** A value of `DigestType`, or a number this version does not know. */
  readonly type: number
  readonly checksum: string
}
export interface DigestInit {
  type?: number | null | undefined
  checksum?: string | null | undefined
}
export declare const Digest: Codec<Digest, DigestInit>

export interface SystemProperties {
  readonly tag: string | null
  readonly keys: readonly string[]
  readonly messageId: string
  readonly bodyDigest: Digest | null
  /** A value of `Encoding`, or a number this version does not know. */
  readonly bodyEncoding: number
  /** A value of `MessageType`, or a number this version does not know. */
  readonly messageType: number
  readonly bornTimestamp: Timestamp | null
  readonly bornHost: string
  readonly storeTimestamp: Timestamp | null
  readonly storeHost: string
  readonly deliveryTimestamp: Timestamp | null
  readonly receiptHandle: string | null
  readonly queueId: number
  readonly queueOffset: number | null
  readonly invisibleDuration: Duration | null
  readonly deliveryAttempt: number | null
  readonly messageGroup: string | null
  readonly traceContext: string | null
  readonly orphanedTransactionRecoveryDuration: Duration | null
  readonly deadLetterQueue: DeadLetterQueue | null
  readonly liteTopic: string | null
  readonly priority: number | null
}
export interface SystemPropertiesInit {
  tag?: string | null | undefined
  keys?: readonly string[] | null | undefined
  messageId?: string | null | undefined
  bodyDigest?: DigestInit | null | undefined
  bodyEncoding?: number | null | undefined
  messageType?: number | null | undefined
  bornTimestamp?: TimestampInit | null | undefined
  bornHost?: string | null | undefined
  storeTimestamp?: TimestampInit | null | undefined
  storeHost?: string | null | undefined
  deliveryTimestamp?: TimestampInit | null | undefined
  receiptHandle?: string | null | undefined
  queueId?: number | null | undefined
  queueOffset?: number | null | undefined
  invisibleDuration?: DurationInit | null | undefined
  deliveryAttempt?: number | null | undefined
  messageGroup?: string | null | undefined
  traceContext?: string | null | undefined
  orphanedTransactionRecoveryDuration?: DurationInit | null | undefined
  deadLetterQueue?: DeadLetterQueueInit | null | undefined
  liteTopic?: string | null | undefined
  priority?: number | null | undefined
}
export declare const SystemProperties: Codec<SystemProperties, SystemPropertiesInit>

export interface DeadLetterQueue {
  readonly topic: string
  readonly messageId: string
}
export interface DeadLetterQueueInit {
  topic?: string | null | undefined
  messageId?: string | null | undefined
}
export declare const DeadLetterQueue: Codec<DeadLetterQueue, DeadLetterQueueInit>

export interface Message {
  readonly topic: Resource | null
  readonly userProperties: Readonly<Record<string, string>>
  readonly systemProperties: SystemProperties | null
  readonly body: Uint8Array
}
export interface MessageInit {
  topic?: ResourceInit | null | undefined
  userProperties?: Readonly<Record<string, string>> | null | undefined
  systemProperties?: SystemPropertiesInit | null | undefined
  body?: Uint8Array | null | undefined
}
export declare const Message: Codec<Message, MessageInit>

export interface Assignment {
  readonly messageQueue: MessageQueue | null
}
export interface AssignmentInit {
  messageQueue?: MessageQueueInit | null | undefined
}
export declare const Assignment: Codec<Assignment, AssignmentInit>

export interface Status {
  /** A value of `Code`, or a number this version does not know. */
  readonly code: number
  readonly message: string
}
export interface StatusInit {
  code?: number | null | undefined
  message?: string | null | undefined
}
export declare const Status: Codec<Status, StatusInit>

export interface UA {
  /** A value of `Language`, or a number this version does not know. */
  readonly language: number
  readonly version: string
  readonly platform: string
  readonly hostname: string
}
export interface UAInit {
  language?: number | null | undefined
  version?: string | null | undefined
  platform?: string | null | undefined
  hostname?: string | null | undefined
}
export declare const UA: Codec<UA, UAInit>

export interface Settings {
  /** A value of `ClientType`, or a number this version does not know. */
  readonly clientType: number | null
  readonly accessPoint: Endpoints | null
  readonly backoffPolicy: RetryPolicy | null
  readonly requestTimeout: Duration | null
  readonly publishing: Publishing | null
  readonly subscription: Subscription | null
  readonly userAgent: UA | null
  readonly metric: Metric | null
  readonly clientProperties: Readonly<Record<string, string>>
  /** Which of these is set. */
  readonly pubSub?: 'publishing' | 'subscription' | undefined
}
export interface SettingsInit {
  clientType?: number | null | undefined
  accessPoint?: EndpointsInit | null | undefined
  backoffPolicy?: RetryPolicyInit | null | undefined
  requestTimeout?: DurationInit | null | undefined
  publishing?: PublishingInit | null | undefined
  subscription?: SubscriptionInit | null | undefined
  userAgent?: UAInit | null | undefined
  metric?: MetricInit | null | undefined
  clientProperties?: Readonly<Record<string, string>> | null | undefined
}
export declare const Settings: Codec<Settings, SettingsInit>

export interface Publishing {
  readonly topics: readonly Resource[]
  readonly maxBodySize: number
  readonly validateMessageType: boolean
}
export interface PublishingInit {
  topics?: readonly ResourceInit[] | null | undefined
  maxBodySize?: number | null | undefined
  validateMessageType?: boolean | null | undefined
}
export declare const Publishing: Codec<Publishing, PublishingInit>

export interface Subscription {
  readonly group: Resource | null
  readonly subscriptions: readonly SubscriptionEntry[]
  readonly fifo: boolean | null
  readonly receiveBatchSize: number | null
  readonly longPollingTimeout: Duration | null
  readonly liteSubscriptionQuota: number | null
  readonly maxLiteTopicSize: number | null
}
export interface SubscriptionInit {
  group?: ResourceInit | null | undefined
  subscriptions?: readonly SubscriptionEntryInit[] | null | undefined
  fifo?: boolean | null | undefined
  receiveBatchSize?: number | null | undefined
  longPollingTimeout?: DurationInit | null | undefined
  liteSubscriptionQuota?: number | null | undefined
  maxLiteTopicSize?: number | null | undefined
}
export declare const Subscription: Codec<Subscription, SubscriptionInit>

export interface Metric {
  readonly on: boolean
  readonly endpoints: Endpoints | null
}
export interface MetricInit {
  on?: boolean | null | undefined
  endpoints?: EndpointsInit | null | undefined
}
export declare const Metric: Codec<Metric, MetricInit>

export interface OffsetOption {
  /** A value of `OffsetOption_Policy`, or a number this version does not know. */
  readonly policy: number | null
  readonly offset: number | null
  readonly tailN: number | null
  readonly timestamp: number | null
  /** Which of these is set. */
  readonly offsetType?: 'policy' | 'offset' | 'tailN' | 'timestamp' | undefined
}
export interface OffsetOptionInit {
  policy?: number | null | undefined
  offset?: number | null | undefined
  tailN?: number | null | undefined
  timestamp?: number | null | undefined
}
export declare const OffsetOption: Codec<OffsetOption, OffsetOptionInit>

export interface Duration {
  readonly seconds: number
  readonly nanos: number
}
export interface DurationInit {
  seconds?: number | null | undefined
  nanos?: number | null | undefined
}
export declare const Duration: Codec<Duration, DurationInit>

export interface Timestamp {
  readonly seconds: number
  readonly nanos: number
}
export interface TimestampInit {
  seconds?: number | null | undefined
  nanos?: number | null | undefined
}
export declare const Timestamp: Codec<Timestamp, TimestampInit>

export declare const MessagingService: {
  readonly typeName: 'apache.rocketmq.v2.MessagingService'
  readonly methods: {
    readonly queryRoute: {
      readonly kind: 'unary'
      readonly path: '/apache.rocketmq.v2.MessagingService/QueryRoute'
      readonly request: typeof QueryRouteRequest
      readonly response: typeof QueryRouteResponse
    }
    readonly heartbeat: {
      readonly kind: 'unary'
      readonly path: '/apache.rocketmq.v2.MessagingService/Heartbeat'
      readonly request: typeof HeartbeatRequest
      readonly response: typeof HeartbeatResponse
    }
    readonly sendMessage: {
      readonly kind: 'unary'
      readonly path: '/apache.rocketmq.v2.MessagingService/SendMessage'
      readonly request: typeof SendMessageRequest
      readonly response: typeof SendMessageResponse
    }
    readonly queryAssignment: {
      readonly kind: 'unary'
      readonly path: '/apache.rocketmq.v2.MessagingService/QueryAssignment'
      readonly request: typeof QueryAssignmentRequest
      readonly response: typeof QueryAssignmentResponse
    }
    readonly receiveMessage: {
      readonly kind: 'serverStream'
      readonly path: '/apache.rocketmq.v2.MessagingService/ReceiveMessage'
      readonly request: typeof ReceiveMessageRequest
      readonly response: typeof ReceiveMessageResponse
    }
    readonly ackMessage: {
      readonly kind: 'unary'
      readonly path: '/apache.rocketmq.v2.MessagingService/AckMessage'
      readonly request: typeof AckMessageRequest
      readonly response: typeof AckMessageResponse
    }
    readonly forwardMessageToDeadLetterQueue: {
      readonly kind: 'unary'
      readonly path: '/apache.rocketmq.v2.MessagingService/ForwardMessageToDeadLetterQueue'
      readonly request: typeof ForwardMessageToDeadLetterQueueRequest
      readonly response: typeof ForwardMessageToDeadLetterQueueResponse
    }
    readonly pullMessage: {
      readonly kind: 'serverStream'
      readonly path: '/apache.rocketmq.v2.MessagingService/PullMessage'
      readonly request: typeof PullMessageRequest
      readonly response: typeof PullMessageResponse
    }
    readonly updateOffset: {
      readonly kind: 'unary'
      readonly path: '/apache.rocketmq.v2.MessagingService/UpdateOffset'
      readonly request: typeof UpdateOffsetRequest
      readonly response: typeof UpdateOffsetResponse
    }
    readonly getOffset: {
      readonly kind: 'unary'
      readonly path: '/apache.rocketmq.v2.MessagingService/GetOffset'
      readonly request: typeof GetOffsetRequest
      readonly response: typeof GetOffsetResponse
    }
    readonly queryOffset: {
      readonly kind: 'unary'
      readonly path: '/apache.rocketmq.v2.MessagingService/QueryOffset'
      readonly request: typeof QueryOffsetRequest
      readonly response: typeof QueryOffsetResponse
    }
    readonly endTransaction: {
      readonly kind: 'unary'
      readonly path: '/apache.rocketmq.v2.MessagingService/EndTransaction'
      readonly request: typeof EndTransactionRequest
      readonly response: typeof EndTransactionResponse
    }
    readonly telemetry: {
      readonly kind: 'bidi'
      readonly path: '/apache.rocketmq.v2.MessagingService/Telemetry'
      readonly request: typeof TelemetryCommand
      readonly response: typeof TelemetryCommand
    }
    readonly notifyClientTermination: {
      readonly kind: 'unary'
      readonly path: '/apache.rocketmq.v2.MessagingService/NotifyClientTermination'
      readonly request: typeof NotifyClientTerminationRequest
      readonly response: typeof NotifyClientTerminationResponse
    }
    readonly changeInvisibleDuration: {
      readonly kind: 'unary'
      readonly path: '/apache.rocketmq.v2.MessagingService/ChangeInvisibleDuration'
      readonly request: typeof ChangeInvisibleDurationRequest
      readonly response: typeof ChangeInvisibleDurationResponse
    }
    readonly recallMessage: {
      readonly kind: 'unary'
      readonly path: '/apache.rocketmq.v2.MessagingService/RecallMessage'
      readonly request: typeof RecallMessageRequest
      readonly response: typeof RecallMessageResponse
    }
    readonly syncLiteSubscription: {
      readonly kind: 'unary'
      readonly path: '/apache.rocketmq.v2.MessagingService/SyncLiteSubscription'
      readonly request: typeof SyncLiteSubscriptionRequest
      readonly response: typeof SyncLiteSubscriptionResponse
    }
  }
}
