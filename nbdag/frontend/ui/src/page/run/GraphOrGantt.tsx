// The graph or the timeline of a run, with a panel for the selected task beside it.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { RunDetails } from '../../api'
import type { GraphHandle } from '../../components/graph/Graph'
import { usePicture } from '../../components/graph/usePicture'
import { useTopics } from '../../components/state/hooks'
import { runTopic } from '../../components/state/store'
import type { Host } from '../../components/state/transport'
import { useSelection } from '../../components/state/useSelection'
import { Workspace } from '../../components/Workspace'
import type { Action, Picture } from '../../messages'
import { Link, useQuery } from '../router'
import { GRAPH_KEYS, useShortcuts } from '../shortcuts'
import { ErrorState, Loading } from '../states'
import { pictureAddress } from '../transport'
import { useResource } from '../useResource'
import { ChangeDialog, type Intent } from './ChangeDialog'
import { taskPlace } from './links'
import type { ShownRun } from './runStore'

const HOST: Host = {}
const NO_OTHER_RUN = () => {}

interface Props {
  details: RunDetails
  shown: ShownRun
  tab: 'graph' | 'gantt'
}

export function GraphOrGantt({ details, shown, tab }: Props) {
  const { dag, run, store } = shown
  const [wanted, setWanted] = useQuery('task')
  const [query, setQuery] = useState('')
  const [intent, setIntent] = useState<Intent>()
  const graph = useRef<GraphHandle>(null)
  const first = usePictureOf(details, shown, tab === 'graph')
  const { picture, arrange } = usePicture(store)
  const drawn = useListed(shown, picture)
  const selection = useSelection(drawn)
  const { task, boxOf, selectTask } = selection

  useShortcuts('In the graph', tab === 'graph' ? GRAPH_KEYS : [])

  // The address names the selected task, so that a link to this view shows the same task.
  useEffect(() => {
    if (wanted && wanted !== task) selectTask(wanted)
  }, [wanted, drawn])
  const loaded = drawn.order.length > 0
  useEffect(() => {
    if (loaded && task !== wanted && (task || !wanted || drawn.order.includes(wanted))) setWanted(task)
  }, [task])
  const found = useMemo(() => {
    const text = query.trim().toLowerCase()
    return text ? drawn.order.filter((each) => each.toLowerCase().includes(text)) : []
  }, [query, drawn])
  const act = (action: Action, of = '') => {
    if (action === 'retry') setIntent({ kind: 'clear', tasks: [of], downstream: true })
    if (action === 'retry_only') setIntent({ kind: 'clear', tasks: [of], downstream: false })
  }
  const waits = tab === 'graph' && !picture.nodes.length
  return (
    <>
      {waits ? (
        <div class="run-waits">
          {first.error ? (
            <ErrorState error={first.error} onRetry={first.reload} />
          ) : first.data && !first.data.nodes.length ? (
            <p class="nbdag-empty">This run has no tasks.</p>
          ) : (
            <Loading what="Drawing the graph" />
          )}
        </div>
      ) : (
        <>
          {tab === 'graph' ? (
            <div class="run-bar">
              <input
                type="search"
                placeholder="Find a task"
                aria-label="Find a task"
                value={query}
                onInput={(event) => setQuery(event.currentTarget.value)}
                onKeyDown={(event) => {
                  if (event.key === 'Enter' && found[0]) graph.current?.show(boxOf(found[0]))
                  if (event.key === 'Escape') setQuery('')
                }}
              />
            </div>
          ) : null}
          <Workspace
            store={store}
            host={HOST}
            picture={drawn}
            arrange={arrange}
            run={run}
            view={tab === 'graph' ? 'graph' : 'timeline'}
            selection={selection}
            found={found}
            act={act}
            onRun={NO_OTHER_RUN}
            graph={graph}
            fill
            more={(of) => (
              <Link class="pg-button" to={taskPlace(dag, run, of)} title="All attempts, the log, and why">
                Open
              </Link>
            )}
          />
        </>
      )}
      {intent ? <ChangeDialog shown={shown} intent={intent} onClose={() => setIntent(undefined)} /> : null}
    </>
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

/** Return the picture. While there is none, return one that has no boxes, only the order of the run's tasks. */
function useListed({ store, run }: ShownRun, picture: Picture): Picture {
  useTopics(store, picture.order.length ? [] : [runTopic(run)])
  const tasks = picture.order.length ? [] : store.tasks(run)
  const names = tasks.join('\n')
  return useMemo(() => (tasks.length ? { ...picture, order: [...tasks] } : picture), [picture, names])
}
