/**
 * A CPU profile of a running Node process that knows nothing of it: SIGUSR1 opens its inspector on loopback, and this
 * speaks the little of WebSocket that the inspector needs. One process of the machine at a time can have it (port 9229).
 */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'

const port = 9229
const limitMs = 10_000

/** Runs `work` while the process is sampled; answers its profile, or throws when the inspector cannot be had. */
export async function profiled(pid, work, intervalMicros = 500) {
  if (await targetOn(port)) throw new Error(`Port ${port} is taken by another inspector.`)
  process.kill(pid, 'SIGUSR1')
  const session = await open(await within(untilTarget()))
  try {
    await session.ask('Profiler.enable')
    await session.ask('Profiler.setSamplingInterval', { interval: intervalMicros })
    await session.ask('Profiler.start')
    await work()
    return (await session.ask('Profiler.stop')).profile
  } finally {
    // The process goes on with an open inspector; it belongs to the measure, and ends with it.
    session.close()
  }
}

/** Has a process collect all its garbage, so that what it holds then is held for a reason. */
export async function collectGarbage(pid) {
  process.kill(pid, 'SIGUSR1')
  const session = await open(await within(untilTarget()))
  try {
    await session.ask('HeapProfiler.enable')
    await session.ask('HeapProfiler.collectGarbage')
  } finally {
    session.close()
  }
}

/** Evaluates an expression in a process that knows nothing of it; answers its value. The expression closes the inspector. */
export async function told(pid, expression) {
  for (let tries = 0; await targetOn(port); tries++) {
    if (tries === 60) throw new Error(`Port ${port} is taken by another inspector.`)
    await new Promise((resolve) => setTimeout(resolve, 1_000))
  }
  process.kill(pid, 'SIGUSR1')
  const session = await open(await within(untilTarget()))
  try {
    const { result, exceptionDetails } = await session.ask('Runtime.evaluate', { expression, returnByValue: true })
    if (exceptionDetails)
      throw new Error(`The process refused the expression: ${exceptionDetails.exception.description}`)
    return result.value
  } finally {
    session.close()
  }
}

async function untilTarget() {
  for (;;) {
    const target = await targetOn(port)
    if (target) return target
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

async function targetOn(wanted) {
  try {
    const answer = await fetch(`http://127.0.0.1:${wanted}/json/list`, { signal: AbortSignal.timeout(1_000) })
    return (await answer.json())[0]?.webSocketDebuggerUrl ?? null
  } catch {
    return null
  }
}

async function open(address) {
  const url = new URL(address)
  const socket = connect(Number(url.port), url.hostname)
  await within(once(socket, 'connect'))
  const key = randomBytes(16).toString('base64')
  socket.write(
    `GET ${url.pathname} HTTP/1.1\r\nHost: ${url.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
  )
  const expected = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  const asked = new Map()
  let bytes = Buffer.alloc(0)
  let upgraded = false
  let onUpgrade = () => {}
  const upgrade = new Promise((resolve) => {
    onUpgrade = resolve
  })
  const parts = []
  socket.on('data', (chunk) => {
    bytes = Buffer.concat([bytes, chunk])
    if (!upgraded) {
      const end = bytes.indexOf('\r\n\r\n')
      if (end < 0) return
      if (!bytes.subarray(0, end).toString('latin1').includes(expected)) socket.destroy()
      bytes = bytes.subarray(end + 4)
      upgraded = true
      onUpgrade()
    }
    for (let frame = frameIn(bytes); frame; frame = frameIn(bytes)) {
      bytes = bytes.subarray(frame.end)
      parts.push(frame.payload)
      if (!frame.last) continue
      const message = JSON.parse(Buffer.concat(parts.splice(0)).toString('utf8'))
      asked.get(message.id)?.(message)
      asked.delete(message.id)
    }
  })
  socket.on('error', () => socket.destroy())
  await within(upgrade)
  let ids = 0
  return {
    ask(method, params = {}) {
      const id = ++ids
      const answer = new Promise((resolve, reject) => {
        asked.set(id, ({ result, error }) => (error ? reject(new Error(error.message)) : resolve(result)))
        socket.once('close', () => reject(new Error('The process closed its inspector.')))
      })
      socket.write(frameOf(JSON.stringify({ id, method, params })))
      return within(answer)
    },
    close: () => socket.destroy(),
  }
}

/** A masked text frame, as a client must send it. */
function frameOf(text) {
  const payload = Buffer.from(text)
  const header = payload.length < 126 ? Buffer.alloc(2) : Buffer.alloc(4)
  header[0] = 0x81
  if (payload.length < 126) header[1] = 0x80 | payload.length
  else {
    header[1] = 0x80 | 126
    header.writeUInt16BE(payload.length, 2)
  }
  // A mask of zeros leaves the payload as it is.
  return Buffer.concat([header, Buffer.alloc(4), payload])
}

function frameIn(bytes) {
  if (bytes.length < 2) return null
  let length = bytes[1] & 0x7f
  let at = 2
  if (length === 126) {
    if (bytes.length < 4) return null
    length = bytes.readUInt16BE(2)
    at = 4
  } else if (length === 127) {
    if (bytes.length < 10) return null
    length = Number(bytes.readBigUInt64BE(2))
    at = 10
  }
  return bytes.length < at + length
    ? null
    : { last: (bytes[0] & 0x80) !== 0, payload: bytes.subarray(at, at + length), end: at + length }
}

function within(work) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('The inspector does not answer.')), limitMs)
    work.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
