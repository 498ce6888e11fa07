/**
 * A real server for benchmarks: `bin/gantry.js up --json` over a temporary home on loopback, signed calls to it, and
 * what the kernel says about its two processes. `close` ends both, by their ids, and removes the home.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { Agent, request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { root } from './source.mjs'

const startLimitMs = 60_000
const firstInstancePort = 23_801

/**
 * What every benchmark creates: the largest specification that shares its process with others, so that no budget of
 * messages is met and a thousand instances are not a thousand processes.
 */
export const instanceRequest = {
  serviceCode: 'rmq',
  seriesCode: 'professional',
  subSeriesCode: 'cluster_ha',
  paymentType: 'PayAsYouGo',
  productInfo: { msgProcessSpec: 'rmq.p2.200xlarge', messageRetentionTime: 72 },
  networkInfo: {
    vpcInfo: { vpcId: 'vpc-bench', vSwitches: [{ vSwitchId: 'vsw-bench' }] },
    internetInfo: { internetSpec: 'disable', flowOutType: 'uninvolved' },
  },
  aclInfo: { defaultVpcAuthFree: true },
}

/** What a run that is broken off must still end and remove. */
const servers = new Set()
const folders = new Set()

export function temporaryHome() {
  const folder = mkdtempSync(path.join(tmpdir(), 'gantry-bench-'))
  folders.add(folder)
  return {
    home: path.join(folder, 'home'),
    remove() {
      rmSync(folder, { recursive: true, force: true })
      folders.delete(folder)
    },
  }
}

/** Ends servers and removes homes that a failed or interrupted measure left. */
export async function cleanUp() {
  for (const child of servers) await ended(child)
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
  folders.clear()
}

/** SIGTERM closes the broker process too. */
async function ended(child) {
  if (child.exitCode === null && child.signalCode === null) {
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
  servers.delete(child)
}

/** Starts a server of a built checkout on `home`; `wallMs` is from exec to the ready line. */
export async function startGantry(source, home, settings = {}, checkout = root) {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('GANTRY_')))
  const from = performance.now()
  const child = spawn(
    process.execPath,
    [path.join(checkout, 'bin/gantry.js'), 'up', '--json', '--home', home, '--port', '0'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      // Ctrl-C is ours to hear: a second signal would end the server before its broker process.
      detached: true,
      env: { ...env, GANTRY_LOG_LEVEL: 'error', GANTRY_FIRST_INSTANCE_PORT: String(firstInstancePort), ...settings },
    },
  )
  servers.add(child)
  const ready = await readyLine(child)
  const wallMs = performance.now() - from
  return {
    ready,
    wallMs,
    pids: {
      management: child.pid,
      /** Of the first of the pool; there once the first instance runs. */
      get broker() {
        return brokerPidOf(source, home)
      },
    },
    api: createApiClient(source, ready),
    /** Ends both processes in order. */
    stop: () => ended(child),
  }
}

/** The process writes who it is into the home's lock of its name. */
function brokerPidOf(source, home) {
  const folder = source.nameLockOf(home, '1')
  const newest = String(Math.max(...readdirSync(folder).map(Number)))
  return JSON.parse(readlinkSync(path.join(folder, newest))).pid
}

/** Of every broker process of the home. */
export function brokerPids(home) {
  const locks = path.join(home, 'brokers', 'locks')
  return readdirSync(locks)
    .filter((name) => name.startsWith('process '))
    .map((name) => path.join(locks, name))
    .map(
      (folder) => JSON.parse(readlinkSync(path.join(folder, String(Math.max(...readdirSync(folder).map(Number)))))).pid,
    )
}

async function readyLine(child) {
  let text = ''
  child.stdout.setEncoding('utf8')
  const timer = setTimeout(() => child.kill('SIGKILL'), startLimitMs)
  try {
    for await (const chunk of child.stdout) {
      text += chunk
      if (text.includes('\n')) return JSON.parse(text.slice(0, text.indexOf('\n')))
    }
  } finally {
    clearTimeout(timer)
  }
  throw new Error('The server ended without being ready.')
}

/** Runs `work` with a fresh server over an empty home, and leaves nothing behind. */
export async function withGantry(source, work, settings = {}) {
  const place = temporaryHome()
  const gantry = await startGantry(source, place.home, settings)
  try {
    return await work(gantry)
  } finally {
    gantry.api.close()
    await gantry.stop()
    place.remove()
  }
}

