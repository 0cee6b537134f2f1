// The graph or the timeline of a run, with a panel for the selected task beside it.
import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { RunDetails } from '../../api'
import { Graph, type GraphHandle } from '../../components/graph/Graph'
import { GraphTools } from '../../components/graph/GraphTools'
import { useCriticalPath } from '../../components/graph/useCriticalPath'
import { ChainPanel } from '../../components/panel/ChainPanel'
import { TaskPanel } from '../../components/panel/TaskPanel'
import { useTopics } from '../../components/state/hooks'
import { runTopic } from '../../components/state/store'
import type { Host } from '../../components/state/transport'
import { usePicture } from '../../components/state/usePicture'
import { useSelection } from '../../components/state/useSelection'
import { Timeline } from '../../components/Timeline'
import type { Action, Picture } from '../../messages'
import { Link, useQuery } from '../router'
import { ErrorState, Loading } from '../states'
import { pictureAddress } from '../transport'
import { useResource } from '../useResource'
import { ChangeDialog, type Intent } from './ChangeDialog'
import { taskPlace } from './links'
import type { ShownRun } from './runStore'

const HOST: Host = {}

interface Props {
  details: RunDetails
  shown: ShownRun
  tab: 'graph' | 'gantt'
}

export function GraphOrGantt({ details, shown, tab }: Props) {
  const { dag, run, store } = shown
  const [wanted, setWanted] = useQuery('task')
  const [query, setQuery] = useState('')
  const [showsCritical, setShowsCritical] = useState(false)
  const [intent, setIntent] = useState<Intent>()
  const graph = useRef<GraphHandle>(null)
  const first = usePictureOf(details, shown, tab === 'graph')
  const { picture, arrange } = usePicture(store)
  const drawn = useListed(shown, picture)
  const selection = useSelection(drawn)
  const { task, chain, box, boxOf, selectBox, selectTask, clear } = selection

  // The address names the selected task, so that it can be sent and reached again.
  useEffect(() => {
    if (wanted && wanted !== task) selectTask(wanted)
  }, [wanted, drawn])
  const loaded = drawn.order.length > 0
  useEffect(() => {
    if (loaded && task !== wanted && (task || !wanted || drawn.order.includes(wanted))) setWanted(task)
  }, [task])
  const showTask = useCallback(
    (id: string) => {
      selectTask(id)
      const place = boxOf(id)
      if (place) graph.current?.show(place)
    },
    [selectTask, boxOf],
  )

  const critical = useCriticalPath(store, drawn, run, showsCritical)
  const found = useMemo(() => {
    const text = query.trim().toLowerCase()
    return text ? drawn.order.filter((each) => each.toLowerCase().includes(text)) : []
  }, [query, drawn])
  const highlighted = useMemo(
    () => (found.length ? new Set(found.map(boxOf)) : critical?.boxes),
    [found, boxOf, critical],
  )
  const act = (action: Action, of = '') => {
    if (action === 'retry') setIntent({ kind: 'clear', tasks: [of], downstream: true })
    if (action === 'retry_only') setIntent({ kind: 'clear', tasks: [of], downstream: false })
  }
  const open = task !== '' || chain.length > 0
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: Escape closes the panel from any element in it
    <div
      class={`nbdag-body${open ? ' nbdag-open' : ''}`}
      onKeyDown={(event) => {
        if (event.key === 'Escape' && open) clear()
      }}
    >
      <div class="nbdag-main">
        {tab === 'gantt' ? (
          <Timeline
            store={store}
            picture={drawn}
            run={run}
            selected={task}
            critical={critical?.tasks}
            onSelect={selectTask}
          />
        ) : picture.nodes.length ? (
          <>
            <Graph
              store={store}
              picture={picture}
              run={run}
              selected={box}
              highlighted={highlighted}
              onSelect={selectBox}
              handle={graph}
            />
            <GraphTools
              picture={picture}
              graph={graph}
              arrange={arrange}
              showsCritical={showsCritical}
              onCritical={setShowsCritical}
            />
            <input
              class="run-find"
              type="search"
              placeholder="Find a task"
              aria-label="Find a task"
              value={query}
              onInput={(event) => setQuery(event.currentTarget.value)}
              onKeyDown={(event) => {
                if (event.key === 'Enter' && found[0]) showTask(found[0])
              }}
            />
          </>
        ) : first.error ? (
          <ErrorState error={first.error} onRetry={first.reload} />
        ) : first.data ? (
          <p class="nbdag-empty">This run has no tasks.</p>
        ) : (
          <Loading what="Drawing the graph" />
        )}
      </div>
      {task ? (
        <TaskPanel
          key={task}
          store={store}
          host={HOST}
          run={run}
          task={task}
          act={act}
          onSelect={showTask}
          onClose={clear}
          more={
            <Link class="pg-button" to={taskPlace(dag, run, task)} title="All attempts, the log, and why">
              Open
            </Link>
          }
        />
      ) : chain.length ? (
        <ChainPanel
          store={store}
          run={run}
          tasks={chain}
          onSelect={selectTask}
          onClose={clear}
          onUnfold={
            picture.folded.includes(box)
              ? () => arrange({ folded: picture.folded.filter((each) => each !== box) })
              : undefined
          }
        />
      ) : null}
      {intent ? <ChangeDialog shown={shown} intent={intent} onClose={() => setIntent(undefined)} /> : null}
    </div>
  )
}

/** Load the picture of the run's notebook into the store, if it is needed. */
function usePictureOf({ run: { digest } }: RunDetails, { dag, run, store, transport }: ShownRun, needed: boolean) {
  const found = useResource<Picture>(needed ? pictureAddress(dag, run) : undefined, NEVER)
  useEffect(() => {
    if (found.data && found.data !== store.picture) {
      transport.deliver({ kind: 'picture', view: '', picture: found.data })
    }
  }, [found.data, store, transport])
  // The notebook of a run changes only if the run is cleared with the deployed version.
  const drawn = useRef(digest)
  useEffect(() => {
    if (drawn.current !== digest) found.reload()
    drawn.current = digest
  }, [digest])
  return found
}

const NEVER = () => false

/** Return the picture; while there is none, one with the tasks of the run in their order and without boxes. */
function useListed({ store, run }: ShownRun, picture: Picture): Picture {
  useTopics(store, picture.order.length ? [] : [runTopic(run)])
  const tasks = picture.order.length ? [] : store.tasks(run)
  const names = tasks.join('\n')
  return useMemo(() => (tasks.length ? { ...picture, order: [...tasks] } : picture), [picture, names])
}
