// The graph, the timeline, the grid or the metrics of a pipeline, with a panel for the selected task or chain beside it.
import type { ComponentChildren, RefObject } from 'preact'
import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { Picture } from '../messages'
import { Grid } from './Grid'
import { Graph, type GraphHandle } from './graph/Graph'
import { GraphTools } from './graph/GraphTools'
import { useCriticalPath } from './graph/useCriticalPath'
import { useFittingLayout } from './graph/useFittingLayout'
import type { Arrangement } from './graph/usePicture'
import { StoreMetrics } from './metrics/Metrics'
import { ChainPanel } from './panel/ChainPanel'
import { TaskPanel } from './panel/TaskPanel'
import type { Store } from './state/store'
import type { Host } from './state/transport'
import type { Act } from './state/useActions'
import type { Selection } from './state/useSelection'
import { Timeline } from './Timeline'

export type View = 'graph' | 'timeline' | 'grid' | 'metrics'

const TOOLS = 38 // height in pixels of the row of tools below the graph
const MARGIN = 16
const MAX_HEIGHT = 680 // maximum height of the view in pixels; a higher view and its cell would not fit into a window
const TALLEST = 0.72 // maximum height of the view as a share of the window's height

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
  fill?: boolean // whether the view is as high as its container, not as high as its content
  more?: (task: string) => ComponentChildren // more content for the head of a task's panel
}

export function Workspace(props: Props) {
  const { store, host, picture, arrange, run, view, selection, found, act, onRun, graph, fill = false, more } = props
  const [showsCritical, setShowsCritical] = useState(false)
  const root = useRef<HTMLDivElement>(null)
  const { task, chain, box, boxOf, selectBox, selectTask, clear } = selection
  const tallest = useCallback(
    () => (fill ? (root.current?.clientHeight ?? 0) : Math.min(MAX_HEIGHT, TALLEST * window.innerHeight)) - TOOLS,
    [fill],
  )
  useFittingLayout(root, tallest, picture, arrange)
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
  // A panel below the graph may be out of view. Its head has a margin, so scrolling to it shows more than the head.
  useEffect(() => {
    if (open) root.current?.querySelector('.nbdag-panel > header')?.scrollIntoView?.({ block: 'nearest' })
  }, [open, task, box])
  // The panel of a wide, low graph is below the graph, so that it covers no boxes.
  const below = view === 'graph' && !fill && picture.width > 1.6 * picture.height
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: Escape closes the panel from any element in it
    <div
      class={`nbdag-body${open ? ' nbdag-open' : ''}${below ? ' nbdag-below' : ''}${fill ? ' nbdag-fill' : ''}`}
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
        ) : view === 'metrics' ? (
          <StoreMetrics store={store} run={run} onRun={onRun} />
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
  if (view === 'metrics') return 260
  const wanted = view === 'graph' ? picture.height + 2 * MARGIN + TOOLS : picture.order.length * 26 + 90
  return Math.min(MAX_HEIGHT, Math.max(190, wanted))
}
