// What the gRPC layer costs: calls a second and CPU a call (h2load, else the grpc-js client), load time of the generated
// code, memory per added idle port and per idle connection. `node bench/grpc.mjs [--json]`; the server runs in a process of its own.
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:http2'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
// Inside the checkout, so that packages left out of the bundle are found.
const work = path.join(root, 'node_modules', '.cache', 'bench-grpc')

async function main() {
  rmSync(work, { recursive: true, force: true })
  mkdirSync(work, { recursive: true })
  const serverFile = await bundle()
  const request = path.join(work, 'request.bin')
  const server = await start(serverFile, request)
  const results = { node: process.version, loadGeneratedMs: await loadTime() }
  try {
    // Memory first: after load, new objects hide in pages that were freed.
    results.idlePorts = await server.ask({ ports: 200 })
    results.idleConnections = await idleConnections(server, 500)
    results.unary = await unary(server, request)
    results.receive = await receive(server)
  } finally {
    server.process.disconnect()
    rmSync(work, { recursive: true, force: true })
  }
  console.log(process.argv.includes('--json') ? JSON.stringify(results) : results)
}

/** Milliseconds to load the generated code with its runtime, in a fresh process. */
async function loadTime() {
  const { build } = await import('esbuild')
  const outfile = path.join(work, 'gen.mjs')
  await build({
    entryPoints: [path.join(root, 'src/grpc/gen/index.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
  })
  const measure = `const from = performance.now(); await import(${JSON.stringify(outfile)}); console.log(performance.now() - from)`
  const runs = Array.from({ length: 5 }, () =>
    Number(spawnSync(process.execPath, ['--input-type=module', '-e', measure], { encoding: 'utf8' }).stdout),
  )
  return round(runs.sort((a, b) => a - b)[2])
}

/** SendMessage with a body of 1 KiB, answered at once. */
async function unary(server, request) {
  if (spawnSync('h2load', ['--version']).status !== 0)
    return { skipped: 'h2load is not here (apt-get install nghttp2-client)' }
  const load = (calls) => {
    const args = ['-n', String(calls), '-c', '4', '-m', '32', '-d', request]
    args.push('-H', 'content-type: application/grpc', '-H', 'te: trailers', '-H', 'x-mq-client-id: bench@1@0')
    args.push(`http://127.0.0.1:${server.ready.port}/apache.rocketmq.v2.MessagingService/SendMessage`)
    return spawnSync('h2load', args, { encoding: 'utf8' }).stdout
  }
  load(20_000)
  const calls = 60_000
  const before = await server.ask({ usage: true })
  const report = load(calls)
  const after = await server.ask({ usage: true })
  const failed = Number(/(\d+) failed/.exec(report)?.[1])
  return {
    callsPerSecond: Math.round(Number(/([\d.]+) req\/s/.exec(report)?.[1])),
    cpuMicrosPerCall: round((after.cpuMicros - before.cpuMicros) / calls),
    answeredOk: after.ok - before.ok,
    failed,
    serverRssMb: round(after.rss / 2 ** 20),
  }
}

/** One long stream of messages of 1 KiB, read by Node's own HTTP/2 client. */
async function receive(server) {
  const session = connect(`http://127.0.0.1:${server.ready.port}`, { settings: { initialWindowSize: 4 << 20 } })
  const messages = 200_000
  const before = await server.ask({ usage: true })
  const started = performance.now()
  const stream = session.request({
    ':method': 'POST',
    ':path': '/apache.rocketmq.v2.MessagingService/ReceiveMessage',
    'content-type': 'application/grpc',
    te: 'trailers',
  })
  stream.end(readFileSync(path.join(work, 'receive.bin')))
  stream.resume()
  await new Promise((resolve) => stream.on('close', resolve))
  const seconds = (performance.now() - started) / 1000
  const after = await server.ask({ usage: true })
  session.destroy()
  return {
    messagesPerSecond: Math.round(messages / seconds),
    cpuMicrosPerMessage: round((after.cpuMicros - before.cpuMicros) / messages),
  }
}

async function idleConnections(server, count) {
  const before = await server.ask({ usage: true })
  const sessions = await Promise.all(
    Array.from({ length: count }, async () => {
      const session = connect(`http://127.0.0.1:${server.ready.port}`)
      await new Promise((resolve) => session.once('remoteSettings', resolve))
      return session
    }),
  )
  const after = await server.ask({ usage: true })
  for (const session of sessions) session.destroy()
  return { connections: count, rssKbEach: round((after.rss - before.rss) / count / 1024) }
}

async function bundle() {
  const source = path.join(work, 'server.ts')
  writeFileSync(source, serverSource)
  const outfile = path.join(work, 'server.mjs')
  const { build } = await import('esbuild')
  await build({
    entryPoints: [source],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    logLevel: 'error',
  })
  return outfile
}

function start(serverFile, request) {
  const child = spawn(
    process.execPath,
    [
      '--expose-gc',
      ...(process.env.BENCH_NODE_FLAGS?.split(' ') ?? []),
      serverFile,
      request,
      path.join(work, 'receive.bin'),
    ],
    {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    },
  )
  const ask = (question) =>
    new Promise((resolve) => {
      child.once('message', resolve)
      child.send(question)
    })
  return new Promise((resolve) => child.once('message', (ready) => resolve({ process: child, ready, ask })))
}

const round = (value) => Math.round(value * 10) / 10

const serverSource = `
import { writeFileSync } from 'node:fs'
import { Gateway } from ${JSON.stringify(path.join(root, 'src/gateway/gateway.ts'))}
import { GrpcProtocol } from ${JSON.stringify(path.join(root, 'src/grpc/protocol.ts'))}
import { encodeFrame } from ${JSON.stringify(path.join(root, 'src/grpc/framing.ts'))}
import { implement } from ${JSON.stringify(path.join(root, 'src/grpc/transport.ts'))}
import { realClock } from ${JSON.stringify(path.join(root, 'src/world/real.ts'))}
import * as gen from ${JSON.stringify(path.join(root, 'src/grpc/gen/index.ts'))}

const [request, receive] = process.argv.slice(2)
const message = {
  topic: { name: 'bench-topic' },
  userProperties: { a: '1', region: 'cn-hangzhou', kind: 'order' },
  systemProperties: { tag: 'tag-a', keys: ['key-1'], messageId: '01A2B3C4D5E6F708091011121314151617', bodyEncoding: 1, messageType: 1, bornTimestamp: { seconds: 1790000000, nanos: 5000000 }, bornHost: 'bench' },
  body: Buffer.alloc(1024, 'x'),
}
writeFileSync(request, encodeFrame(gen.SendMessageRequest, { messages: [message] }))
writeFileSync(receive, encodeFrame(gen.ReceiveMessageRequest, { batchSize: 32 }))
const status = { code: 20000, message: 'OK' }
const handlers = Object.fromEntries(Object.keys(gen.MessagingService.methods).map((name) => [name, () => ({ status })]))
handlers.sendMessage = (call, { messages }) => ({ status, entries: messages.map((one) => ({ status, messageId: one.systemProperties.messageId, offset: 12345 })) })
handlers.receiveMessage = async (call) => {
  for (let i = 0; i < 200_000 && !call.signal.aborted; i++) if (!call.write({ message })) await call.drained()
}
const grpc = new GrpcProtocol({ services: [implement(gen.MessagingService, handlers)], clock: realClock, onError: console.error })
const host = new Gateway({ protocols: [grpc], clock: realClock, onError: console.error })
const { port } = await host.listen({ host: '127.0.0.1', port: 0, context: null })
process.on('disconnect', () => process.exit())
process.on('message', async ({ ports }) => {
  if (ports) {
    globalThis.gc()
    const before = process.memoryUsage()
    for (let i = 0; i < ports; i++) await host.listen({ host: '127.0.0.1', port: 0, context: { i } })
    globalThis.gc()
    const after = process.memoryUsage()
    const each = (name) => Math.round((after[name] - before[name]) / ports / 102.4) / 10
    process.send({ ports, rssKbEach: each('rss'), heapKbEach: each('heapUsed') })
    return
  }
  globalThis.gc()
  const { user, system } = process.cpuUsage()
  process.send({ cpuMicros: user + system, ok: grpc.stats().endedCalls[0], rss: process.memoryUsage().rss })
})
process.send({ port })
`

await main()
