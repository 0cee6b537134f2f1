// The timeline of a run: a row for each task or folded group, a bar for each attempt. Bars that overlap are drawn in separate lanes.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { Bar, Picture, TimelineMessage } from '../messages'
import { plural, seconds } from './format'
import { stateStyle } from './Sign'
import { useAnswer, useNow, useTopics } from './state/hooks'
import { rowsOf, type TaskRow } from './state/rows'
import { isActive } from './state/states'
import { latestBars, RUNS, runTopic, type Store } from './state/store'
import { useWidth } from './state/useWidth'
import { useVisible, variedHeights } from './virtual'

const BAR_HEIGHT = 18 // height of a bar in pixels, if no bars of the row overlap
const REFRESH = 1000 // milliseconds between a change and the next request; the request covers all changes until then
const MAX_LANES = 8 // maximum number of lanes in a row
const TICK = 70 // minimum distance between two times on the axis, in pixels
const BESIDE = 236 // width of the task names and of the last duration together, in pixels

/** Return round times for the axis: about six, or fewer where their labels would overlap. */
export function ticks(length: number, width = Number.POSITIVE_INFINITY): number[] {
  const rough = length / Math.max(1, Math.min(6, width / TICK))
  const step =
    [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400].find(
      (each) => each >= rough,
    ) ?? rough
  return Array.from({ length: Math.floor(length / step) + 1 }, (_, n) => n * step)
}

/** Return a time on the axis as text: 5 s, 1 min, 1 min 30 s. Zeros are left out. */
export function tickLabel(time: number): string {
  if (Number.isInteger(time) && time < 10) return `${time} s`
  return seconds(time).replace(/(min|h) 0 (s|min)$/, '$1')
}

/** Return the bars by task: the stored attempts, and the latest attempt of each task in its current state. */
export function mergeBars(stored: readonly Bar[], live: readonly Bar[]): Map<string, Bar[]> {
  const rows = new Map<string, Bar[]>()
  for (const bar of stored) {
    const row = rows.get(bar.task)
    if (row) row.push(bar)
    else rows.set(bar.task, [bar])
  }
  for (const bar of live) {
    const row = rows.get(bar.task) ?? []
    const mapped = row.some((each) => each.map_index >= 0)
    if (mapped) continue
    rows.set(bar.task, [...row.filter((each) => each.try_number !== bar.try_number), bar])
  }
  return rows
}

/** Return the lane of each bar. Bars overlap only if that would need more than `MAX_LANES` lanes. */
export function laneOf(bars: readonly Bar[], now: number): number[] {
  const free: number[] = []
  const found = new Map<Bar, number>()
  for (const bar of [...bars].sort((a, b) => a.started - b.started)) {
    let lane = free.findIndex((until) => until <= bar.started)
    if (lane < 0) lane = free.length < MAX_LANES ? free.length : free.indexOf(Math.min(...free))
    free[lane] = bar.ended ?? now
    found.set(bar, lane)
  }
  return bars.map((bar) => found.get(bar) ?? 0)
}

interface Props {
  store: Store
  picture: Picture
  run: string
  selected: string
  critical: ReadonlySet<string> | undefined
  onSelect: (task: string) => void
}

