// The vertical scale of a chart of one metric, and its numbers as text.
import type { MetricPoint } from '../../messages'

export interface Scale {
  lowest: number
  highest: number
  ticks: readonly number[] // round numbers from `lowest` to `highest`
}

/** Return a metric as a number: JSON has texts for NaN and infinities. */
export function numberOf(value: number | string): number {
  return Number(value)
}

/** Return a number with up to four significant digits, or an integer below a million in full. */
export function numberText(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '−∞'
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value).replace('-', '−')
  const rounded = Number(value.toPrecision(4))
  const size = Math.abs(rounded)
  const text = size !== 0 && (size < 1e-4 || size >= 1e6) ? rounded.toExponential() : String(rounded)
  return text.replaceAll('-', '−').replace('e+', 'e')
}

/** Return a difference with its sign. */
export function differenceText(difference: number): string {
  return `${difference > 0 ? '+' : ''}${numberText(difference)}`
}

/** Return a scale with about three round numbers that contains every finite value. */
export function scaleOf(values: readonly number[]): Scale {
  const finite = values.filter(Number.isFinite)
  const least = finite.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY)
  const most = finite.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  if (!finite.length) return { lowest: 0, highest: 1, ticks: [] }
  const margin = most > least ? 0 : Math.abs(most) * 0.1 || 0.5 // if all values are equal
  const range = most - least + 2 * margin
  if (!Number.isFinite(range)) return { lowest: least, highest: most, ticks: [] }
  const step = roundStep(range / 2)
  const lowest = Math.floor((least - margin) / step) * step
  const highest = Math.ceil((most + margin) / step) * step
  const count = Math.round((highest - lowest) / step)
  const ticks = Array.from({ length: count + 1 }, (_, n) => Number((lowest + n * step).toPrecision(12)))
  return { lowest, highest, ticks }
}

/** Return 1, 2 or 5 times a power of ten, not below this number. */
function roundStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least))
  return ([1, 2, 5].find((each) => each * power >= least * 0.999) ?? 10) * power
}

/** Return the line's segments: the positions of consecutive points with a finite value. */
export function segmentsOf(points: readonly (MetricPoint | null)[]): number[][] {
  const found: number[][] = []
  let joins = false // whether the previous point has a finite value
  points.forEach((point, at) => {
    const finite = point !== null && Number.isFinite(numberOf(point.value))
    if (finite && joins) found.at(-1)?.push(at)
    else if (finite) found.push([at])
    joins = finite
  })
  return found
}
