// The graph, the timeline or the grid of a pipeline, with a panel for the selected task or chain beside it.
import type { ComponentChildren, RefObject } from 'preact'
import { useCallback, useMemo, useRef, useState } from 'preact/hooks'
import type { Picture } from '../messages'
import { Grid } from './Grid'
import { Graph, type GraphHandle } from './graph/Graph'
import { GraphTools } from './graph/GraphTools'
import { useCriticalPath } from './graph/useCriticalPath'
import { ChainPanel } from './panel/ChainPanel'
import { TaskPanel } from './panel/TaskPanel'
import type { Store } from './state/store'
import type { Host } from './state/transport'
import type { Act } from './state/useActions'
import type { Arrangement } from './state/usePicture'
import type { Selection } from './state/useSelection'
import { Timeline } from './Timeline'

export type View = 'graph' | 'timeline' | 'grid'

interface Props {
  store: Store
  host: Host
  picture: Picture
  arrange: (change: Arrangement) => void
  run: string // id of the shown run, or "" for the live session
  view: View
  selection: Selection
  found: readonly string[] // ids of the tasks that a search has found, which the graph highlights
  act: Act
  onRun: (run: string) => void
  graph: RefObject<GraphHandle | null>
  more?: (task: string) => ComponentChildren // in the head of a task's panel
}

export function Workspace(props: Props) {
  const { store, host, picture, arrange, run, view, selection, found, act, onRun, graph, more } = props
  const [showsCritical, setShowsCritical] = useState(false)
  const root = useRef<HTMLDivElement>(null)
  const { task, chain, box, boxOf, selectBox, selectTask, clear } = selection
  const critical = useCriticalPath(store, picture, run, showsCritical)
  const highlighted = useMemo(
    () => (found.length ? new Set(found.map(boxOf)) : critical?.boxes),
    [found, boxOf, critical],
  )
  const showTask = useCallback(
    (id: string) => {
      selectTask(id)
      const place = boxOf(id)
      if (place) graph.current?.show(place)
    },
    [selectTask, boxOf, graph],
  )
  const selectCell = useCallback(
    (id: string, of?: string) => {
      if (of !== undefined) onRun(of)
      selectTask(id)
    },
    [onRun, selectTask],
  )
  const close = useCallback(() => {
    clear()
    root.current?.querySelector<SVGElement>(`[data-id="${CSS.escape(box)}"]`)?.focus({ preventScroll: true })
  }, [clear, box])
  const open = Boolean(task || chain.length)
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: Escape closes the panel from any element in it
    <div
      class={`nbdag-body${open ? ' nbdag-open' : ''}`}
      ref={root}
      style={{ '--nbdag-tall': `${Math.round(height(picture, view))}px` }}
      onKeyDown={(event) => {
        if (event.key === 'Escape' && open) close()
      }}
    >
      <div class="nbdag-main">
        {view === 'timeline' ? (
          <Timeline
            store={store}
            picture={picture}
            run={run || (store.runs[0]?.id ?? '')}
            selected={task}
            critical={critical?.tasks}
            onSelect={selectTask}
          />
        ) : view === 'grid' ? (
          <Grid store={store} picture={picture} run={run} onRun={onRun} onSelect={selectCell} />
        ) : picture.order.length ? (
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
              store={store}
              picture={picture}
              graph={graph}
              arrange={arrange}
              showsCritical={showsCritical}
              onCritical={setShowsCritical}
            />
          </>
        ) : (
          <p class="nbdag-empty">No tasks yet: begin a cell with %%task NAME to add one.</p>
        )}
      </div>
      {task ? (
        <TaskPanel
          key={task}
          store={store}
          host={host}
          run={run}
          task={task}
          act={act}
          onSelect={showTask}
          onClose={close}
          more={more?.(task)}
        />
      ) : chain.length ? (
        <ChainPanel
          store={store}
          run={run}
          tasks={chain}
          onSelect={selectTask}
          onClose={close}
          onUnfold={
            picture.folded.includes(box)
              ? () => arrange({ folded: picture.folded.filter((each) => each !== box) })
              : undefined
          }
        />
      ) : null}
    </div>
  )
}

function height(picture: Picture, view: View): number {
  const wanted = view === 'graph' ? picture.height + 80 : picture.order.length * 26 + 90
  return Math.min(520, Math.max(190, wanted))
}
