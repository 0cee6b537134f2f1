// The rows of a log: which lines are not folded, and how many rows a wrapped line takes.
import { plain } from './ansi'
import type { Fold } from './folds'

/** Return the numbers of the lines that are not within a fold. */
export function visibleLines(count: number, folded: readonly Fold[]): Int32Array {
  const hidden = folded.reduce((sum, { first, end }) => sum + end - first - 1, 0)
  const rows = new Int32Array(count - hidden)
  let [row, n] = [0, 0]
  for (const { first, end } of folded) {
    while (n <= first) rows[row++] = n++
    n = end
  }
  while (n < count) rows[row++] = n++
  return rows
}

/** Return the row of a line; for a folded line, the row of the next line that is not folded. */
export function rowOf(rows: Int32Array, line: number): number {
  let [low, high] = [0, rows.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((rows[middle] ?? 0) < line) low = middle + 1
    else high = middle
  }
  return Math.min(low, Math.max(0, rows.length - 1))
}

const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\u{1f300}-\u{1faff}]/u
const NARROW = /^[\x20-\x7e]*$/ // only characters that are one column wide

/** Return how many rows a line takes at this width in characters. */
export function wrappedRows(line: string, columns: number): number {
  if (NARROW.test(line)) return Math.max(1, Math.ceil(line.length / columns)) // true for nearly every line
  let cells = 0
  for (const each of plain(line)) {
    if (each === '\t') cells += 8 - (cells % 8)
    else cells += each >= '\u1100' && WIDE.test(each) ? 2 : 1
  }
  return Math.max(1, Math.ceil(cells / columns))
}
