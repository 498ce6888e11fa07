/**
 * The ledger's tables, as an ordered list of up-migrations: the only place that creates or alters
 * them. A released migration is never edited; a change of the schema is a new entry at the end, with
 * schema.ts changed to match.
 *
 * One text serves both databases. Text sorts by its bytes on both (`collate "C"`), whole numbers are
 * 64 bits, nothing else is used. All pending migrations run in one transaction under a lock, so a
 * start that is killed leaves the database as it was.
 */
import { CompiledQuery, type DatabaseConnection } from 'kysely'
import { HomeError } from './errors.ts'

export interface Migration {
  readonly version: number
  readonly name: string
  statements(dialect: 'sqlite' | 'postgres'): readonly string[]
}

export const migrations: readonly Migration[] = [
  { version: 1, name: 'instances, topics, groups, accounts, keys, tags, tokens, nonces, changes', statements: first },
  { version: 2, name: 'IP whitelists of instances', statements: ipWhitelists },
  { version: 3, name: 'offset resets', statements: offsetResets },
  { version: 4, name: 'exclusive groups of lite consumers', statements: exclusiveGroups },
  { version: 5, name: 'groups made by use', statements: groupsMadeByUse },
  { version: 6, name: 'ports that rest', statements: restingPorts },
  { version: 7, name: 'grants of accounts', statements: grants },
]

/**
 * Brings the database to the program's version; answers how many migrations ran. `connection` is
 * inside a transaction, and no other program migrates meanwhile.
 * Refuses a database that a newer program wrote, or that holds somebody else's tables.
 */
export async function migrate(
  connection: DatabaseConnection,
  dialect: 'sqlite' | 'postgres',
  at: number,
  known: readonly Migration[] = migrations,
): Promise<number> {
  const applied = await appliedMigrations(connection, dialect)
  refuseUnknown(applied, known)
  const pending = known.slice(applied.length)
  for (const migration of pending) {
    for (const statement of migration.statements(dialect)) await run(connection, statement)
    const [version, name, time] = dialect === 'sqlite' ? ['?', '?', '?'] : ['$1', '$2', '$3']
    await run(
      connection,
      `insert into schema_migrations (version, name, at_ms) values (${version}, ${name}, ${time})`,
      [migration.version, migration.name, at],
    )
  }
  return pending.length
}

interface Applied {
  readonly version: number
  readonly name: string
}

async function appliedMigrations(
  connection: DatabaseConnection,
  dialect: 'sqlite' | 'postgres',
): Promise<readonly Applied[]> {
  const tables = (await select<{ name: string }>(connection, LIST_TABLES[dialect])).map((row) => row.name)
  if (!tables.includes('schema_migrations')) {
    if (tables.length > 0) {
      throw new HomeError(
        `The database holds tables that are not Gantry's (${tables.slice(0, 5).join(', ')}). Give Gantry an empty database, or another home.`,
      )
    }
    await run(connection, createMigrationTable(dialect))
    return []
  }
  return select<Applied>(connection, 'select version, name from schema_migrations order by version')
}

function refuseUnknown(applied: readonly Applied[], known: readonly Migration[]): void {
  for (const [index, { version, name }] of applied.entries()) {
    const mine = known[index]
    if (mine === undefined) {
      throw new HomeError(
        `The database was written by a newer Gantry (its schema has version ${applied.at(-1)?.version}, this program knows ${known.length}). Start the newer program, or use another home.`,
      )
    }
    if (mine.version !== version || mine.name !== name) {
      throw new HomeError(
        `The database has migration ${version} "${name}" where this program has ${mine.version} "${mine.name}": it is of another branch of Gantry. Use the program that made it, or another home.`,
      )
    }
  }
}

const LIST_TABLES = {
  sqlite: `select name from sqlite_schema where type = 'table' and name not like 'sqlite\\_%' escape '\\' order by name`,
  postgres: `select tablename::text as name from pg_tables where schemaname = current_schema() order by tablename`,
}

async function run(connection: DatabaseConnection, sql: string, values: unknown[] = []): Promise<void> {
  await connection.executeQuery(CompiledQuery.raw(sql, values))
}

async function select<R>(connection: DatabaseConnection, sql: string): Promise<R[]> {
  return (await connection.executeQuery<R>(CompiledQuery.raw(sql))).rows
}

