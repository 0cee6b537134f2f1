import { describe, expect, it } from 'vitest'
import type { CellDifference, LineDifference } from '../../messages'
import { foldedLines, groupedCells } from './NotebookDiff'

const lines = (text: string): LineDifference[] =>
  [...text].map((sign, n) => ({ sign: sign === '.' ? ' ' : (sign as '+' | '-'), text: `line ${n}` }))
const shape = (text: string) =>
  foldedLines(lines(text))
    .map((row) => ('folded' in row ? `[${row.folded.length}]` : row.sign))
    .join('')

describe('the difference between two cells', () => {
  it.each([
    ['-+', '-+'],
    ['..-+..', '  -+  '],
    ['.....................-', '[18]   -'],
    ['-.........', '-   [6]'],
    ['-........+', '-        +'],
    ['-.........+', '-   [3]   +'],
  ])('shows %s as %s', (text, expected) => {
    expect(shape(text)).toBe(expected)
  })

  it('keeps every line', () => {
    const all = lines('.........-.............+....')
    expect(foldedLines(all).flatMap((row) => ('folded' in row ? row.folded : [row]))).toEqual(all)
  })
})

describe('the difference between two notebooks', () => {
  it('puts unchanged cells together', () => {
    const cell = (kind: CellDifference['kind']): CellDifference => ({
      kind,
      type: 'code',
      before: 0,
      after: 0,
      lines: [],
    })
    const groups = groupedCells([cell('same'), cell('same'), cell('changed'), cell('same')])
    expect(groups.map((each) => (Array.isArray(each) ? each.length : each.kind))).toEqual([2, 'changed', 1])
  })
})
