// The chart of one metric over runs: a line with a point for each run, and a gap where a run lacks the metric.
import { useState } from 'preact/hooks'
import type { MetricPoint, MetricRun, MetricSeries } from '../../messages'
import { moment, plural } from '../format'
import { stateStyle } from '../Sign'
import { useWidth } from '../state/useWidth'
import { differenceText, numberOf, numberText, scaleOf, segmentsOf } from './scale'

const HEIGHT = 132 // height of the drawing, in pixels
const TOP = 10
const BOTTOM = 22 // room for the dates
const RIGHT = 10
const DIGIT = 6.6 // width of a digit of the axis, in pixels
const DENSE = 60 // number of runs above which points are drawn small

export interface RunLinks {
  href?: ((run: string) => string) | undefined // address of a run's page; without it, `onRun` shows the run
  onRun: (run: string) => void
}

interface Props extends RunLinks {
  runs: readonly MetricRun[]
  series: MetricSeries
  selected: string // id of the shown run, or ""
}

export function MetricChart({ runs, series, selected, href, onRun }: Props) {
  const [frame, setFrame] = useState<HTMLElement | null>(null)
  const [pointed, setPointed] = useState<number>()
  const measured = useWidth(frame)
  const width = Number.isFinite(measured) ? Math.max(160, measured) : 360
  const { task, name, points } = series
  const known = points.flatMap((point, at) => (point ? [at] : []))
  const scale = scaleOf(points.flatMap((each) => (each ? [each.lowest, each.value, each.highest].map(numberOf) : [])))
  const left = Math.max(...scale.ticks.map((each) => numberText(each).length), 1) * DIGIT + 10
  const x = (at: number) =>
    runs.length < 2 ? (left + width - RIGHT) / 2 : left + 4 + (at / (runs.length - 1)) * (width - left - RIGHT - 8)
  const y = (value: number) => {
    if (Number.isNaN(value)) return HEIGHT - BOTTOM
    const share = (value - scale.lowest) / (scale.highest - scale.lowest)
    return TOP + (1 - Math.min(1, Math.max(0, share))) * (HEIGHT - TOP - BOTTOM)
  }
  const value = (at: number) => numberOf(points[at]?.value ?? Number.NaN)
  const last = known.at(-1)
  const shown = pointed ?? last
  const label = `${task}.${name}`

  /** Return the run nearest to the pointer among those that have the metric. */
  function nearest(event: MouseEvent): number | undefined {
    const from = (event.currentTarget as Element).getBoundingClientRect().left
    const at = event.clientX - from
    return known.reduce<number | undefined>(
      (best, each) => (best === undefined || Math.abs(x(each) - at) < Math.abs(x(best) - at) ? each : best),
      undefined,
    )
  }

  function onKeyDown(event: KeyboardEvent): void {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
    const target = event.target instanceof Element ? event.target.closest('[data-at]') : null
    if (step === undefined || !target) return
    event.preventDefault()
    const next = known[known.indexOf(Number(target.getAttribute('data-at'))) + step]
    if (next !== undefined) frame?.querySelector<SVGElement>(`[data-at="${next}"]`)?.focus()
  }

  return (
    <figure class="nbdag-metric" aria-label={label} ref={setFrame} onKeyDown={onKeyDown}>
      <figcaption>
        <b title={label}>
          <span class="nbdag-muted">{task}.</span>
          {name}
        </b>
        {shown !== undefined ? (
          <Readout at={shown} runs={runs} points={points} before={known[known.indexOf(shown) - 1]} />
        ) : null}
      </figcaption>
      {/* biome-ignore lint/a11y/useKeyWithClickEvents: the points are links, which the keyboard reaches */}
      <svg
        width={width}
        height={HEIGHT}
        class={runs.length > DENSE ? 'nbdag-dense' : ''}
        role="group"
        aria-label={summary(series, known.map(value))}
        onPointerMove={(event) => setPointed(nearest(event))}
        onPointerLeave={() => setPointed(undefined)}
        onClick={(event) => {
          const at = nearest(event)
          const run = at === undefined ? undefined : runs[at]
          if (run && !event.defaultPrevented && !(event.target as Element).closest('a')) onRun(run.id)
        }}
      >
        <g class="nbdag-scale" aria-hidden="true">
          {scale.ticks.map((tick) => (
            <g key={tick}>
              <line x1={left} x2={width - RIGHT} y1={y(tick)} y2={y(tick)} />
              <text x={left - 5} y={y(tick) + 4} text-anchor="end">
                {numberText(tick)}
              </text>
            </g>
          ))}
          {dates(runs).map(([at, text, anchor]) => (
            <text key={anchor} x={x(at)} y={HEIGHT - 5} text-anchor={anchor}>
              {text}
            </text>
          ))}
          {shown !== undefined && pointed !== undefined ? (
            <line class="nbdag-pointed" x1={x(shown)} x2={x(shown)} y1={TOP} y2={HEIGHT - BOTTOM} />
          ) : null}
        </g>
        {segmentsOf(points).map((segment) => (
          <path
            key={segment[0]}
            class="nbdag-curve"
            d={segment.map((at, n) => `${n ? 'L' : 'M'}${x(at).toFixed(1)} ${y(value(at)).toFixed(1)}`).join('')}
          />
        ))}
        {known.map((at) => (
          <Point
            key={at}
            at={at}
            run={runs[at] as MetricRun}
            point={points[at] as MetricPoint}
            x={x(at)}
            y={y}
            radius={at === pointed ? 5 : runs.length > DENSE ? 1.8 : 3.2}
            selected={runs[at]?.id === selected}
            inTabOrder={at === last}
            href={href}
            onRun={onRun}
            onFocus={setPointed}
          />
        ))}
      </svg>
    </figure>
  )
}