/** Signed calls over kept connections; a refusal is thrown. */
export function createApiClient(source, target) {
  const { signRequest } = source
  const url = new URL(target.apiUrl)
  const agent = new Agent({ keepAlive: true, maxSockets: 32, scheduling: 'fifo' })
  const credentials = { accessKeyId: target.accessKeyId, accessKeySecret: target.accessKeySecret }

  function call(action, method, requestPath, body = null) {
    const text = body === null ? null : JSON.stringify(body)
    const headers = signRequest(credentials, {
      method,
      target: requestPath,
      host: url.host,
      action,
      body: text,
      at: Date.now(),
      nonce: source.realRandom.uuid(),
      version: '2022-08-01',
    })
    if (text !== null) headers['content-length'] = String(Buffer.byteLength(text))
    return new Promise((resolve, reject) => {
      const request = httpRequest(
        { host: url.hostname, port: url.port, method, path: requestPath, headers, agent },
        (response) => {
          const chunks = []
          response.on('data', (chunk) => chunks.push(chunk))
          response.once('error', reject)
          response.once('end', () => {
            const reply = Buffer.concat(chunks).toString('utf8')
            if (response.statusCode !== 200) reject(new Error(`${action}: ${response.statusCode} ${reply}`))
            else resolve(JSON.parse(reply).data)
          })
        },
      )
      request.once('error', reject)
      request.end(text ?? undefined)
    })
  }

  const api = {
    call,
    createInstance: (changes = {}) => call('CreateInstance', 'POST', '/instances', { ...instanceRequest, ...changes }),
    getInstance: (id) => call('GetInstance', 'GET', `/instances/${id}`),
    listInstances: (page, size) => call('ListInstances', 'GET', `/instances?pageNumber=${page}&pageSize=${size}`),
    createTopic: (id, topic, messageType = 'NORMAL') =>
      call('CreateTopic', 'POST', `/instances/${id}/topics/${topic}`, { messageType }),
    getTopic: (id, topic) => call('GetTopic', 'GET', `/instances/${id}/topics/${topic}`),
    createGroup: (id, group, deliveryOrderType = 'Concurrently') =>
      call('CreateConsumerGroup', 'POST', `/instances/${id}/consumerGroups/${group}`, {
        deliveryOrderType,
        consumeRetryPolicy: { retryPolicy: 'DefaultRetryPolicy', maxRetryTimes: 16 },
      }),
    getMessage: (id, topic, messageId) =>
      call('GetMessageDetail', 'GET', `/instances/${id}/topics/${topic}/messages/${messageId}`),
    listMessages: (id, topic, query) =>
      call('ListMessages', 'GET', `/instances/${id}/topics/${topic}/messages?${queryOf(query)}`),
    getTrace: (id, topic, messageId) => call('GetTrace', 'GET', `/instances/${id}/topics/${topic}/traces/${messageId}`),
    getGroup: (id, group) => call('GetConsumerGroup', 'GET', `/instances/${id}/consumerGroups/${group}`),
    /** Asks every few milliseconds; the loop is a moment behind the reply. */
    async untilRunning(ask) {
      for (const end = performance.now() + 30_000; performance.now() < end; await sleep(3)) {
        const data = await ask()
        if (data.status === 'RUNNING') return data
      }
      throw new Error('Not running after 30 s.')
    },
    /** An instance with topics of one kind and groups, all running; answers its id and `host:port`. */
    async runningInstance({ topics = ['topic'], groups = ['group'], messageType, deliveryOrderType } = {}) {
      const id = await api.createInstance()
      const instance = await api.untilRunning(() => api.getInstance(id))
      await inLanes(16, topics, (topic) => api.createTopic(id, topic, messageType))
      await inLanes(16, groups, (group) => api.createGroup(id, group, deliveryOrderType))
      for (const topic of topics) await api.untilRunning(() => api.getTopic(id, topic))
      for (const group of groups) await api.untilRunning(() => api.getGroup(id, group))
      return { id, endpoint: endpointOf(instance) }
    },
    async manyInstances(count) {
      const ids = []
      await inLanes(16, Array.from({ length: count }), async () => ids.push(await api.createInstance()))
      for (const id of ids) await api.untilRunning(() => api.getInstance(id))
      return ids
    },
    close: () => agent.destroy(),
  }
  return api
}

const queryOf = (query) =>
  Object.entries(query)
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join('&')

export const endpointOf = (instance) => instance.networkInfo.endpoints[0].endpointUrl

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** Runs `work` over `items`, `count` at a time. */
export async function inLanes(count, items, work) {
  let next = 0
  const lane = async () => {
    while (next < items.length) {
      const index = next++
      await work(items[index], index)
    }
  }
  await Promise.all(Array.from({ length: count }, lane))
}

/** Runs `work(lane)` in lanes until the time is over; answers how often, and the time it took. */
export async function forSeconds(seconds, count, work) {
  const from = performance.now()
  const until = from + seconds * 1000
  let done = 0
  await Promise.all(
    Array.from({ length: count }, async (_, lane) => {
      while (performance.now() < until) {
        await work(lane)
        done++
      }
    }),
  )
  return { done, ms: performance.now() - from }
}

const ticksPerSecond = 100

/**
 * What `work` costs by the kernel's count: CPU of the broker process (all its threads) and of this one, in microseconds
 * for each of the units whose number `work` answers.
 */
export async function watched({ pids }, work) {
  const before = cpuMs(pids.broker)
  const own = process.cpuUsage()
  const from = performance.now()
  const done = await work()
  const ms = performance.now() - from
  const { user, system } = process.cpuUsage(own)
  const brokerMs = cpuMs(pids.broker) - before
  const ownMs = (user + system) / 1000
  return {
    done,
    ms,
    perSecond: (done / ms) * 1000,
    cpuMicros: (brokerMs * 1000) / done,
    ownMicros: (ownMs * 1000) / done,
    brokerMs,
    ownMs,
  }
}

/** `forSeconds`, watched. */
export const underLoad = (gantry, seconds, count, work) =>
  watched(gantry, async () => (await forSeconds(seconds, count, work)).done)

/** What the load client took, for the sentence that says it was not the bottleneck. */
export const clientShare = ({ ownMicros, ownMs, ms }) =>
  `load client ${Math.round(ownMicros)} µs (${Math.round((ownMs / ms) * 100)} % of a core)`

/** CPU time a process used so far, milliseconds, in steps of 10. */
export function cpuMs(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ')
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / ticksPerSecond
}

/** Resident memory of a process, MiB: all of it, and the part that maps files (shared between processes of one program). */
export function residentMb(pid) {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8')
  const mb = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) / 1024
  return { all: mb('VmRSS'), files: mb('RssFile') }
}
