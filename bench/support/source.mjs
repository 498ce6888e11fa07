/**
 * The parts of src/ that benchmarks use from outside the server: signing, the wire's codecs, the link to the
 * broker process, the ledger. Bundled once a run, inside the checkout so that packages left out are found.
 */
import { mkdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

export const root = path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url))))
const folder = path.join(root, 'node_modules', '.cache', 'gantry-bench', String(process.pid))

const parts = `
export { signRequest, requestTarget, fillPath } from './src/iam/sign.ts'
export * as gen from './src/grpc/gen/rocketmq.js'
export { connectToHost } from './src/engines/embedded/link.ts'
export { nameLockOf } from './src/engines/embedded/paths.ts'
export { realClock, realRandom, realWorld } from './src/world/real.ts'
export { BrokerHost } from './src/engines/embedded/host.ts'
export { openBroker } from './src/broker/shell/open.ts'
export { parseFilter } from './src/broker/protocols/grpc/consumer/filter.ts'
export { encodeStored } from './src/broker/messages/stored-message.ts'
`

/** A small server of the management API over a ledger filled with instances, without an engine. */
const filledApi = `
import { createApi } from './src/api/server.ts'
import { noPolicies } from './src/iam/authorize.ts'
import { ledgerKeyRing } from './src/iam/key-ring.ts'
import { openLedgerNonces } from './src/iam/ledger-nonces.ts'
import { ensureAccountKey } from './src/ledger/access-keys.ts'
import { insertAccount } from './src/ledger/accounts.ts'
import { insertInstance } from './src/ledger/instances.ts'
import { openLedger } from './src/ledger/open.ts'
import { putTags } from './src/ledger/tags.ts'
import { silentLog } from './src/observability/log.ts'
import { wantedInstance } from './src/resources/rocketmq/wanted-instance.ts'
import { products } from './src/resources/index.ts'
import { realWorld } from './src/world/real.ts'

const [home, count, request] = process.argv.slice(2)
const world = realWorld()
const { clock, random } = world
const ledger = await openLedger({ home, databaseUrl: null, world, log: silentLog })
const accountId = '1000000000000001'
const accessKeyId = 'bench-key'
const accessKeySecret = 'bench-secret'
const cause = () => ({ at: clock.now(), requestId: random.uuid(), principal: 'system', action: 'Bench' })
const engine = { name: 'none', messageTypes: ['NORMAL'], orderlyGroups: false, storageEncryption: true }
const settings = { accountId, defaultRegionId: 'cn-hangzhou', regionIds: ['cn-hangzhou'], timeZoneOffsetMinutes: 480, advertisedHost: null, softwareVersion: 'gantry-bench' }

await ledger.change(cause(), ({ tx }) =>
  ensureAccountKey(tx, ledger.secrets, { random, at: clock.now(), wanted: { accessKeyId, secret: accessKeySecret } }))
for (let from = 0; from < Number(count); from += 200) {
  await ledger.change(cause(), async ({ tx }) => {
    for (let i = from; i < Math.min(from + 200, Number(count)); i++) await insertOne(tx, i)
  })
}

async function insertOne(tx, i) {
  const at = clock.now() - (Number(count) - i) * 1000
  const id = 'rmq-cn-' + i.toString(36).padStart(11, '0')
  const { columns } = wantedInstance(JSON.parse(request), { at, regionId: 'cn-hangzhou', accountId, zoneMinutes: 480, engine })
  await insertInstance(tx, { instance_id: id, ...columns, instance_name: 'name-' + i, vpc_port: 10000 + (i % 50000), applied_generation: 1, applied_revision: 1 })
  await putTags(tx, { regionId: 'cn-hangzhou', instanceId: id, at }, [{ key: 'team', value: 'team-' + (i % 50) }])
  const common = { instance_id: id, remark: null, create_time_ms: at, update_time_ms: at, wanted: 'present', generation: 1, applied_generation: 1 }
  await tx.insertInto('topics').values({ ...common, topic_name: 'topic', message_type: 'NORMAL', max_send_tps: null, lite_topic_expiration: null }).execute()
  await tx.insertInto('consumer_groups').values({ ...common, consumer_group_id: 'group', delivery_order_type: 'Concurrently', consume_retry_policy_json: '{}', max_receive_tps: null, message_model: null, topic_name: null }).execute()
}

const api = createApi({
  products,
  services: { world, ledger, settings, engine, wake() {}, usage: async () => null },
  keyRing: ledgerKeyRing({ ledger, accountId, clock }),
  nonces: await openLedgerNonces({ ledger, clock, onError: console.error }),
  policies: noPolicies,
  limits: { readsPerSecond: null, writesPerSecond: null },
  log: silentLog,
  version: 'bench',
})
const { port } = await api.listen('127.0.0.1', 0)
process.send({ apiUrl: 'http://127.0.0.1:' + port, region: 'cn-hangzhou', accessKeyId, accessKeySecret })
process.on('disconnect', () => process.exit(0))
`

/** Answers the parts, and the file of the filled API's server. */
export async function loadSource() {
  mkdirSync(folder, { recursive: true })
  const bundle = async (contents, name) => {
    const outfile = path.join(folder, name)
    await build({
      stdin: { contents, resolveDir: root, sourcefile: name, loader: 'ts' },
      outfile,
      bundle: true,
      platform: 'node',
      target: 'node20',
      format: 'esm',
      external: ['node-sqlite3-wasm', 'pg', 'pg-native', 'selfsigned', 'node:sqlite'],
      banner: {
        js: "import { createRequire as __r } from 'node:module'; const require = __r(import.meta.url);",
      },
      logLevel: 'error',
    })
    return outfile
  }
  const [partsFile, filledApiFile] = await Promise.all([
    bundle(parts, 'parts.mjs'),
    bundle(filledApi, 'filled-api.mjs'),
  ])
  return { ...(await import(pathToFileURL(partsFile).href)), filledApiFile }
}

export function removeSource() {
  rmSync(folder, { recursive: true, force: true })
}
