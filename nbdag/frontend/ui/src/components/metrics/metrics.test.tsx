import { render } from 'preact'
import { act } from 'preact/test-utils'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { MetricPoint, MetricSeries } from '../../messages'
import { summary } from './MetricChart'
import { Metrics } from './Metrics'
import { differenceText, numberText, scaleOf, segmentsOf } from './scale'

const point = (value: number | string, more: Partial<MetricPoint> = {}): MetricPoint => ({
  value,
  lowest: value,
  highest: value,
  count: 1,
  ...more,
})
const series = (points: (MetricPoint | null)[], more: Partial<MetricSeries> = {}): MetricSeries => ({
  task: 'train',
  name: 'accuracy',
  marked: true,
  points,
  ...more,
})
const runs = ['a', 'b', 'c', 'd'].map((id, n) => ({
  id,
  state: 'success' as const,
  created: 1_790_000_000 + n * 86_400,
}))

describe('numbers', () => {
  it.each([
    [0.93, '0.93'],
    [120, '120'],
    [-12, '−12'],
    [0.123456, '0.1235'],
    [1234567, '1.235e6'],
    [0.00001, '1e−5'],
    [Number.NaN, 'NaN'],
    [Number.NEGATIVE_INFINITY, '−∞'],
  ])('%d is written as %s', (value, text) => expect(numberText(value)).toBe(text))

  it('a difference has its sign', () => expect([0.25, -0.25].map(differenceText)).toEqual(['+0.25', '−0.25']))

  it.each([
    [[0.57, 0.75], { lowest: 0.5, highest: 0.8, ticks: [0.5, 0.6, 0.7, 0.8] }],
    [[3], { lowest: 2.5, highest: 3.5, ticks: [2.5, 3, 3.5] }],
    [[0, 0], { lowest: -0.5, highest: 0.5, ticks: [-0.5, 0, 0.5] }],
    [[Number.NaN, Number.POSITIVE_INFINITY], { lowest: 0, highest: 1, ticks: [] }],
  ])('the scale of %j contains its finite values', (values, scale) => {
    const found = scaleOf(values)
    expect(found).toEqual(scale)
    for (const each of values.filter(Number.isFinite)) {
      expect(each).toBeGreaterThanOrEqual(found.lowest)
      expect(each).toBeLessThanOrEqual(found.highest)
    }
  })

  it('a line has a gap at a missing value and at NaN', () => {
    const points = [point(1), null, point(2), point(3), point('NaN'), point(4)]
    expect(segmentsOf(points)).toEqual([[0], [2, 3], [5]])
  })

  it('a sentence describes a series', () => {
    expect(summary(series([]), [0.5, Number.NaN, 0.75])).toBe(
      'train.accuracy in 3 runs: latest 0.75, lowest 0.5, highest 0.75',
    )
  })
})

describe('charts', () => {
  const root = document.createElement('div')
  afterEach(() => render(null, root))

  function show(shown: MetricSeries[], onRun = vi.fn()) {
    document.body.append(root)
    act(() => render(<Metrics data={{ runs, series: shown }} href={(run) => `/runs/${run}`} onRun={onRun} />, root))
    return onRun
  }

  it('each run with the metric is a link, and the last one is in the order of Tab', () => {
    const onRun = show([series([point(0.5), null, point('Infinity'), point(0.75, { count: 3, lowest: 0.5 })])])
    const links = [...root.querySelectorAll('a')]
    expect(links.map((each) => each.getAttribute('href'))).toEqual(['/runs/a', '/runs/c', '/runs/d'])
    expect(links.map((each) => each.getAttribute('tabindex'))).toEqual(['-1', '-1', '0'])
    expect(links[1]?.getAttribute('aria-label')).toMatch(/^∞, run of .*, done$/)
    act(() => void links[0]?.dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true })))
    expect(onRun.mock.calls).toEqual([['a']])
    expect(root.querySelector('figcaption')?.textContent).toContain('mean of 3: 0.5 to 0.75')
  })

  it('the arrow keys move between the points and show their values', () => {
    show([series([point(0.5), point(0.6), null, point(0.75)])])
    const last = root.querySelector<SVGElement>('[data-at="3"]')
    act(() => last?.focus())
    act(() => void last?.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowLeft', bubbles: true })))
    expect(document.activeElement?.getAttribute('data-at')).toBe('1')
    expect(root.querySelector('strong')?.textContent).toBe('0.6')
    expect(root.querySelector('figcaption')?.textContent).toContain('+0.1')
  })

  it('numbers without the option are folded, unless there is no other', () => {
    show([series([point(1)]), series([point(2)], { name: 'rows', marked: false })])
    expect(root.querySelector('summary')?.textContent).toBe('1 other number that tasks stored')
    show([series([point(2)], { name: 'rows', marked: false })])
    expect(root.querySelector('summary')).toBeNull()
    expect(root.querySelectorAll('figure')).toHaveLength(1)
  })
})