function createMigrationTable(dialect: 'sqlite' | 'postgres'): string {
  const { text, whole, table } = words(dialect)
  return `create table schema_migrations (version ${whole} primary key, name ${text} not null, at_ms ${whole} not null)${table}`
}

/** Type names in which the databases differ. */
function words(dialect: 'sqlite' | 'postgres') {
  return dialect === 'sqlite'
    ? {
        text: 'text',
        whole: 'integer',
        counted: 'integer primary key autoincrement',
        table: ' strict',
        keyed: ' strict, without rowid',
      }
    : {
        text: 'text collate "C"',
        whole: 'bigint',
        counted: 'bigint generated always as identity primary key',
        table: '',
        keyed: '',
      }
}

function first(dialect: 'sqlite' | 'postgres'): readonly string[] {
  const { text, whole, counted, table, keyed } = words(dialect)
  return [
    `create table meta (key ${text} primary key, value ${text} not null)${keyed}`,

    `create table ram_users (
      user_name ${text} primary key,
      user_id ${text} not null unique,
      create_time_ms ${whole} not null
    )${keyed}`,

    `create table access_keys (
      access_key_id ${text} primary key,
      secret_sealed ${text} not null,
      public_key_pem ${text},
      owner_type ${text} not null check (owner_type in ('account', 'user')),
      user_name ${text} references ram_users (user_name),
      status ${text} not null check (status in ('Active', 'Inactive')),
      token_sealed ${text},
      expire_time_ms ${whole},
      create_time_ms ${whole} not null
    )${keyed}`,
    `create index access_keys_by_user on access_keys (user_name)`,
    `create index access_keys_by_expiry on access_keys (expire_time_ms) where expire_time_ms is not null`,

    `create table instances (
      instance_id ${text} primary key,
      region_id ${text} not null,
      instance_name ${text} not null,
      remark ${text},
      service_code ${text} not null,
      series_code ${text} not null,
      sub_series_code ${text} not null,
      payment_type ${text} not null,
      commodity_code ${text} not null,
      resource_group_id ${text} not null,
      product_info_json ${text} not null,
      network_info_json ${text} not null,
      acl_info_json ${text} not null,
      billing_json ${text} not null,
      maintain_time ${text} not null,
      create_time_ms ${whole} not null,
      update_time_ms ${whole} not null,
      start_time_ms ${whole} not null,
      expire_time_ms ${whole} not null,
      release_time_ms ${whole} not null,
      wanted ${text} not null check (wanted in ('present', 'absent')),
      generation ${whole} not null,
      revision ${whole} not null,
      vpc_port ${whole},
      internet_port ${whole},
      applied_generation ${whole} not null,
      applied_revision ${whole} not null,
      failure ${text}
    )${table}`,
    // ListInstances: a page is a range of this index, and its filters and total are answered from the index alone.
    `create index instances_by_region on instances
      (region_id, wanted, create_time_ms, instance_id, instance_name, series_code, resource_group_id)`,
    // The loop's work list: only rows that the loop has to look at are in it.
    `create index instances_pending on instances (instance_id) where applied_revision < revision`,
    `create index instances_by_expiry on instances (expire_time_ms)`,
    `create index instances_by_release on instances (release_time_ms)`,

    `create table topics (
      instance_id ${text} not null references instances (instance_id) on delete cascade,
      topic_name ${text} not null,
      message_type ${text} not null,
      remark ${text},
      max_send_tps ${whole},
      lite_topic_expiration ${whole},
      create_time_ms ${whole} not null,
      update_time_ms ${whole} not null,
      wanted ${text} not null check (wanted in ('present', 'absent')),
      generation ${whole} not null,
      applied_generation ${whole} not null,
      primary key (instance_id, topic_name)
    )${keyed}`,
    `create index topics_by_time on topics (instance_id, wanted, create_time_ms, topic_name)`,

    `create table consumer_groups (
      instance_id ${text} not null references instances (instance_id) on delete cascade,
      consumer_group_id ${text} not null,
      delivery_order_type ${text} not null,
      consume_retry_policy_json ${text} not null,
      max_receive_tps ${whole},
      remark ${text},
      message_model ${text},
      topic_name ${text},
      create_time_ms ${whole} not null,
      update_time_ms ${whole} not null,
      wanted ${text} not null check (wanted in ('present', 'absent')),
      generation ${whole} not null,
      applied_generation ${whole} not null,
      primary key (instance_id, consumer_group_id)
    )${keyed}`,
    `create index consumer_groups_by_time on consumer_groups (instance_id, wanted, create_time_ms, consumer_group_id)`,

    `create table instance_accounts (
      instance_id ${text} not null references instances (instance_id) on delete cascade,
      username ${text} not null,
      password_sealed ${text} not null,
      account_type ${text} not null check (account_type in ('DEFAULT', 'CUSTOMER')),
      account_status ${text} not null check (account_status in ('ENABLE', 'DISABLE')),
      remark ${text},
      create_time_ms ${whole} not null,
      update_time_ms ${whole} not null,
      primary key (instance_id, username)
    )${keyed}`,

    `create table tags (
      region_id ${text} not null,
      resource_type ${text} not null,
      resource_id ${text} not null,
      tag_key ${text} not null,
      tag_value ${text} not null,
      create_time_ms ${whole} not null,
      primary key (region_id, resource_type, resource_id, tag_key)
    )${keyed}`,
    `create index tags_by_value on tags (region_id, resource_type, tag_key, tag_value, resource_id)`,

    `create table client_tokens (
      operation ${text} not null,
      region_id ${text} not null,
      client_token ${text} not null,
      fingerprint ${text} not null,
      result_json ${text} not null,
      create_time_ms ${whole} not null,
      primary key (operation, region_id, client_token)
    )${keyed}`,
    `create index client_tokens_by_time on client_tokens (create_time_ms)`,

    `create table used_nonces (nonce_key ${text} primary key, expire_time_ms ${whole} not null)${keyed}`,
    `create index used_nonces_by_expiry on used_nonces (expire_time_ms)`,

    `create table changes (
      change_id ${counted},
      at_ms ${whole} not null,
      request_id ${text} not null,
      principal ${text} not null,
      action ${text} not null,
      resource ${text} not null,
      detail_json ${text} not null
    )${table}`,
    `create index changes_by_resource on changes (resource, change_id)`,
  ]
}

