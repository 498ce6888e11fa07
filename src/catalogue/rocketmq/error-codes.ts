/**
 * The codes with which operations refuse, as data for documents and tests: status, what it means, and whether the
 * vendor publishes the code. Besides these, every parameter has `Missing{Name}` and `Invalid{Name}` (400), and the
 * API's pipeline answers for signature, permission and rate before an operation is reached.
 */

export interface ErrorCode {
  readonly httpStatus: number
  readonly meaning: string
  /** `official`: the vendor's error page, SDK or a live answer. `inferred`: formed after its patterns. */
  readonly source: 'official' | 'inferred'
}

export const errorCodes: Readonly<Record<string, ErrorCode>> = {
  'Instance.NotFound': official(404, 'The instance does not exist, or belongs to someone else.'),
  'InstanceStatus.Error': inferred(400, 'The state of the instance forbids the operation.'),
  'OrderType.NotSupport': official(400, 'A subscription cannot be released by this call.'),
  'Topic.NotFound': official(404, 'The topic does not exist.'),
  'Topic.Existed': official(400, 'A topic of that name exists.'),
  'ConsumerGroup.NotFound': official(404, 'The consumer group does not exist.'),
  'ConsumerGroup.Existed': inferred(400, 'A consumer group of that id exists.'),
  'InstanceAccount.NotExisted': official(404, 'The account does not exist.'),
  'InstanceAccount.Existed': inferred(400, 'An account of that name exists.'),
  'InstanceAcl.NotExisted': official(404, 'The grant does not exist.'),
  'InstanceAcl.Existed': inferred(400, 'A grant for that account and resource exists.'),
  'InstanceIpOrCidr.NotExisted': official(404, 'The whitelist has no such entry.'),
  'InstanceIpOrCidr.Existed': inferred(400, 'The whitelist has the entry already.'),
  'Message.NotFound': inferred(404, 'No message of that id is stored.'),
  'DisasterRecoveryPlan.NotFound': inferred(404, 'The replication plan does not exist.'),
  'DisasterRecoveryPlanStatus.Error': official(400, 'The state of the plan forbids the operation.'),
  'DisasterRecoveryItem.NotFound': inferred(404, 'The plan has no such item.'),
  'DisasterRecoveryItemStatus.Error': official(400, 'The state of the item forbids the operation.'),
  'Migration.NotFound': inferred(404, 'The migration, its stage or its step does not exist.'),
  InvalidMsgProcessSpec: official(400, 'The specification is unknown, or belongs to another edition.'),
  InvalidConsumerGroupId: official(400, 'The id breaks the rules for names.'),
  InvalidDeliveryOrderType: official(400, 'The order is not allowed, or not with this retry policy.'),
  IdempotentParameterMismatch: inferred(400, 'The client token was used with other parameters.'),
  'QuotaExceeded.Topic': inferred(400, 'The instance has all the topics its specification allows.'),
  'QuotaExceeded.ConsumerGroup': inferred(400, 'The instance has all the groups its specification allows.'),
  'QuotaExceeded.InstanceAccount': inferred(400, 'The instance has all the accounts it may have.'),
  'QuotaExceeded.InstanceAcl': inferred(400, 'The instance has all the grants it may have.'),
  NotImplemented: inferred(501, 'Part of the API, and not yet carried out by this version.'),
}

function official(httpStatus: number, meaning: string): ErrorCode {
  return { httpStatus, meaning, source: 'official' }
}

function inferred(httpStatus: number, meaning: string): ErrorCode {
  return { httpStatus, meaning, source: 'inferred' }
}
