/** Suggestions for a misspelt name. Pure. */

/** Up to five names that contain the text, are part of it, or differ by at most three edits; nearest first. */
export function nearest(text: string, names: readonly string[]): string[] {
  const wanted = text.toLowerCase()
  const distances = names.map((name) => {
    const known = name.toLowerCase()
    const part = wanted !== '' && (known.includes(wanted) || wanted.includes(known))
    return { name, distance: Math.min(slips(wanted, known), part ? 3 : Number.POSITIVE_INFINITY) }
  })
  return distances
    .filter(({ distance }) => distance <= 3)
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 5)
    .map(({ name }) => name)
}

/** Letters added, left out or changed from one text to the other; texts too different in length are just that. */
function slips(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 3) return Number.POSITIVE_INFINITY
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[b.length]!
}
