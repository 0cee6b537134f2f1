// The grid of the latest runs: a column for each run, a row for each task or folded group.
import { memo } from 'preact/compat'
import type { DisplayState, Picture, RunSummary } from '../messages'
import { moment, seconds, utc } from './format'
import { Sign, stateStyle } from './Sign'
import { useAnswer, useTopics } from './state/hooks'
import { combinedState, rowsOf } from './state/rows'
import { isActive } from './state/states'
import { RUNS, runTopic, type Store } from './state/store'
import { Waiting } from './Waiting'

interface Props {
  store: Store
  picture: Picture
  run: string
  onRun: (run: string) => void
  onSelect: (task: string, run?: string) => void
}

export function Grid({ store, picture, run, onRun, onSelect }: Props) {
  const active = store.runs.filter(isActive).map((each) => each.id)
  useTopics(store, [RUNS, ...active.map(runTopic)])
  const answer = useAnswer(
    store,
    'grid',
    () => true,
    () => store.transport.send({ kind: 'grid' }),
    'grid',
  )
  // Runs that began after the grid was received are added from the changes that the store receives.
  const stored = new Map(answer?.runs.map((each) => [each.summary.id, each.states]))
  const runs = store.runs
    .filter((each) => stored.has(each.id) || isActive(each) || each.id === store.newestRun)
    .reverse()
  if (!answer && !runs.length && store.runs.length) return <Waiting store={store} />
  if (!runs.length) return <p class="nbdag-empty">No headless runs yet: choose “Run all” to start one.</p>
  const longest = Math.max(...runs.map((each) => durationOf(each) ?? 0), 0.001)
  const live = new Set([...active, store.newestRun])
  const state = (each: string, task: string): DisplayState =>
    live.has(each) ? store.status(each, task).state : (stored.get(each)?.[task] ?? 'none')

  function onClick(event: MouseEvent): void {
    const cell = event.target instanceof Element ? event.target.closest<HTMLElement>('td[data-run]') : undefined
    const { run: of, task } = cell?.dataset ?? {}
    if (of !== undefined && task !== undefined) onSelect(task, of)
  }

  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard
    <div class="nbdag-grid" tabIndex={0} role="region" aria-label="Task states of the latest runs">
      {/* biome-ignore lint/a11y/useKeyWithClickEvents: the buttons of runs and tasks do the same by keyboard */}
      <table onClick={onClick}>
        <thead>
          <tr>
            <td>
              <span class="nbdag-muted">{`up to ${seconds(longest)}`}</span>
            </td>
            {runs.map((each) => (
              <ColumnHeader key={each.id} summary={each} longest={longest} selected={each.id === run} onRun={onRun} />
            ))}
          </tr>
        </thead>
        <tbody>
          {rowsOf(picture).map(({ id, members }) => (
            <tr key={id}>
              <th scope="row">
                <button type="button" title={members.join(', ')} onClick={() => onSelect(members[0] ?? id)}>
                  {id}
                </button>
              </th>
              {runs.map((each) => (
                <Cell
                  key={each.id}
                  run={each.id}
                  row={id}
                  task={members[0] ?? id}
                  state={combinedState(members.map((task) => state(each.id, task)))}
                  when={moment(each.created)}
                  selected={each.id === run}
                />
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function durationOf({ started, ended }: RunSummary): number | undefined {
  return started !== null && ended !== null ? ended - started : undefined
}

interface ColumnHeaderProps {
  summary: RunSummary
  longest: number
  selected: boolean
  onRun: (run: string) => void
}

function ColumnHeader({ summary, longest, selected, onRun }: ColumnHeaderProps) {
  const { id, state, created } = summary
  const duration = durationOf(summary)
  const { word, colour } = stateStyle(state)
  const label = `Run of ${moment(created)}, ${word}${duration === undefined ? '' : `, ${seconds(duration)}`}`
  return (
    <th scope="col" class={selected ? 'nbdag-chosen' : ''}>
      <button type="button" aria-label={label} title={`${label}\n${id}\n${utc(created)}`} onClick={() => onRun(id)}>
        <i style={{ height: `${Math.max(2, ((duration ?? 0) / longest) * 34)}px`, background: colour }} />
        <Sign state={state} />
      </button>
    </th>
  )
}

interface CellProps {
  run: string
  row: string
  task: string // id of the task that a click selects
  state: DisplayState
  when: string
  selected: boolean
}

const Cell = memo(function Cell({ run, row, task, state, when, selected }: CellProps) {
  const { word, colour } = stateStyle(state)
  return (
    <td class={selected ? 'nbdag-chosen' : ''} data-run={run} data-task={task} title={`${row}, ${when}: ${word}`}>
      {state === 'none' ? (
        <span class="nbdag-screen-reader">not run</span>
      ) : (
        <span class="nbdag-square" style={{ color: colour }}>
          <Sign state={state} word={word} />
        </span>
      )}
    </td>
  )
})
