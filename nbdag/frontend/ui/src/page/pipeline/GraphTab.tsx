// The graph of a pipeline and its timeline, with the states of one of its latest runs.
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Pipeline } from '../../api'
import type { GraphHandle } from '../../components/graph/Graph'
import { usePicture } from '../../components/graph/usePicture'
import { stateStyle } from '../../components/Sign'
import { useSelection } from '../../components/state/useSelection'
import { Workspace } from '../../components/Workspace'
import type { Picture } from '../../messages'
import { path } from '../location'
import { Link, useQuery } from '../router'
import { GraphOrGantt } from '../run/GraphOrGantt'
import { useRunDetails } from '../run/Run'
import { useRunStore } from '../run/runStore'
import { GRAPH_KEYS, useShortcuts } from '../shortcuts'
import { Empty, Loaded } from '../states'
import { ago } from '../Time'
import { pictureAddress } from '../transport'
import { useResource } from '../useResource'
import '../run/run.css'

const NONE = 'none' // this word in the address shows the deployed version without a run

export function GraphTab({ pipeline }: { pipeline: Pipeline }) {
  return <RunTab pipeline={pipeline} tab="graph" />
}

export function GanttTab({ pipeline }: { pipeline: Pipeline }) {
  if (pipeline.recent.length) return <RunTab pipeline={pipeline} tab="gantt" />
  return (
    <Empty title="No runs yet">
      <p>The timeline shows when each task of a run began and how long it took.</p>
    </Empty>
  )
}

function RunTab({ pipeline: { id: dag, recent, deployed }, tab }: { pipeline: Pipeline; tab: 'graph' | 'gantt' }) {
  const [chosen, setChosen] = useQuery('run')
  const latest = recent.at(-1)
  const run = chosen === NONE && tab === 'graph' ? '' : (chosen && chosen !== NONE ? chosen : latest?.id) || ''
  const listed = recent.some((each) => each.id === run)
  const now = Date.now() / 1000
  return (
    <div class="run pg-run-tab">
      <div class="pg-tab-tools">
        <label>
          {tab === 'graph' ? 'States of' : 'Run'}{' '}
          <select value={run} onChange={(event) => setChosen(event.currentTarget.value || NONE)}>
            {recent.toReversed().map((each, n) => (
              <option key={each.id} value={each.id}>
                {`${stateStyle(each.state).sign} ${n ? '' : 'latest run, '}${ago(each.started ?? each.created, now)}`}
              </option>
            ))}
            {run && !listed ? <option value={run}>{run}</option> : null}
            {tab === 'graph' && deployed !== null ? <option value="">no run, the deployed version</option> : null}
          </select>
        </label>
        {run ? <Link to={path`/dags/${dag}/runs/${run}/${tab}`}>Open this run</Link> : null}
      </div>
      <div class={`run-body run-${tab}`}>
        {run ? <OfRun key={run} dag={dag} run={run} tab={tab} /> : <Structure dag={dag} />}
      </div>
    </div>
  )
}

function OfRun({ dag, run, tab }: { dag: string; run: string; tab: 'graph' | 'gantt' }) {
  const details = useRunDetails(dag, run)
  const shown = useRunStore(dag, run)
  return <Loaded of={details}>{(found) => <GraphOrGantt details={found} shown={shown} tab={tab} />}</Loaded>
}

/** The graph of the deployed version without states. */
function Structure({ dag }: { dag: string }) {
  const shown = useRunStore(dag, '')
  useShortcuts('In the graph', GRAPH_KEYS)
  const [query, setQuery] = useQuery('task')
  const graph = useRef<GraphHandle>(null)
  const found = useResource<Picture>(pictureAddress(dag, ''), (change) => change.dag === dag && change.kind === 'dag')
  const { picture, arrange } = usePicture(shown.store)
  const selection = useSelection(picture)
  const { task, selectTask } = selection
  const [opened, setOpened] = useState(false)
  useEffect(() => {
    if (found.data && found.data !== shown.store.picture) {
      shown.transport.deliver({ kind: 'picture', view: '', picture: found.data })
    }
  }, [found.data, shown])
  useEffect(() => {
    if (opened || !picture.order.includes(query)) return
    setOpened(true)
    selectTask(query)
  }, [picture, query, opened])
  useEffect(() => {
    if (picture.order.length && (opened || !query)) setQuery(task)
  }, [task])
  return (
    <Loaded of={found}>
      {({ order, unbuilt }) =>
        order.length ? (
          <>
            {unbuilt ? (
              <p class="run-note">
                The graph shows only the tasks that have cells of their own; the %%dag cell creates the others when a
                run starts.
              </p>
            ) : null}
            <Workspace
              store={shown.store}
              host={{}}
              picture={picture}
              arrange={arrange}
              run=""
              view="graph"
              selection={selection}
              found={[]}
              act={() => {}}
              onRun={() => {}}
              graph={graph}
              fill
            />
          </>
        ) : (
          <p class="nbdag-empty">
            {unbuilt
              ? 'The %%dag cell creates the tasks of this pipeline when a run starts.'
              : 'This pipeline has no tasks.'}
          </p>
        )
      }
    </Loaded>
  )
}
