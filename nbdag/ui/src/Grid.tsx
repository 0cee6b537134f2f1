// The last runs by their tasks: a column for each run, a row for each task.
import { moment, seconds } from './format'
import { useAnswer, useTopics } from './hooks'
import { look, ofRun, Sign } from './Sign'
import { isActive, type Store, topic } from './store'

export function Grid({
  store,
  run,
  onRun,
  onChoose,
}: {
  store: Store
  run: string
  onRun: (run: string) => void
  onChoose: (task: string, run?: string) => void
}) {
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
  const longest = Math.max(...runs.map((each) => (each.ended ?? each.started ?? 0) - (each.started ?? 0)), 0.001)
  const live = new Set([...active, store.newest])
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <div class="nbdag-grid" tabIndex={0} role="region" aria-label="The last runs by their tasks">
      <table>
        <thead>
          <tr>
            <td />
            {runs.map((each) => {
              const took = each.started !== null && each.ended !== null ? each.ended - each.started : undefined
              const words = `Run of ${moment(each.created)}, ${look(ofRun(each.state)).word}${took === undefined ? '' : `, ${seconds(took)}`}`
              return (
                <th scope="col" key={each.id} class={each.id === run ? 'nbdag-chosen' : ''}>
                  <button
                    type="button"
                    aria-label={words}
                    title={`${words}\n${each.id}`}
                    onClick={() => onRun(each.id)}
                  >
                    <i
                      style={{
                        height: `${Math.max(2, ((took ?? 0) / longest) * 30)}px`,
                        background: look(ofRun(each.state)).colour,
                      }}
                    />
                    <Sign state={ofRun(each.state)} />
                  </button>
                </th>
              )
            })}
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
              {runs.map((each) => {
                const state = live.has(each.id)
                  ? store.standing(each.id, task).state
                  : (stored.get(each.id)?.[task] ?? 'none')
                return (
                  <td
                    key={each.id}
                    class={each.id === run ? 'nbdag-chosen' : ''}
                    title={`${task}: ${look(state).word}`}
                  >
                    {state === 'none' ? (
                      <span class="nbdag-unseen">not run</span>
                    ) : (
                      <Sign state={state} word={look(state).word} />
                    )}
                  </td>
                )
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