/** Return the dates under the first and the last run, each as (position, text, anchor). */
function dates(runs: readonly MetricRun[]): [number, string, 'start' | 'middle' | 'end'][] {
  const first = runs[0]
  const last = runs.at(-1)
  if (!first || !last) return []
  if (first === last) return [[0, moment(first.created), 'middle']]
  const [from, to] = [first, last].map((each) => moment(each.created).split(', '))
  const sameDay = from?.[0] === to?.[0]
  const text = (parts: readonly string[] | undefined) => (sameDay ? parts?.at(-1) : parts?.[0]) ?? ''
  return [
    [0, text(from), 'start'],
    [runs.length - 1, text(to), 'end'],
  ]
}

/** Describe the series in one sentence, for screen readers. */
export function summary({ task, name }: MetricSeries, values: readonly number[]): string {
  const finite = values.filter((each) => !Number.isNaN(each))
  const last = values.at(-1)
  if (last === undefined) return `${task}.${name}: no value`
  const range = finite.length
    ? `, lowest ${numberText(Math.min(...finite))}, highest ${numberText(Math.max(...finite))}`
    : ''
  return `${task}.${name} in ${plural(values.length, 'run')}: latest ${numberText(last)}${range}`
}

interface ReadoutProps {
  at: number
  runs: readonly MetricRun[]
  points: readonly (MetricPoint | null)[]
  before: number | undefined // the nearest earlier run that has the metric
}

/** The value of one run, and how it differs from the value of the run before. */
function Readout({ at, runs, points, before }: ReadoutProps) {
  const point = points[at]
  const run = runs[at]
  if (!point || !run) return null
  const value = numberOf(point.value)
  const change = value - numberOf((before === undefined ? undefined : points[before]?.value) ?? Number.NaN)
  const several = point.count > 1
  const range = `mean of ${point.count}: ${numberText(numberOf(point.lowest))} to ${numberText(numberOf(point.highest))}`
  return (
    <>
      <strong>{numberText(value)}</strong>
      {Number.isFinite(change) && change !== 0 ? (
        <span class="nbdag-muted" title="Difference from the run before">
          {differenceText(change)}
        </span>
      ) : null}
      <span class="nbdag-muted nbdag-when">
        {moment(run.created)}
        {several ? `, ${range}` : ''}
      </span>
    </>
  )
}

interface PointProps extends RunLinks {
  at: number // position among the runs
  run: MetricRun
  point: MetricPoint
  x: number
  y: (value: number) => number
  radius: number
  selected: boolean
  inTabOrder: boolean // Tab reaches one point of a chart; the arrow keys reach the others
  onFocus: (at: number | undefined) => void
}

function Point({ at, run, point, x, y, radius, selected, inTabOrder, href, onRun, onFocus }: PointProps) {
  const value = numberOf(point.value)
  const { word } = stateStyle(run.state)
  const text = `${numberText(value)}, run of ${moment(run.created)}, ${word}`
  return (
    <a
      href={href?.(run.id) ?? '#'}
      class={`nbdag-point nbdag-is-${run.state}${selected ? ' nbdag-chosen' : ''}`}
      data-at={at}
      aria-label={text}
      tabindex={inTabOrder ? 0 : -1}
      onFocus={() => onFocus(at)}
      onBlur={() => onFocus(undefined)}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey) return // the browser opens the address elsewhere
        event.preventDefault()
        onRun(run.id)
      }}
    >
      <title>{`${text}\n${run.id}`}</title>
      {point.count > 1 ? <line x1={x} x2={x} y1={y(numberOf(point.lowest))} y2={y(numberOf(point.highest))} /> : null}
      {Number.isFinite(value) ? (
        <circle cx={x} cy={y(value)} r={selected ? Math.max(radius, 4.5) : radius} />
      ) : (
        <text x={x} y={y(value) + 4} text-anchor="middle">
          {Number.isNaN(value) ? '×' : value > 0 ? '▲' : '▼'}
        </text>
      )}
    </a>
  )
}