export function Timeline({ store, picture, run, selected, critical, onSelect }: Props) {
  useTopics(store, [RUNS, runTopic(run)])
  const summary = store.run(run)
  const active = isActive(summary)
  const now = useNow(active)
  const [round, setRound] = useState(0)
  const answer = useAnswer(
    store,
    'timeline',
    (message) => message.run === run,
    () => run && store.transport.send({ kind: 'timeline', run }),
    `${run}\n${summary?.state}\n${round}`,
  )
  const latest = useRef<TimelineMessage | undefined>(undefined)
  if (answer) latest.current = answer
  const stored = latest.current?.run === run ? latest.current.bars : []
  // Changes report only the latest attempt of a task, so request all attempts again after a change.
  useEffect(() => {
    if (!active) return
    let timer: ReturnType<typeof setTimeout> | undefined
    const stop = store.subscribe(runTopic(run), () => {
      timer ??= setTimeout(() => {
        timer = undefined
        setRound((before) => before + 1)
      }, REFRESH)
    })
    return () => {
      stop()
      clearTimeout(timer)
    }
  }, [store, run, active])
  const { order } = picture
  const merged = mergeBars(
    stored,
    latestBars(order, (task) => store.status(run, task)),
  )
  const bars = [...merged.values()].flat()
  const begin = bars.reduce((least, bar) => Math.min(least, bar.started), summary?.started ?? Number.POSITIVE_INFINITY)
  const end = bars.reduce((most, bar) => Math.max(most, bar.ended ?? (active ? now : bar.started)), summary?.ended ?? 0)
  const length = Math.max(end - begin, 0.05)
  const rows = rowsOf(picture).flatMap((row) => {
    const own = row.members.flatMap((task) => merged.get(task) ?? [])
    return own.length ? [{ ...row, bars: own, ...arranged(own, active ? now : begin + length) }] : []
  })
  const [frame, setFrame] = useState<HTMLElement | null>(null)
  const width = useWidth(frame)
  const marks = useMemo(() => ticks(length, width - BESIDE), [length, width])
  const heightKey = rows.map((row) => row.lanes).join()
  const heights = useMemo(() => variedHeights(rows.length, (n) => rowHeight(rows[n]?.lanes ?? 1)), [heightKey])
  const visible = useVisible(frame, heights)
  const shownRows = rows.slice(visible.first, visible.last)
  const revealed = useRef('') // a selected task is scrolled into view once
  useEffect(() => {
    const at = rows.findIndex(({ members }) => members.includes(selected))
    if (!frame || at < 0 || revealed.current === selected) return
    revealed.current = selected
    const y = heights.top(at) - frame.scrollTop
    if (y < 0 || y > frame.clientHeight - 40) visible.reveal(at)
  }, [frame, selected, heights])
  if (!run) return <p class="nbdag-empty">The timeline shows a headless run: select one, or choose “Run all”.</p>
  if (!bars.length) return <p class="nbdag-empty">No attempts yet.</p>
  return (
    <section
      class="nbdag-timeline"
      aria-label={`Timeline of run ${run}`}
      ref={setFrame}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard
      tabIndex={0}
    >
      <div class="nbdag-axis" aria-hidden="true">
        {marks.map((mark) => (
          <span key={mark} style={{ left: `${(mark / length) * 100}%` }}>
            {tickLabel(mark)}
          </span>
        ))}
      </div>
      <ul style={{ height: `${heights.total}px`, paddingTop: `${heights.top(visible.first)}px` }}>
        {shownRows.map((row) => (
          <li
            key={row.id}
            class={`${row.members.includes(selected) ? 'nbdag-chosen' : ''}${row.members.some((task) => critical?.has(task)) ? ' nbdag-critical' : ''}`}
          >
            <button type="button" onClick={() => onSelect(row.members[0] ?? row.id)} title={row.members.join(', ')}>
              {row.id}
            </button>
            <Row
              row={row}
              begin={begin}
              length={length}
              now={active ? now : undefined}
              onSelect={() => onSelect(row.members[0] ?? row.id)}
            />
          </li>
        ))}
      </ul>
    </section>
  )
}

interface ArrangedBars {
  laneOf: readonly number[] // the lane of each bar
  lanes: number // number of lanes
}

function arranged(bars: readonly Bar[], now: number): ArrangedBars {
  const lanes = laneOf(bars, now)
  return { laneOf: lanes, lanes: lanes.reduce((most, lane) => Math.max(most, lane), 0) + 1 }
}

/** Return the height of a bar in a row with this number of lanes, in pixels. */
function barHeight(lanes: number): number {
  return lanes > 1 ? Math.max(5, Math.min(12, 44 / lanes)) : BAR_HEIGHT
}

/** Return the height of a row in pixels; it equals the height in the style sheet. */
function rowHeight(lanes: number): number {
  return Math.max(26, lanes * (barHeight(lanes) + 2) + 6)
}

interface RowProps {
  row: TaskRow & ArrangedBars & { bars: readonly Bar[] }
  begin: number
  length: number
  now: number | undefined // the current time; undefined if the run has ended
  onSelect: () => void
}

function Row({ row, begin, length, now, onSelect }: RowProps) {
  const { bars, lanes } = row
  const until = (bar: Bar) => bar.ended ?? now ?? bar.started
  const height = barHeight(lanes)
  const last = bars.reduce((a, b) => (until(b) > until(a) ? b : a))
  const mapped = bars.some((bar) => bar.map_index >= 0)
  const total = until(last) - bars.reduce((least, bar) => Math.min(least, bar.started), Number.POSITIVE_INFINITY)
  const position = (moment: number) => `${((moment - begin) / length) * 100}%`
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the button beside it has the same effect
    // biome-ignore lint/a11y/useKeyWithClickEvents: the button beside it works by keyboard
    <div class="nbdag-track" style={{ height: `${lanes * (height + 2)}px` }} onClick={onSelect}>
      {bars.map((bar, n) => {
        const duration = until(bar) - bar.started
        const label = `${bar.task}${bar.map_index < 0 ? '' : `[${bar.map_index}]`}, try ${bar.try_number}: ${stateStyle(bar.state).word}, ${seconds(duration)}, after ${seconds(bar.started - begin)}`
        return (
          <span
            key={`${bar.task} ${bar.map_index} ${bar.try_number}`}
            class={`nbdag-bar nbdag-is-${bar.state}`}
            role="img"
            aria-label={label}
            title={label}
            style={{
              color: stateStyle(bar.state).colour,
              left: position(bar.started),
              width: `max(3px, ${(duration / length) * 100}%)`,
              top: `${(row.laneOf[n] ?? 0) * (height + 2) + 1}px`,
              height: `${height}px`,
            }}
          />
        )
      })}
      <em style={{ left: position(until(last)) }}>
        {mapped ? `${plural(bars.length, 'attempt')}, ${seconds(total)}` : seconds(until(last) - last.started)}
      </em>
    </div>
  )
}
