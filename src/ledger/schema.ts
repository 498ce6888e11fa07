/**
 * The tables of the ledger: what is wanted, and what the loop last saw.
 *
 * One schema for SQLite and PostgreSQL: text, bigint (as number: all values are below 2^53) and
 * nothing else. Times are milliseconds since the epoch, flags are 0 or 1, structured values are JSON
 * text (`_json`), secrets are sealed (`_sealed`, see secrets.ts). A status is never a column: it is
 * computed from wanted and observed (lifecycle/status.ts).
 */
import type { Generated, Insertable, Selectable } from 'kysely'

export interface Schema {
  meta: MetaTable
  access_keys: AccessKeyTable
  ram_users: RamUserTable
  instances: InstanceTable
  topics: TopicTable
  consumer_groups: ConsumerGroupTable
  offset_resets: OffsetResetTable
  resting_ports: RestingPortTable
  instance_accounts: InstanceAccountTable
  instance_grants: InstanceGrantTable
  tags: TagTable
  client_tokens: ClientTokenTable
  used_nonces: UsedNonceTable
  changes: ChangeTable
}

export interface MetaTable {
  key: string
  value: string
}

/** Permanent keys of the account or a RAM user, and temporary ones (`STS.…`) with their token. */
export interface AccessKeyTable {
  access_key_id: string
  secret_sealed: string
  /** PEM of the RSA public key for ACS3-RSA-SHA256, or null. */
  public_key_pem: string | null
  owner_type: 'account' | 'user'
  /** RAM user name; null for the account's own keys. */
  user_name: string | null
  status: 'Active' | 'Inactive'
  /** Sealed security token of a temporary key, else null. */
  token_sealed: string | null
  expire_time_ms: number | null
  create_time_ms: number
}

export interface RamUserTable {
  user_name: string
  user_id: string
  create_time_ms: number
}

export interface InstanceTable {
  instance_id: string
  region_id: string
  instance_name: string
  remark: string | null
  service_code: string
  series_code: string
  sub_series_code: string
  payment_type: string
  commodity_code: string
  resource_group_id: string
  /** CreateInstance `productInfo` after defaults. */
  product_info_json: string
  /** CreateInstance `networkInfo` after defaults, exactly as it must be read back. */
  network_info_json: string
  acl_info_json: string
  /** Addresses and blocks that may connect to any endpoint, a JSON array; nobody when it is empty. */
  ip_whitelist_json: Generated<string>
  /** period, periodUnit, autoRenew, autoRenewPeriod of a subscription; `{}` otherwise. */
  billing_json: string
  maintain_time: string
  create_time_ms: number
  update_time_ms: number
  start_time_ms: number
  expire_time_ms: number
  release_time_ms: number
  /** `absent` once deleted or released; the row goes when the engine holds nothing any more. */
  wanted: 'present' | 'absent'
  /** Rises with every wanted change of the instance's own specification. */
  generation: number
  /** Rises with every wanted change of the instance or of anything in it; the loop's work list compares it. */
  revision: number
  /** Port of the VPC endpoint and of the public one; null until the loop has found them. */
  vpc_port: number | null
  internet_port: number | null
  /** Observed: generation the engine last reported in force, and why it is not, if it is not. */
  applied_generation: number
  applied_revision: number
  failure: string | null
}

export interface TopicTable {
  instance_id: string
  topic_name: string
  message_type: string
  remark: string | null
  max_send_tps: number | null
  lite_topic_expiration: number | null
  create_time_ms: number
  update_time_ms: number
  wanted: 'present' | 'absent'
  generation: number
  applied_generation: number
}

export interface ConsumerGroupTable {
  instance_id: string
  consumer_group_id: string
  delivery_order_type: string
  consume_retry_policy_json: string
  max_receive_tps: number | null
  remark: string | null
  message_model: string | null
  /** LITE topic the group is bound to, or null. */
  topic_name: string | null
  /** Lite consumers: one of them at a time has a lite topic. */
  exclusive: Generated<number>
  /** A client made it by using it, and nobody created or changed it since. */
  made_by_use: Generated<number>
  create_time_ms: number
  update_time_ms: number
  wanted: 'present' | 'absent'
  generation: number
  applied_generation: number
}

/** Ports of instances that are gone, and since when; at most one row a port of the machine. */
export interface RestingPortTable {
  port: number
  since_ms: number
}

/** A wanted move of a group's offsets in a topic; the loop deletes the row once the engine has carried it out. */
export interface OffsetResetTable {
  instance_id: string
  consumer_group_id: string
  topic_name: string
  /** Identifies the reset: the engine carries it out once, however often it receives it. */
  reset_id: string
  /** To the first message stored at this time or later; null to the end. */
  to_ms: number | null
  create_time_ms: number
}

export interface InstanceAccountTable {
  instance_id: string
  username: string
  password_sealed: string
  account_type: 'DEFAULT' | 'CUSTOMER'
  account_status: 'ENABLE' | 'DISABLE'
  remark: string | null
  create_time_ms: number
  update_time_ms: number
}

/** What one account may do, or must not do, with a topic or group, whether that exists or not. */
export interface InstanceGrantTable {
  instance_id: string
  username: string
  resource_type: 'Topic' | 'Group'
  resource_name: string
  /** A JSON array as it was sent: `["Pub","Sub"]` and `["Pub|Sub"]` mean the same and are read back as they are. */
  actions_json: string
  decision: 'Allow' | 'Deny'
  /** A JSON array of addresses and blocks; null when none was sent. */
  ip_whitelists_json: string | null
  create_time_ms: number
  update_time_ms: number
}

export interface TagTable {
  region_id: string
  resource_type: string
  resource_id: string
  tag_key: string
  tag_value: string
  create_time_ms: number
}

/** CreateInstance `clientToken`: the same token with the same request answers the same instance for 24 hours. */
export interface ClientTokenTable {
  operation: string
  region_id: string
  client_token: string
  /** SHA-256 of the request's canonical parameters. */
  fingerprint: string
  result_json: string
  create_time_ms: number
}

/** Signature nonces, so that a replay is refused after a restart too. */
export interface UsedNonceTable {
  nonce_key: string
  expire_time_ms: number
}

/** Every change with its cause. */
export interface ChangeTable {
  change_id: Generated<number>
  at_ms: number
  request_id: string
  /** `acs:ram::…` of the caller, or `system` for the loop. */
  principal: string
  action: string
  resource: string
  /** What changed, without secrets. */
  detail_json: string
}

export type Row<T extends keyof Schema> = Selectable<Schema[T]>
export type NewRow<T extends keyof Schema> = Insertable<Schema[T]>
