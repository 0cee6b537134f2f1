// The toolbar: the shown run, the actions on the pipeline, the search, and the choice of a view.
import { useRef } from 'preact/hooks'
import type { Picture } from '../messages'
import { moment, plural, utc } from './format'
import { stateStyle } from './Sign'
import { useConnection } from './state/hooks'
import { isActive } from './state/states'
import { LIVE, type Store } from './state/store'
import type { Act, Pending } from './state/useActions'
import type { Stale } from './state/useStale'
import type { View } from './Workspace'

const VIEWS: Record<View, string> = { graph: 'Graph', timeline: 'Timeline', grid: 'Grid', metrics: 'Metrics' }

interface Props {
  store: Store
  picture: Picture
  run: string
  onRun: (run: string) => void
  act: Act
  pending: Pending | undefined
  stale: Stale
  showsForm: boolean // whether the form with the parameters of a run is shown
  onForm: (shows: boolean) => void
  query: string
  found: readonly string[] // ids of tasks that contain the search text
  onQuery: (query: string) => void
  onFind: (task: string) => void
  view: View
  onView: (view: View) => void
}

export function Toolbar(props: Props) {
  const { picture, view, onView } = props
  return (
    <div class="nbdag-bar-top" role="toolbar" aria-label="Pipeline">
      <strong class="nbdag-title" title={picture.notebook || picture.dag}>
        {picture.dag}
      </strong>
      <RunSelect {...props} />
      <PipelineActions {...props} />
      <span class="nbdag-spacer" />
      <Search {...props} />
      <div class="nbdag-views" role="group" aria-label="View">
        {(Object.keys(VIEWS) as View[]).map((each) => (
          <button type="button" key={each} aria-pressed={view === each} onClick={() => onView(each)}>
            {VIEWS[each]}
          </button>
        ))}
      </div>
    </div>
  )
}

function RunSelect({ store, run, onRun }: Pick<Props, 'store' | 'run' | 'onRun'>) {
  const shown = store.run(run)
  return (
    <select
      class="nbdag-runs"
      aria-label="Shown run"
      value={run}
      title={shown && utc(shown.created)}
      onChange={(event) => onRun(event.currentTarget.value)}
    >
      <option value={LIVE}>This session, live</option>
      {store.runs.map((each) => (
        <option key={each.id} value={each.id}>
          {`${stateStyle(each.state).sign} run ${moment(each.created)}${each.partial ? ', partial' : ''}`}
        </option>
      ))}
    </select>
  )
}

type ActionProps = Pick<Props, 'store' | 'picture' | 'run' | 'act' | 'pending' | 'stale' | 'showsForm' | 'onForm'>

function PipelineActions({ store, picture, run, act, pending, stale, showsForm, onForm }: ActionProps) {
  const { open } = useConnection(store)
  const shown = store.run(run)
  const active = isActive(shown) ? shown : store.runs.find(isActive)
  return (
    <>
      {store.actions.has('all') ? (
        <button
          type="button"
          class="nbdag-primary"
          title="Run the whole notebook headlessly, in the background"
          disabled={!open || pending?.action === 'all'}
          onClick={() => act('all')}
        >
          <span aria-hidden="true">▶</span> Run all
        </button>
      ) : null}
      {store.actions.has('all') && picture.parameters.length ? (
        <button
          type="button"
          title={`Run the whole notebook with other values of ${picture.parameters.slice(0, 5).join(', ')}`}
          aria-expanded={showsForm}
          disabled={!open}
          onClick={() => onForm(!showsForm)}
        >
          Run with…
        </button>
      ) : null}
      {stale.tasks.length ? (
        <button
          type="button"
          title={`Execute the cells of ${stale.tasks.slice(0, 5).join(', ')} in this kernel, in order`}
          disabled={!open}
          onClick={stale.run}
        >
          Run stale ({stale.tasks.length})
        </button>
      ) : null}
      {shown?.state === 'failed' && store.actions.has('retry_failed') ? (
        <button
          type="button"
          title="Run the failed tasks of this run again, and the tasks downstream of them"
          disabled={!open}
          onClick={() => act('retry_failed')}
        >
          Retry failed
        </button>
      ) : null}
      {active && store.actions.has('cancel') ? (
        <button
          type="button"
          class="nbdag-danger"
          title={`Cancel run ${active.id}`}
          disabled={!open || pending?.action === 'cancel'}
          onClick={() => act('cancel', '', active.id)}
        >
          <span aria-hidden="true">■</span> Cancel
        </button>
      ) : null}
      {store.actions.has('deploy') ? (
        <button
          type="button"
          title="Deploy the notebook to the scheduler"
          disabled={!open}
          onClick={() => act('deploy')}
        >
          Deploy
        </button>
      ) : null}
    </>
  )
}

function Search({ query, found, onQuery, onFind }: Pick<Props, 'query' | 'found' | 'onQuery' | 'onFind'>) {
  const next = useRef(0) // index of the found task that Enter shows next
  return (
    <>
      <input
        type="search"
        placeholder="Find a task"
        aria-label="Find a task"
        value={query}
        onInput={(event) => {
          onQuery(event.currentTarget.value)
          next.current = 0
        }}
        onKeyDown={(event) => {
          if (event.key === 'Enter' && found.length) {
            const task = found[next.current++ % found.length]
            if (task) onFind(task)
          }
          if (event.key === 'Escape') onQuery('')
          event.stopPropagation()
        }}
      />
      {query.trim() ? (
        <span class="nbdag-muted" role="status">
          {found.length ? plural(found.length, 'task') : 'no tasks'}
        </span>
      ) : null}
    </>
  )
}
