/** A line over powers of ten, and bars, as SVGs of their own, readable on light and dark pages. */
import { figure } from './numbers.mjs'

const width = 560
const height = 260
const left = 64
const right = 24
const top = 44
const bottom = 48

const style = `<style>
  text { font: 12px system-ui, sans-serif; fill: #444 }
  .title { font-size: 14px; font-weight: 600; fill: #111 }
  .grid { stroke: #8884; stroke-width: 1 }
  .line { fill: none; stroke: #0b6bcb; stroke-width: 2 }
  .dot, .bar { fill: #0b6bcb }
  @media (prefers-color-scheme: dark) {
    text { fill: #bbb } .title { fill: #eee } .line { stroke: #6cb6ff } .dot, .bar { fill: #6cb6ff }
  }
</style>`

/** `points` have x (drawn on a logarithmic scale) and y (from zero). */
export function linePlot({ title, unit, points }) {
  const highest = roundUp(Math.max(...points.map(({ y }) => y)) * 1.15)
  const [low, high] = [points[0].x, points.at(-1).x].map(Math.log)
  const x = (value) => left + ((Math.log(value) - low) / (high - low)) * (width - left - right)
  const y = (value) => height - bottom - (value / highest) * (height - top - bottom)
  const at = ({ x: px, y: py }) => `${x(px).toFixed(1)},${y(py).toFixed(1)}`
  const steps = [0, 0.25, 0.5, 0.75, 1].map((share) => highest * share)
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(`${unit} beside ${title}: ${points.map((point) => `${figure(point.y)} at ${figure(point.x)}`).join(', ')}`)}">
${style}
<text class="title" x="${left}" y="20">${escaped(unit)}, beside ${escaped(title)}</text>
${steps.map((step) => `<line class="grid" x1="${left}" x2="${width - right}" y1="${y(step)}" y2="${y(step)}"/><text x="${left - 8}" y="${y(step) + 4}" text-anchor="end">${figure(step)}</text>`).join('\n')}
<polyline class="line" points="${points.map(at).join(' ')}"/>
${points.map((point) => `<circle class="dot" cx="${x(point.x)}" cy="${y(point.y)}" r="4"/><text x="${x(point.x)}" y="${y(point.y) - 10}" text-anchor="middle">${figure(point.y)}</text><text x="${x(point.x)}" y="${height - bottom + 18}" text-anchor="middle">${figure(point.x)}</text>`).join('\n')}
<text x="${(left + width - right) / 2}" y="${height - 10}" text-anchor="middle">${escaped(title)}</text>
</svg>
`
}

/** `bars` have a label and a value, drawn in their order from zero. */
export function barPlot({ unit, bars }) {
  const barLeft = 260
  const row = 26
  const highest = roundUp(Math.max(...bars.map(({ value }) => value)))
  const long = (value) => (value / highest) * (width - barLeft - 70)
  const all = top + bars.length * row
  const said = bars.map(({ label, value }) => `${label} ${figure(value)}`).join(', ')
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${all}" role="img" aria-label="${escaped(`${unit}: ${said}`)}">
${style}
<text class="title" x="8" y="20">${escaped(unit)}</text>
${bars
  .map(({ label, value }, index) => {
    const y = top + index * row
    return `<text x="${barLeft - 8}" y="${y + 4}" text-anchor="end">${escaped(label)}</text><rect class="bar" x="${barLeft}" y="${y - 8}" width="${long(value).toFixed(1)}" height="16"/><text x="${(barLeft + long(value) + 6).toFixed(1)}" y="${y + 4}">${figure(value)}</text>`
  })
  .join('\n')}
</svg>
`
}

const colours = ['#0b6bcb', '#c2410c', '#15803d', '#7e22ce', '#6b7280']

/** Several lines over time, from zero; `lines` have a label and points whose x rises. */
export function timePlot({ title, unit, lines }) {
  const all = height + lines.length * 18
  const points = lines.flatMap((line) => line.points)
  const highest = roundUp(Math.max(...points.map(({ y }) => y)) * 1.05)
  const last = Math.max(...points.map(({ x }) => x))
  const x = (value) => left + (value / last) * (width - left - right)
  const y = (value) => height - bottom - (value / highest) * (height - top - bottom)
  const steps = [0, 0.25, 0.5, 0.75, 1]
  const said = lines.map(({ label, points: of }) => `${label} ${figure(of.at(-1).y)} at the end`).join(', ')
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${all}" role="img" aria-label="${escaped(`${unit} over ${title}: ${said}`)}">
${style}
<text class="title" x="${left}" y="20">${escaped(unit)}, over ${escaped(title)}</text>
${steps.map((step) => `<line class="grid" x1="${left}" x2="${width - right}" y1="${y(step * highest)}" y2="${y(step * highest)}"/><text x="${left - 8}" y="${y(step * highest) + 4}" text-anchor="end">${figure(step * highest)}</text>`).join('\n')}
${steps.map((step) => `<text x="${x(step * last)}" y="${height - bottom + 18}" text-anchor="middle">${figure(step * last)}</text>`).join('\n')}
${lines.map(({ points: of }, index) => `<polyline fill="none" stroke-width="2" stroke="${colours[index % colours.length]}" points="${of.map((point) => `${x(point.x).toFixed(1)},${y(point.y).toFixed(1)}`).join(' ')}"/>`).join('\n')}
${lines.map(({ label }, index) => `<rect x="${left}" y="${height - 14 + index * 18}" width="12" height="4" fill="${colours[index % colours.length]}"/><text x="${left + 20}" y="${height - 8 + index * 18}">${escaped(label)}</text>`).join('\n')}
</svg>
`
}

function roundUp(value) {
  if (value <= 0) return 1
  const unit = 10 ** Math.floor(Math.log10(value))
  return [1, 2, 4, 5, 8, 10].map((step) => step * unit).find((step) => step >= value)
}

const escaped = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/"/g, '&quot;')
