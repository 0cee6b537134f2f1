// The attempts of a task. A mapped task has an instance for each element, which may be thousands.
import { useEffect, useMemo, useState } from 'preact/hooks'
import { plural, seconds } from '../../components/format'
import { Sign, stateStyle } from '../../components/Sign'
import { equalHeights, useVisible } from '../../components/virtual'
import type { Attempt, DisplayState, TaskDetails } from '../../messages'
import { Link } from '../router'
import { instanceName, taskPlace } from '../run/links'
import type { ShownRun } from '../run/runStore'
import { latestTries } from './Task'

const ROW = 30 // height of an instance in pixels

interface Props {
  details: TaskDetails
  shown: ShownRun
  chosen: Attempt | undefined
}

export function AttemptList({ details, shown, chosen }: Props) {
  const { attempts } = details
  if (!attempts.length) return <p class="task-none nbdag-muted">The task has not run.</p>
  const mapped = attempts.some(({ map_index }) => map_index >= 0)
  const tries = attempts.filter(({ map_index }) => map_index === chosen?.map_index)
  return (
    <>
      {mapped ? <Instances details={details} shown={shown} chosen={chosen} /> : null}
      {tries.length > 1 || !mapped ? (
        <nav class="task-tries" aria-label={mapped ? `Attempts of instance ${chosen?.map_index}` : 'Attempts'}>
          {tries.map((each) => (
            <Link
              key={each.try_number}
              class="pg-button"
              to={taskPlace(shown.dag, shown.run, details.task, { index: each.map_index, number: each.try_number })}
              aria-current={each === chosen ? 'true' : undefined}
            >
              <Sign state={each.state} word={stateStyle(each.state).word} /> Try {each.try_number}
              <span class="nbdag-muted">{duration(each)}</span>
            </Link>
          ))}
        </nav>
      ) : null}
    </>
  )
}

function duration({ started, ended }: Attempt): string {
  return started !== null && ended !== null ? seconds(ended - started) : ''
}

function Instances({ details, shown, chosen }: Props) {
  const latest = useMemo(
    () => latestTries(details.attempts).sort((a, b) => a.map_index - b.map_index),
    [details.attempts],
  )
  const [state, setState] = useState<DisplayState | ''>('')
  const [frame, setFrame] = useState<HTMLDivElement | null>(null)
  const counts = new Map<DisplayState, number>()
  for (const each of latest) counts.set(each.state, (counts.get(each.state) ?? 0) + 1)
  const rows = state && counts.has(state) ? latest.filter((each) => each.state === state) : latest
  const heights = useMemo(() => equalHeights(rows.length, ROW), [rows.length])
  const { first, last, top, reveal } = useVisible(frame, heights)
  const at = rows.findIndex((each) => each.map_index === chosen?.map_index)
  useEffect(() => {
    if (frame && at >= 0) reveal(at)
  }, [frame, chosen?.map_index])
  return (
    <section class="task-instances" aria-label="Instances">
      <div class="run-bar">
        <b>{plural(latest.length, 'instance')}</b>
        <span class="task-filter" role="group" aria-label="Show instances in state">
          {[...counts].map(([each, count]) => (
            <button
              type="button"
              key={each}
              aria-pressed={state === each}
              onClick={() => setState(state === each ? '' : each)}
            >
              <Sign state={each} /> {count} {stateStyle(each).word}
            </button>
          ))}
        </span>
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard */}
      <div class="task-instance-list" ref={setFrame} tabIndex={0} role="region" aria-label="List of instances">
        <ul style={{ height: `${heights.total}px` }}>
          {rows.slice(first, last).map((each, n) => (
            <li key={each.map_index} style={{ top: `${top + n * ROW}px` }}>
              <Link
                to={taskPlace(shown.dag, shown.run, details.task, { index: each.map_index, number: each.try_number })}
                aria-current={each.map_index === chosen?.map_index ? 'true' : undefined}
              >
                <Sign state={each.state} word={stateStyle(each.state).word} />
                <span>{instanceName('', each.map_index)}</span>
                <span class="nbdag-muted pg-number">{duration(each)}</span>
                <span class="nbdag-muted">{each.try_number > 1 ? `try ${each.try_number}` : ''}</span>
                <span class="task-error">{each.error}</span>
              </Link>
            </li>
          ))}
        </ul>
      </div>
    </section>
  )
}
