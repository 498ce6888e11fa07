/**
 * Foreign clients as processes: each language has a small program (go/, java/, python/, rust/) around the official client, which
 * toolchains.ts builds. The test writes a command as a line of JSON, and the program answers it with one line.
 *
 *   producer  {topics, maxAttempts?}                           starts the producer; its transaction checker decides nothing
 *   send      {topic, body, tag?, keys?, properties?, messageGroup?, deliverInMs?}      → {messageId}
 *   transaction  as send, {end: 'commit' | 'rollback'}          → {messageId}
 *   consumer  {name, group, topic, filter, sql?}                starts a simple consumer that waits five seconds
 *   receive   {name, max, invisibleMs}                          → {messages}
 *   ack       {name, messageId}        nack {name, messageId, invisibleMs}
 *   push      {name, group, topic, filter, sql?, fail?}         starts a push consumer that accepts or refuses everything
 *   pushed    {name}                                            → {messages} so far
 *   close     {}                                                ends the program in order
 *
 * What the client refuses is answered as {error}.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import { type Command, cache } from './toolchains.ts'

export interface ClientMessage {
  readonly messageId: string
  readonly body: string
  readonly tag: string
  readonly keys: readonly string[]
  readonly properties: Readonly<Record<string, string>>
  readonly attempt: number
}

export interface Answer {
  readonly error?: string
  readonly messageId?: string
  readonly messages?: readonly ClientMessage[]
}

export interface ClientSettings {
  /** `host:port`. */
  readonly endpoint: string
  readonly tls: boolean
  /** The certificate that clients which verify must trust. */
  readonly certificate: string
  readonly account: { readonly username: string; readonly password: string } | null
}

const answerLimitMs = 120_000

export class ForeignClient {
  readonly #process: ChildProcess
  readonly #lines: Interface
  readonly #waiting: Array<(line: string) => void> = []
  readonly #ended: Promise<unknown>
  #said = ''
  readonly #log: string[] = []

  constructor([command, ...args]: Command, settings: ClientSettings) {
    const { endpoint, tls, certificate, account } = settings
    this.#process = spawn(command, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: {
        ...process.env,
        // Where clients write their logs: not into the home of whoever runs the tests.
        HOME: cache,
        'mq.consoleAppender.enabled': 'true',
        'rocketmq.client.logRoot': path.join(cache, 'logs'),
        CLIENT_ENDPOINT: endpoint,
        CLIENT_TLS: String(tls),
        ...(account && { CLIENT_USERNAME: account.username, CLIENT_PASSWORD: account.password }),
        ...(tls && { GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: certificate, SSL_CERT_FILE: certificate }),
      },
    })
    this.#ended = once(this.#process, 'close')
    this.#process.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-4_000)
    })
    this.#process.stdin!.on('error', () => {})
    this.#lines = createInterface({ input: this.#process.stdout! })
    this.#lines.on('line', (line) => {
      if (line.startsWith('{')) this.#waiting.shift()?.(line)
      else this.#log.push(line)
    })
  }

  /** What the client itself logged to standard output; Go's does. */
  get log(): readonly string[] {
    return this.#log
  }

  /** What the program answered; an error of the client among it. */
  async ask(command: Readonly<Record<string, unknown>>): Promise<Answer> {
    let timer: NodeJS.Timeout | undefined
    const answered = new Promise<string>((resolve) => this.#waiting.push(resolve))
    this.#process.stdin!.write(`${JSON.stringify(command)}\n`)
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`No answer to ${JSON.stringify(command)}: ${this.#said}`)),
        answerLimitMs,
      )
    })
    const gone = this.#ended.then(() => {
      throw new Error(`The program ended at ${JSON.stringify(command)}: ${this.#said}`)
    })
    try {
      return JSON.parse(await Promise.race([answered, late, gone])) as Answer
    } finally {
      clearTimeout(timer)
    }
  }

  /** As `ask`; an error of the client is thrown. */
  async do(command: Readonly<Record<string, unknown>>): Promise<Answer> {
    const answer = await this.ask(command)
    if (answer.error !== undefined) throw new Error(`${JSON.stringify(command)}: ${answer.error}`)
    return answer
  }

  async close(): Promise<void> {
    await this.ask({ do: 'close' })
    await this.#ended
  }

  /** Ends it at once; fine when it has ended. */
  kill(): void {
    this.#process.kill('SIGKILL')
  }
}
