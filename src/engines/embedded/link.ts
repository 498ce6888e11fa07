/**
 * Calls to the broker host over a Unix socket: one JSON object a line, `{id, method, params}` one way,
 * `{id, result}` or `{id, error}` back. The socket lies in a folder of ours alone (socket-folder.ts) and is the only way in.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { EngineError } from '../../model/refusals.ts'
import type { Clock } from '../../world/world.ts'
import { type HostApi, hostMethods } from './host-api.ts'

/** A link to a host; dead once `onClose` was called. */
export interface HostLink {
  readonly host: HostApi
  onClose(listener: () => void): void
  close(): void
}

/** A call that takes longer fails as unavailable; opening an instance with a long log is the slowest. */
const callLimitMs = 60_000
const maxLineBytes = 64 * 1024 * 1024

interface Waiting {
  resolve(value: unknown): void
  reject(error: Error): void
  cancelLimit(): void
}

/** Connects to the host's socket; rejects when nobody listens there. */
export function connectToHost(socketPath: string, clock: Clock): Promise<HostLink> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath)
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve(linkOver(socket, clock))
    })
  })
}

function linkOver(socket: Socket, clock: Clock): HostLink {
  const waiting = new Map<number, Waiting>()
  const listeners: Array<() => void> = []
  let nextId = 1

  onLines(socket, (line) => {
    const answer = parsed(socket, line) as {
      id: number
      result?: unknown
      error?: { code: string; message: string }
    } | null
    if (answer === null) return
    const call = waiting.get(answer.id)
    if (call === undefined) return
    waiting.delete(answer.id)
    call.cancelLimit()
    if (answer.error === undefined) call.resolve(answer.result)
    else call.reject(new EngineError(answer.error.code as EngineError['code'], answer.error.message))
  })
  // The close that follows says all there is to say.
  socket.on('error', () => {})
  socket.once('close', () => {
    for (const call of waiting.values()) {
      call.cancelLimit()
      call.reject(new EngineError('unavailable', 'The broker process ended while it carried out the request.'))
    }
    waiting.clear()
    for (const listener of listeners) listener()
  })

  function call(method: string, params: unknown): Promise<unknown> {
    if (socket.destroyed) return Promise.reject(new EngineError('unavailable', 'The broker process is not connected.'))
    const id = nextId++
    return new Promise((resolve, reject) => {
      const cancelLimit = clock.after(callLimitMs, () => {
        waiting.delete(id)
        reject(
          new EngineError('unavailable', `The broker process did not answer ${method} within ${callLimitMs / 1000} s.`),
        )
      })
      waiting.set(id, { resolve, reject, cancelLimit })
      socket.write(`${JSON.stringify({ id, method, params })}\n`)
    })
  }

  const host = Object.fromEntries(
    hostMethods.map((method) => [method, (params: unknown) => call(method, params ?? null)]),
  )
  return {
    host: host as unknown as HostApi,
    onClose: (listener) => listeners.push(listener),
    close: () => socket.destroy(),
  }
}

/** Serves a host on the socket path. Resolves when it listens. */
export function serveHost(socketPath: string, host: HostApi, onLinks: (open: number) => void): Promise<Server> {
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    open.add(socket)
    onLinks(open.size)
    socket.on('error', () => {})
    socket.once('close', () => {
      open.delete(socket)
      onLinks(open.size)
    })
    onLines(socket, (line) => void answer(socket, host, line))
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(socketPath, () => resolve(server))
  })
}

async function answer(socket: Socket, host: HostApi, line: string): Promise<void> {
  const request = parsed(socket, line) as { id: number; method: keyof HostApi; params: never } | null
  if (request === null) return
  const { id, method, params } = request
  let reply: unknown
  try {
    if (!hostMethods.includes(method))
      throw new EngineError('unsupported', `The broker process has no method ${method}.`)
    reply = { id, result: (await host[method](params)) ?? null }
  } catch (error) {
    const known = error instanceof EngineError
    reply = { id, error: { code: known ? error.code : 'failed', message: (error as Error).message } }
  }
  socket.write(`${JSON.stringify(reply)}\n`)
}

/** Null, and the end of the link, for what is no object. The text is not repeated anywhere: it may hold secrets. */
function parsed(socket: Socket, line: string): object | null {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value === 'object' && value !== null) return value
  } catch {
    // Said by closing.
  }
  socket.destroy()
  return null
}

function onLines(socket: Socket, take: (line: string) => void): void {
  let kept: Buffer[] = []
  let keptBytes = 0
  socket.on('data', (chunk: Buffer) => {
    let rest = chunk
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      const line = Buffer.concat([...kept, rest.subarray(0, end)])
      kept = []
      keptBytes = 0
      rest = rest.subarray(end + 1)
      take(line.toString('utf8'))
    }
    if (rest.length === 0) return
    kept.push(rest)
    keptBytes += rest.length
    if (keptBytes > maxLineBytes) socket.destroy()
  })
}
