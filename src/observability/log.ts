/**
 * The log: one JSON object a line, with fields chosen by whoever writes and never a secret, a signature, a header,
 * a body or a query string. Errors are written as `err` with their whole chain of causes.
 *
 * Members whose names suggest a secret are blanked as well; callers must still not pass one.
 */
import { type DestinationStream, destination, pino } from 'pino'
import type { Clock } from '../world/world.ts'

export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface ClosableLog extends Log {
  /** Writes out what is buffered; call before the process ends. */
  flush(): void
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

export interface LogOptions {
  readonly clock: Clock
  readonly level: LogLevel
  /** A stream, a file descriptor or a file; stderr by default, because stdout belongs to the ready line. */
  readonly to?: DestinationStream | number | string
}

export function createLog({ clock, level, to = 2 }: LogOptions): ClosableLog {
  const stream = typeof to === 'object' ? to : destination({ dest: to, sync: true })
  const logger = pino(
    {
      level,
      base: null,
      timestamp: () => `,"time":"${new Date(clock.now()).toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError },
      redact: { paths: SECRET_MEMBERS.flatMap((name) => [name, `*.${name}`]), censor: '[secret]' },
    },
    stream,
  )
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    flush: () => logger.flush(),
  }
}

/** For tests and tools that want no log. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} }

const SECRET_MEMBERS = ['secret', 'accessKeySecret', 'password', 'securityToken', 'token', 'authorization', 'signature']
const MAX_CAUSES = 8

interface DescribedError {
  readonly type: string
  readonly message: string
  readonly code?: unknown
  readonly stack?: string
  readonly cause?: DescribedError
}

/** An error as plain data: type, message, code, stack, and the same for its causes. */
export function describeError(error: unknown, depth = 0): DescribedError {
  if (!(error instanceof Error)) return { type: typeof error, message: String(error).slice(0, 1_000) }
  const { code } = error as { code?: unknown }
  return {
    type: error.name,
    message: error.message.slice(0, 4_000),
    ...(code === undefined ? {} : { code }),
    ...(error.stack === undefined ? {} : { stack: error.stack.slice(0, 8_000) }),
    ...(error.cause === undefined || depth >= MAX_CAUSES ? {} : { cause: describeError(error.cause, depth + 1) }),
  }
}
