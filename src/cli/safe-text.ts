/**
 * Makes foreign text safe for a terminal: control characters are shown as escapes. Pure.
 *
 * Names, remarks, bodies, error messages and log lines come from whoever may call the API or an instance. A control
 * character in them could move the cursor, change the title, hide a line or turn the reading direction. `shown`
 * writes each such character as an escape. Colours are asked for with marks that `shown` escapes as well, so that
 * only this program can ask for them, and `terminalText` turns marks into codes as the last step before writing.
 */

/**
 * Controls (C0, DEL, C1), format characters (bidirectional controls, zero width), line and paragraph separators, lone
 * surrogates, other characters that are invisible by definition, and noncharacters, two of which serve as marks here.
 * Variation selectors 1 to 16 stay: they choose how the visible character before them looks.
 */
const unsafe = /(?![\ufe00-\ufe0f])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{DI}\p{NChar}]/gu
const unsafeButNewline = /(?![\ufe00-\ufe0f\n])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{DI}\p{NChar}]/gu
const safeAscii = /^[\x20-\x7e]*$/

/** The text on one line, with every control character as an escape (`\n`, `\t`, `\u001b`, `\u{e0001}`). */
export const shown = (text: string): string => (safeAscii.test(text) ? text : text.replace(unsafe, escaped))

/** Whether `shown` would change the text. */
export const isPlain = (text: string): boolean => shown(text) === text

/** Lines of the text as they are, each made safe: for what is meant to have lines, as a message body. */
export const shownLines = (text: string): string[] => text.split(/\r?\n/).map(shown)

function escaped(character: string): string {
  const short = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }[character]
  if (short !== undefined) return short
  const code = character.codePointAt(0)!
  return code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, '0')}`
}

// ---- marks for colours

const openMark = '\ufdd0'
const closeMark = '\ufdd1'
const codes = { b: 1, d: 2, r: 31, g: 32, y: 33, c: 36 } as const

const paint =
  (letter: keyof typeof codes) =>
  (text: string): string =>
    `${openMark}${letter}${text}${closeMark}`

export const bold = paint('b')
export const dim = paint('d')
export const red = paint('r')
export const green = paint('g')
export const yellow = paint('y')
export const cyan = paint('c')

/** Marks become colour codes, or nothing; every other control character but the line feed becomes an escape. */
export function terminalText(text: string, coloured: boolean): string {
  if (safeAscii.test(text)) return text
  const parts = text.split(/(\ufdd0[bdrgyc]|\ufdd1)/u)
  return parts
    .map((part, index) => {
      if (index % 2 === 0) return part.replace(unsafeButNewline, escaped)
      if (!coloured) return ''
      return part === closeMark ? '\u001b[0m' : `\u001b[${codes[part[1] as keyof typeof codes]}m`
    })
    .join('')
}

// ---- data for scripts

/** JSON in which every unsafe character is an escape too; it reads back the same. `indent` 0 gives one line. */
export const safeJson = (data: unknown, indent = 2): string =>
  safeJsonText(JSON.stringify(data, null, indent) ?? 'null')

/** The same for JSON text. Unsafe characters stand in its strings only; line feeds stand between them. */
export const safeJsonText = (text: string): string =>
  text.replace(unsafeButNewline, (character) =>
    character
      .split('')
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join(''),
  )

/** The same for YAML text whose strings with unsafe characters are in double quotes. */
export const safeYaml = (text: string): string =>
  text.replace(unsafeButNewline, (character) => {
    const code = character.codePointAt(0)!
    return code > 0xffff ? `\\U${code.toString(16).padStart(8, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`
  })

// ---- columns

const wide =
  /[\u1100-\u115f\u231a\u231b\u23e9-\u23ec\u23f0\u23f3\u25fd\u25fe\u2614\u2615\u2648-\u2653\u267f\u2693\u26a1\u26aa\u26ab\u26bd\u26be\u26c4\u26c5\u26ce\u26d4\u26ea\u26f2\u26f3\u26f5\u26fa\u26fd\u2705\u270a\u270b\u2728\u274c\u274e\u2753-\u2755\u2757\u2795-\u2797\u27b0\u27bf\u2b1b\u2b1c\u2b50\u2b55\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18aff}\u{1b000}-\u{1b2ff}\u{1f004}\u{1f0cf}\u{1f18e}\u{1f191}-\u{1f19a}\u{1f200}-\u{1f320}\u{1f32d}-\u{1f335}\u{1f337}-\u{1f37c}\u{1f37e}-\u{1f393}\u{1f3a0}-\u{1f3ca}\u{1f3cf}-\u{1f3d3}\u{1f3e0}-\u{1f3f0}\u{1f3f4}\u{1f3f8}-\u{1f43e}\u{1f440}\u{1f442}-\u{1f4fc}\u{1f4ff}-\u{1f53d}\u{1f54b}-\u{1f54e}\u{1f550}-\u{1f567}\u{1f57a}\u{1f595}\u{1f596}\u{1f5a4}\u{1f5fb}-\u{1f64f}\u{1f680}-\u{1f6c5}\u{1f6cc}\u{1f6d0}-\u{1f6d2}\u{1f6d5}-\u{1f6d7}\u{1f6dc}-\u{1f6df}\u{1f6eb}\u{1f6ec}\u{1f6f4}-\u{1f6fc}\u{1f7e0}-\u{1f7eb}\u{1f7f0}\u{1f90c}-\u{1f93a}\u{1f93c}-\u{1f945}\u{1f947}-\u{1f9ff}\u{1fa70}-\u{1faff}\u{20000}-\u{3fffd}]/u
const noWidth = /\p{M}/u

/** Columns a text takes on a terminal; CJK characters and emoji take two, combining marks and colour marks none. */
export function width(text: string): number {
  if (safeAscii.test(text)) return text.length
  let total = 0
  for (const character of text.replace(/\ufdd0[bdrgyc]|\ufdd1/gu, ''))
    total += noWidth.test(character) ? 0 : wide.test(character) ? 2 : 1
  return total
}

export const padded = (text: string, columns: number): string => text + ' '.repeat(Math.max(0, columns - width(text)))

/** The text, or what fits of it and an ellipsis. */
export function clipped(text: string, columns: number): string {
  if (width(text) <= columns) return text
  let kept = ''
  let used = 0
  for (const character of text) {
    used += width(character)
    if (used > columns - 1) break
    kept += character
  }
  return `${kept}…`
}

/** Lines of at most so many columns, broken at blanks; a word that is longer stands on a line of its own. */
export function wrapped(text: string, columns: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    const next = line === '' ? word : `${line} ${word}`
    if (line !== '' && width(next) > columns) {
      lines.push(line)
      line = word
    } else line = next
  }
  return [...lines, line]
}
