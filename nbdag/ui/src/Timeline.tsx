// A run over time: a row for each task, a bar for each attempt.
import { useMemo } from 'preact/hooks'
import { seconds } from './format'
import { useAnswer, useNow, useTopics } from './hooks'
import type { Bar } from './messages'
import { look, Sign } from './Sign'
import { barsOf, isActive, type Store, topic } from './store'

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

export function Timeline({
  store,
  run,
  chosen,
  critical,
  onChoose,
}: {
  store: Store
  run: string
  chosen: string
  critical: ReadonlySet<string> | undefined
  onChoose: (task: string) => void
}) {
  useTopics(store, ['runs', topic(run, '')])
  const brief = store.run(run)
  const going = isActive(brief)
  const now = useNow(going)
  const answer = useAnswer(
    store,
    'timeline',
    (told) => told.run === run,
    () => run && store.transport.send({ kind: 'timeline', run }),
    `${run}\n${brief?.state}`,
  )
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
  const place = (at: number) => `${((at - begin) / length) * 100}%`
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
              <div class="nbdag-track">
                {(rows.get(task) ?? []).map((bar) => {
                  const took = (bar.ended ?? (going ? now : bar.started)) - bar.started
                  const words = `${task}${bar.map_index < 0 ? '' : `[${bar.map_index}]`}, try ${bar.number}: ${look(bar.state).word}, ${seconds(took)}, after ${seconds(bar.started - begin)}`
                  return (
                    <span
                      key={`${bar.map_index} ${bar.number}`}
                      class={`nbdag-bar nbdag-is-${bar.state}`}
                      role="img"
                      aria-label={words}
                      title={words}
                      style={{
                        left: place(bar.started),
                        width: `max(3px, ${(took / length) * 100}%)`,
                        '--nbdag-colour': look(bar.state).colour,
                      }}
                    >
                      <Sign state={bar.state} />
                      <em>{seconds(took)}</em>
                    </span>
                  )
                })}
              </div>
            </li>
          ))}
      </ul>
    </section>
  )
}