/** Until its owner says otherwise an instance lets everyone in. */
function ipWhitelists(dialect: 'sqlite' | 'postgres'): readonly string[] {
  const { text } = words(dialect)
  return [`alter table instances add column ip_whitelist_json ${text} not null default '["0.0.0.0/0"]'`]
}

function exclusiveGroups(dialect: 'sqlite' | 'postgres'): readonly string[] {
  const { whole } = words(dialect)
  return [`alter table consumer_groups add column exclusive ${whole} not null default 0`]
}

/** Wanted, and gone once carried out; a newer one for the same group and topic takes the place of the older. */
function restingPorts(dialect: 'sqlite' | 'postgres'): readonly string[] {
  const { whole, keyed } = words(dialect)
  return [
    `create table resting_ports (
      port ${whole} not null primary key,
      since_ms ${whole} not null
    )${keyed}`,
  ]
}

function offsetResets(dialect: 'sqlite' | 'postgres'): readonly string[] {
  const { text, whole, keyed } = words(dialect)
  return [
    `create table offset_resets (
      instance_id ${text} not null references instances (instance_id) on delete cascade,
      consumer_group_id ${text} not null,
      topic_name ${text} not null,
      reset_id ${text} not null,
      to_ms ${whole},
      create_time_ms ${whole} not null,
      primary key (instance_id, consumer_group_id, topic_name)
    )${keyed}`,
  ]
}

function groupsMadeByUse(dialect: 'sqlite' | 'postgres'): readonly string[] {
  const { whole } = words(dialect)
  return [`alter table consumer_groups add column made_by_use ${whole} not null default 0`]
}

function grants(dialect: 'sqlite' | 'postgres'): readonly string[] {
  const { text, whole, keyed } = words(dialect)
  return [
    `create table instance_grants (
      instance_id ${text} not null,
      username ${text} not null,
      resource_type ${text} not null check (resource_type in ('Topic', 'Group')),
      resource_name ${text} not null,
      actions_json ${text} not null,
      decision ${text} not null check (decision in ('Allow', 'Deny')),
      ip_whitelists_json ${text},
      create_time_ms ${whole} not null,
      update_time_ms ${whole} not null,
      primary key (instance_id, username, resource_type, resource_name),
      foreign key (instance_id, username) references instance_accounts (instance_id, username) on delete cascade
    )${keyed}`,
  ]
}
