// The last runs by their tasks: a column for each run, a row for each task.
import { memo } from 'preact/compat'
import { moment, seconds } from './format'
import { useAnswer, useTopics } from './hooks'
import type { RunBrief } from './messages'
import { look, ofRun, Sign } from './Sign'
import { isActive, type Store, topic } from './store'

interface Props {
  store: Store
  run: string
  onRun: (run: string) => void
  onChoose: (task: string, run?: string) => void
}

export function Grid({ store, run, onRun, onChoose }: Props) {
  const active = store.runs.filter(isActive).map((each) => each.id)
  useTopics(store, ['runs', ...active.map((id) => topic(id, ''))])
  const key = store.runs.map((each) => `${each.id} ${each.state}`).join()
  const answer = useAnswer(
    store,
    'grid',
    () => true,
    () => store.transport.send({ kind: 'grid' }),
    'grid',
  )
  // What began or ended since the answer is known from its changes.
  const stored = new Map(answer?.runs.map((each) => [each.run.id, each.states]))
  const runs = store.runs.filter((each) => stored.has(each.id) || isActive(each) || each.id === store.newest).reverse()
  if (!answer && !runs.length && key)
    return (
      <p class="nbdag-empty" role="status">
        Asking the kernel; it answers between two cells.
      </p>
    )
  if (!runs.length) return <p class="nbdag-empty">No headless run yet: run all, and it shows here.</p>
  const longest = Math.max(...runs.map((each) => took(each) ?? 0), 0.001)
  const live = new Set([...active, store.newest])
  const state = (each: string, task: string) =>
    live.has(each) ? store.standing(each, task).state : (stored.get(each)?.[task] ?? 'none')

  function onClick(event: MouseEvent): void {
    const cell = event.target instanceof Element ? event.target.closest<HTMLElement>('td[data-run]') : undefined
    const { run: of, task } = cell?.dataset ?? {}
    if (of !== undefined && task !== undefined) onChoose(task, of)
  }

  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <div class="nbdag-grid" tabIndex={0} role="region" aria-label="The last runs by their tasks">
      {/* biome-ignore lint/a11y/useKeyWithClickEvents: a run's button and a task's do the same for the keyboard */}
      <table onClick={onClick}>
        <thead>
          <tr>
            <td>
              <span class="nbdag-soft">{`up to ${seconds(longest)}`}</span>
            </td>
            {runs.map((each) => (
              <Head key={each.id} brief={each} longest={longest} chosen={each.id === run} onRun={onRun} />
            ))}
          </tr>
        </thead>
        <tbody>
          {store.picture.order.map((task) => (
            <tr key={task}>
              <th scope="row">
                <button type="button" title={task} onClick={() => onChoose(task)}>
                  {task}
                </button>
              </th>
              {runs.map((each) => (
                <Cell
                  key={each.id}
                  run={each.id}
                  task={task}
                  state={state(each.id, task)}
                  when={moment(each.created)}
                  chosen={each.id === run}
                />
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function took({ started, ended }: RunBrief): number | undefined {
  return started !== null && ended !== null ? ended - started : undefined
}

interface Column {
  brief: RunBrief
  longest: number
  chosen: boolean
  onRun: (run: string) => void
}

function Head({ brief, longest, chosen, onRun }: Column) {
  const lasted = took(brief)
  const { word, colour } = look(ofRun(brief.state))
  const words = `Run of ${moment(brief.created)}, ${brief.state === 'cancelled' ? 'cancelled' : word}${lasted === undefined ? '' : `, ${seconds(lasted)}`}`
  return (
    <th scope="col" class={chosen ? 'nbdag-chosen' : ''}>
      <button type="button" aria-label={words} title={`${words}\n${brief.id}`} onClick={() => onRun(brief.id)}>
        <i style={{ height: `${Math.max(2, ((lasted ?? 0) / longest) * 34)}px`, background: colour }} />
        <Sign state={ofRun(brief.state)} />
      </button>
    </th>
  )
}

interface Square {
  run: string
  task: string
  state: string
  when: string
  chosen: boolean
}

const Cell = memo(function Cell({ run, task, state, when, chosen }: Square) {
  const { word, colour } = look(state)
  return (
    <td class={chosen ? 'nbdag-chosen' : ''} data-run={run} data-task={task} title={`${task}, ${when}: ${word}`}>
      {state === 'none' ? (
        <span class="nbdag-unseen">not run</span>
      ) : (
        <span class="nbdag-square" style={{ color: colour }}>
          <Sign state={state} word={word} />
        </span>
      )}
    </td>
  )
})
