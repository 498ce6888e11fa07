/**
 * CONTAINS in linear time. The engine's own search multiplies the lengths of text and pattern in its worst case
 * (10 ms for one message), so long patterns are searched as Knuth, Morris and Pratt do.
 */

/** Up to here the engine's search is fast in its worst case too. */
const SHORT = 32

/** Whether a text holds the pattern, as `text.includes(pattern)`. */
export function containing(pattern: string): (text: string) => boolean {
  if (pattern.length <= SHORT) return (text) => text.includes(pattern)
  const overlaps = overlapsOf(pattern)
  return (text) => {
    let matched = 0
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      while (matched > 0 && code !== pattern.charCodeAt(matched)) matched = overlaps[matched - 1]!
      if (code === pattern.charCodeAt(matched)) matched++
      if (matched === pattern.length) return true
    }
    return false
  }
}

/** For each prefix of the pattern, how much of its end is also its beginning. */
function overlapsOf(pattern: string): Uint16Array {
  const overlaps = new Uint16Array(pattern.length)
  let matched = 0
  for (let i = 1; i < pattern.length; i++) {
    const code = pattern.charCodeAt(i)
    while (matched > 0 && code !== pattern.charCodeAt(matched)) matched = overlaps[matched - 1]!
    if (code === pattern.charCodeAt(matched)) matched++
    overlaps[i] = matched
  }
  return overlaps
}
