/**
 * The only place where the commands write: data to stdout in the requested format, messages for people to stderr, and
 * progress lines that are redrawn on a terminal. Everything passes `terminalText`, so control characters in foreign
 * text never reach a terminal.
 */
import { Document, type Scalar, visit } from 'yaml'
import { realClock } from '../world/real.ts'
import { clipped, cyan, dim, green, isPlain, red, safeJson, safeYaml, shown, terminalText } from './safe-text.ts'

export const formats = ['table', 'json', 'yaml'] as const
export type Format = (typeof formats)[number]

export interface OutputOptions {
  readonly output?: Format
}

const coloured = (stream: NodeJS.WriteStream): boolean =>
  stream.isTTY === true && process.env.NO_COLOR === undefined && process.env.TERM !== 'dumb'

/** Data, for whoever reads stdout. Ends the line. */
export const out = (text: string): boolean => write(process.stdout, `${text}\n`)

/** Messages for people, to stderr. Ends the line. */
export const say = (text: string): boolean => write(process.stderr, `${text}\n`)

/** As `out` and `say`, for text that ends its own lines. */
export const outText = (text: string): boolean => write(process.stdout, text)
export const sayText = (text: string): boolean => write(process.stderr, text)

function write(stream: NodeJS.WriteStream, text: string): boolean {
  return stream.write(terminalText(text, coloured(stream)))
}

let outputClosed = (): void => process.exit(0)

/** What happens when whoever reads our output has gone, as with `| head -1`; unless said otherwise, the command ends. */
export function whenOutputCloses(handler: () => void): void {
  outputClosed = handler
}

/** To be called once: a pipe that was closed is an end and not an error. */
export function watchOutput(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
      outputClosed()
    })
  }
}

/** Resolves when all that was written to stdout has left: before what is shown may be acknowledged. */
export const flushed = (): Promise<void> => new Promise((resolve) => process.stdout.write('', () => resolve()))

/** Columns that a text for people may take: the terminal's, within 60 and 100; 100 where there is none. */
export const columnsOf = (stream: NodeJS.WriteStream = process.stdout): number =>
  stream.isTTY === true ? Math.min(100, Math.max(60, stream.columns ?? 80)) : 100

/** The data in the format asked for; `table` is the form for people, and is only made when it is wanted. */
export function print(data: unknown, { output }: OutputOptions, table: () => string): void {
  if (output === 'json') out(safeJson(data))
  else if (output === 'yaml') outText(yamlText(data))
  else {
    const text = table()
    if (text !== '') out(text)
  }
}

/** One of a stream of data: a line of JSON, a YAML document, or the form for people. */
export function printOne(data: unknown, { output }: OutputOptions, text: () => string): void {
  if (output === 'json') out(safeJson(data, 0))
  else if (output === 'yaml') outText(`---\n${yamlText(data)}`)
  else out(text())
}

/** YAML 1.2 that reads back the same; control characters are escapes in it. */
export function yamlText(data: unknown): string {
  const document = new Document(data, { aliasDuplicateObjects: false })
  visit(document, {
    Scalar(_key, node) {
      if (typeof node.value === 'string' && !isPlain(node.value.replaceAll('\n', ''))) node.type = quoted
    },
  })
  return safeYaml(document.toString({ lineWidth: 0, doubleQuotedMinMultiLineLength: Number.MAX_SAFE_INTEGER }))
}

const quoted: Scalar.Type = 'QUOTE_DOUBLE'

// ---- progress

const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']
const frameMs = 80
let stepsEverywhere = false

/** From now on steps are told in a pipe as well: for commands that consist of them. */
export function tellSteps(): void {
  stepsEverywhere = true
}

/**
 * Tells one step while `work` runs and how it ended, with `note` of the result behind it. On a terminal the line
 * moves; elsewhere nothing is told unless `tellSteps` asked for it.
 */
export async function step<T>(
  label: string,
  work: () => Promise<T>,
  note: (result: T) => string = () => '',
): Promise<T> {
  const stream = process.stderr
  const moving = coloured(stream)
  if (!moving && stream.isTTY !== true && !stepsEverywhere) return work()
  const started = realClock.monotonic()
  let frame = 0
  let cancel = (): void => {}
  const startOfLine = '\r\u001b[K'
  const draw = (): void => {
    stream.write(startOfLine + terminalText(movingLine(frame++, label, stream.columns ?? 80), true))
    cancel = realClock.after(frameMs, draw)
  }
  if (moving) draw()
  const finish = (mark: string, text: string): void => {
    cancel()
    if (moving) stream.write(startOfLine)
    say(stepLine(mark, label, text, Math.round(realClock.monotonic() - started)))
  }
  try {
    const result = await work()
    finish(green('✓'), note(result))
    return result
  } catch (error) {
    finish(red('✗'), '')
    throw error
  }
}

/** A step under way, cut to one line of the terminal, because a wrapped line cannot be redrawn. */
export const movingLine = (frame: number, label: string, columns: number): string =>
  `${cyan(frames[frame % frames.length]!)} ${clipped(shown(label), columns - 3)}`

/** A finished step. */
export const stepLine = (mark: string, label: string, note: string, ms: number): string =>
  `${mark} ${shown(label)}${note === '' ? '' : `  ${shown(note)}`} ${dim(`(${shownMs(ms)})`)}`

export const shownMs = (ms: number): string => (ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`)
