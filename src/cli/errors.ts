/** How commands fail: each kind with its exit status, which docs/cli.md lists. */

export const exitCodes = {
  done: 0,
  /** The API or an instance refused, or something is wrong that the sentence names. */
  refused: 1,
  /** A wrong command line or setting; no request was sent. */
  usage: 2,
  /** No server, or none that answers. */
  unreachable: 3,
  /** It took longer than its limit; what was asked may still happen. */
  late: 4,
  /** Ctrl-C, as shells expect: 128 and the number of the signal. */
  interrupted: 130,
  terminated: 143,
} as const

/** A command that cannot go on, with the sentence the user sees. */
export class CommandError extends Error {
  override readonly name: string = 'CommandError'
  readonly exitCode: number = exitCodes.refused
}

/** A wrong command line. */
export class UsageError extends CommandError {
  override readonly name = 'UsageError'
  override readonly exitCode = exitCodes.usage
}

/** No server, or none that answers. */
export class UnreachableError extends CommandError {
  override readonly name = 'UnreachableError'
  override readonly exitCode = exitCodes.unreachable
}

/** Not done within the command's limit. */
export class LateError extends CommandError {
  override readonly name = 'LateError'
  override readonly exitCode = exitCodes.late
}

/** Not a failure: somebody, or a closed pipe, ended the command, which has cleaned up. */
export class Interrupted extends CommandError {
  override readonly name = 'Interrupted'
  override readonly exitCode: number

  constructor(exitCode: number) {
    super('Interrupted.')
    this.exitCode = exitCode
  }
}
