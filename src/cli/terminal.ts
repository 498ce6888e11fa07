/**
 * What the commands show: progress that moves on a terminal and reads as plain lines in a pipe, tables
 * that line up, colours only where they are wanted.
 */
import { realClock } from '../world/real.ts'

const coloured = (stream: NodeJS.WriteStream): boolean =>
  stream.isTTY === true && process.env.NO_COLOR === undefined && process.env.TERM !== 'dumb'

const paint =
  (code: number) =>
  (text: string, stream: NodeJS.WriteStream = process.stdout): string =>
    coloured(stream) ? `\u001b[${code}m${text}\u001b[0m` : text

export const bold = paint(1)
export const dim = paint(2)
export const green = paint(32)
export const red = paint(31)
export const cyan = paint(36)

const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']
const frameMs = 80

/**
 * Shows one step while `work` runs and how it ended. On a terminal the line moves; elsewhere it is
 * printed once at the end. `note` of the result is shown behind the step.
 */
export async function step<T>(
  label: string,
  work: () => Promise<T>,
  note: (result: T) => string = () => '',
): Promise<T> {
  const stream = process.stderr
  const started = realClock.monotonic()
  const moving = coloured(stream)
  let frame = 0
  let cancel = (): void => {}
  const draw = (): void => {
    stream.write(`\r\u001b[K${cyan(frames[frame++ % frames.length]!, stream)} ${label}`)
    cancel = realClock.after(frameMs, draw)
  }
  if (moving) draw()
  const finish = (mark: string, text: string): void => {
    cancel()
    const ms = Math.round(realClock.monotonic() - started)
    const behind = text === '' ? '' : `  ${text}`
    stream.write(`${moving ? '\r\u001b[K' : ''}${mark} ${label}${behind} ${dim(`(${shownMs(ms)})`, stream)}\n`)
  }
  try {
    const result = await work()
    finish(green('✓', stream), note(result))
    return result
  } catch (error) {
    finish(red('✗', stream), '')
    throw error
  }
}

export const shownMs = (ms: number): string => (ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`)

/** Columns as wide as their widest cell; wide (CJK) characters count twice. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) => Math.max(width(title), ...rows.map((row) => width(row[column] ?? ''))))
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => (column === cells.length - 1 ? cell : cell + ' '.repeat(widths[column]! - width(cell))))
      .join('  ')
      .trimEnd()
  return [bold(line(header)), ...rows.map(line)].join('\n')
}

function width(text: string): number {
  let total = 0
  for (const character of text)
    total += /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u.test(
      character,
    )
      ? 2
      : 1
  return total
}

/** Labels and values, one a line, values aligned. */
export function facts(pairs: readonly (readonly [string, string])[]): string {
  const widest = Math.max(...pairs.map(([label]) => width(label)))
  return pairs.map(([label, value]) => `${dim(label)}${' '.repeat(widest - width(label))}  ${value}`).join('\n')
}
