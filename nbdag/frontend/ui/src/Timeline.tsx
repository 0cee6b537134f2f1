// A run over time: a row for each task, a bar for each attempt, one below the other where several were under way at once.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { seconds, several } from './format'
import { useAnswer, useNow, useTopics } from './hooks'
import type { Bar, TellTimeline } from './messages'
import { look } from './Sign'
import { barsOf, isActive, type Store, topic } from './store'

const TALL = 18 // pixels of a bar that has a row for itself
const AGAIN = 1000 // milliseconds between an answer and the next question
const MOST = 8 // bars below one another

/** Round steps, so that about six marks stand on the axis. */
export function ticks(length: number): number[] {
  const rough = length / 6
  const step =
    [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400].find(
      (each) => each >= rough,
    ) ?? rough
  return Array.from({ length: Math.floor(length / step) + 1 }, (_, n) => n * step)
}

/** Attempts as the store keeps them, with the last of each task as it stands now. */
export function merged(stored: readonly Bar[], live: readonly Bar[]): Map<string, Bar[]> {
  const rows = new Map<string, Bar[]>()
  for (const bar of stored) rows.set(bar.task, [...(rows.get(bar.task) ?? []), bar])
  for (const bar of live) {
    const row = rows.get(bar.task) ?? []
    const mapped = row.some((each) => each.map_index >= 0)
    if (mapped) continue
    rows.set(bar.task, [...row.filter((each) => each.number !== bar.number), bar])
  }
  return rows
}

/** On which line each bar goes, so that none hides another; the lines are few, so beyond that some do. */
export function lanes(bars: readonly Bar[], now: number): number[] {
  const free: number[] = []
  const found = new Map<Bar, number>()
  for (const bar of [...bars].sort((a, b) => a.started - b.started)) {
    let lane = free.findIndex((until) => until <= bar.started)
    if (lane < 0) lane = free.length < MOST ? free.length : free.indexOf(Math.min(...free))
    free[lane] = bar.ended ?? now
    found.set(bar, lane)
  }
  return bars.map((bar) => found.get(bar) ?? 0)
}

interface Props {
  store: Store
  run: string
  chosen: string
  critical: ReadonlySet<string> | undefined
  onChoose: (task: string) => void
}

export function Timeline({ store, run, chosen, critical, onChoose }: Props) {
  useTopics(store, ['runs', topic(run, '')])
  const brief = store.run(run)
  const going = isActive(brief)
  const now = useNow(going)
  const [round, setRound] = useState(0)
  const told = useAnswer(
    store,
    'timeline',
    (told) => told.run === run,
    () => run && store.transport.send({ kind: 'timeline', run }),
    `${run}\n${brief?.state}\n${round}`,
  )
  const last = useRef<TellTimeline | undefined>(undefined)
  if (told) last.current = told
  const answer = last.current?.run === run ? last.current : undefined
  // What a change does not tell, attempts that failed and instances, is asked for again while the run goes on.
  useEffect(() => {
    if (!told || !going) return
    const timer = setTimeout(() => setRound((before) => before + 1), AGAIN)
    return () => clearTimeout(timer)
  }, [told, going])
  const order = store.picture.order
  const rows = merged(
    answer?.bars ?? [],
    barsOf(order, (task) => store.standing(run, task)),
  )
  const bars = [...rows.values()].flat()
  const begin = Math.min(brief?.started ?? Number.POSITIVE_INFINITY, ...bars.map((bar) => bar.started))
  const end = Math.max(...bars.map((bar) => bar.ended ?? (going ? now : bar.started)), brief?.ended ?? 0)
  const length = Math.max(end - begin, 0.05)
  const marks = useMemo(() => ticks(length), [length])
  if (!run) return <p class="nbdag-empty">A timeline is of a headless run: choose one, or run all.</p>
  if (!bars.length) return <p class="nbdag-empty">Nothing has begun yet.</p>
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <section class="nbdag-timeline" aria-label={`Timeline of run ${run}`} tabIndex={0}>
      <div class="nbdag-axis" aria-hidden="true">
        {marks.map((mark) => (
          <span key={mark} style={{ left: `${(mark / length) * 100}%` }}>
            {mark < 1 && mark > 0 ? `${mark.toFixed(1)} s` : seconds(mark).replace('.0 s', ' s')}
          </span>
        ))}
      </div>
      <ul>
        {order
          .filter((task) => rows.has(task))
          .map((task) => (
            <li
              key={task}
              class={`${task === chosen ? 'nbdag-chosen' : ''}${critical?.has(task) ? ' nbdag-critical' : ''}`}
            >
              <button type="button" onClick={() => onChoose(task)} title={task}>
                {task}
              </button>
              <Row
                bars={rows.get(task) ?? []}
                begin={begin}
                length={length}
                now={going ? now : undefined}
                onChoose={() => onChoose(task)}
              />
            </li>
          ))}
      </ul>
    </section>
  )
}

interface Track {
  bars: readonly Bar[]
  begin: number
  length: number
  now: number | undefined // while the run goes on
  onChoose: () => void
}

function Row({ bars, begin, length, now, onChoose }: Track) {
  const until = (bar: Bar) => bar.ended ?? now ?? bar.started
  const at = lanes(bars, now ?? begin + length)
  const count = Math.max(...at) + 1
  const tall = count > 1 ? Math.max(5, Math.min(12, 44 / count)) : TALL
  const last = bars.reduce((a, b) => (until(b) > until(a) ? b : a))
  const mapped = bars.some((bar) => bar.map_index >= 0)
  const whole = until(last) - Math.min(...bars.map((bar) => bar.started))
  const place = (moment: number) => `${((moment - begin) / length) * 100}%`
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the button beside it does the same
    // biome-ignore lint/a11y/useKeyWithClickEvents: and is there for the keyboard
    <div class="nbdag-track" style={{ height: `${count * (tall + 2)}px` }} onClick={onChoose}>
      {bars.map((bar, n) => {
        const took = until(bar) - bar.started
        const words = `${bar.task}${bar.map_index < 0 ? '' : `[${bar.map_index}]`}, try ${bar.number}: ${look(bar.state).word}, ${seconds(took)}, after ${seconds(bar.started - begin)}`
        return (
          <span
            key={`${bar.map_index} ${bar.number}`}
            class={`nbdag-bar nbdag-is-${bar.state}`}
            role="img"
            aria-label={words}
            title={words}
            style={{
              color: look(bar.state).colour,
              left: place(bar.started),
              width: `max(3px, ${(took / length) * 100}%)`,
              top: `${(at[n] ?? 0) * (tall + 2) + 1}px`,
              height: `${tall}px`,
            }}
          />
        )
      })}
      <em style={{ left: place(until(last)) }}>
        {mapped ? `${several(bars.length, 'attempt')}, ${seconds(whole)}` : seconds(until(last) - last.started)}
      </em>
    </div>
  )
}
