// The whole view: a toolbar, the graph or the timeline or the grid, and a panel for the selected task or
// chain.
import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { Picture } from '../messages'
import { Grid } from './Grid'
import { Graph, type GraphHandle } from './graph/Graph'
import { GraphTools } from './graph/GraphTools'
import { useCriticalPath } from './graph/useCriticalPath'
import { NoticeBar } from './NoticeBar'
import { Problems } from './Problems'
import { ChainPanel } from './panel/ChainPanel'
import { TaskPanel } from './panel/TaskPanel'
import { StatusBar } from './StatusBar'
import { useTopics } from './state/hooks'
import { RUNS, type Store } from './state/store'
import type { Host } from './state/transport'
import { useActions } from './state/useActions'
import { usePicture } from './state/usePicture'
import { type Notice, useRun } from './state/useRun'
import { useSelection } from './state/useSelection'
import { Timeline } from './Timeline'
import { Toolbar, type View } from './Toolbar'

export function App({ store, host }: { store: Store; host: Host }) {
  const [view, setView] = useState<View>('graph')
  const [query, setQuery] = useState('')
  const [showsCritical, setShowsCritical] = useState(false)
  const [notice, setNotice] = useState<Notice>()
  const graph = useRef<GraphHandle>(null)
  const root = useRef<HTMLDivElement>(null)
  const { picture, arrange } = usePicture(store)
  const shown = useRun(store, setNotice)
  const { run, selectRun } = shown
  const act = useActions(store, host, shown, setNotice)
  const selection = useSelection(picture)
  const { task, chain, box, boxOf, selectBox, selectTask, clear } = selection
  useTopics(store, [RUNS])

  useEffect(
    () =>
      store.onMessage((message) => {
        if (message.kind === 'notice') setNotice({ level: message.level, text: message.text })
      }),
    [store],
  )

  const showTask = useCallback(
    (id: string) => {
      selectTask(id)
      const found = boxOf(id)
      if (found) graph.current?.show(found)
    },
    [selectTask, boxOf],
  )
  const selectCell = useCallback(
    (id: string, of?: string) => {
      if (of !== undefined) selectRun(of)
      selectTask(id)
    },
    [selectRun, selectTask],
  )
  const close = useCallback(() => {
    clear()
    root.current?.querySelector<SVGElement>(`[data-id="${CSS.escape(box)}"]`)?.focus({ preventScroll: true })
  }, [clear, box])

  // Components get a function that jumps to a cell and shows a notice if the cell cannot be shown.
  const notifyingHost = useMemo<Host>(() => {
    const { jump } = host
    if (!jump) return host
    return {
      ...host,
      async jump(cell, line) {
        setNotice(undefined)
        const failed = await jump(cell, line).catch(() => `Cell ${cell + 1} cannot be shown.`)
        if (failed) setNotice({ level: 'error', text: failed })
        return failed
      },
    }
  }, [host])

  const { order } = picture
  const found = useMemo(() => {
    const text = query.trim().toLowerCase()
    return text ? order.filter((each) => each.toLowerCase().includes(text)) : []
  }, [query, order])
  const critical = useCriticalPath(store, picture, run, showsCritical)
  const highlighted = useMemo(
    () => (found.length ? new Set(found.map(boxOf)) : critical?.boxes),
    [found, boxOf, critical],
  )

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: Escape closes the panel from any element in it
    <div
      class={`nbdag-app${task || chain.length ? ' nbdag-open' : ''}`}
      ref={root}
      data-lm-suppress-shortcuts="true"
      onKeyDown={(event) => {
        if (event.key === 'Escape' && (task || chain.length)) close()
        if (event.key === '/' && !(event.target instanceof HTMLInputElement)) {
          event.preventDefault()
          root.current?.querySelector<HTMLInputElement>('input[type=search]')?.focus()
        }
      }}
    >
      <Toolbar
        store={store}
        picture={picture}
        run={run}
        onRun={selectRun}
        act={act}
        onNotice={setNotice}
        query={query}
        found={found}
        onQuery={setQuery}
        onFind={(id) => graph.current?.show(boxOf(id))}
        view={view}
        onView={setView}
      />
      {notice ? <NoticeBar notice={notice} onRun={selectRun} onClose={() => setNotice(undefined)} /> : null}
      <Problems problems={picture.problems} dropped={picture.dropped} />
      <div class="nbdag-body" style={{ '--nbdag-tall': `${Math.round(bodyHeight(picture, view))}px` }}>
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
            <Grid store={store} picture={picture} run={run} onRun={selectRun} onSelect={selectCell} />
          ) : order.length ? (
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
            </>
          ) : (
            <p class="nbdag-empty">No tasks yet: begin a cell with %%task NAME to add one.</p>
          )}
        </div>
        {task ? (
          <TaskPanel
            key={task}
            store={store}
            host={notifyingHost}
            run={run}
            task={task}
            act={act}
            onSelect={showTask}
            onClose={close}
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
      <StatusBar store={store} run={run} order={order} />
    </div>
  )
}

function bodyHeight(picture: Picture, view: View): number {
  const wanted = view === 'graph' ? picture.height + 80 : picture.order.length * 26 + 90
  return Math.min(520, Math.max(190, wanted))
}
