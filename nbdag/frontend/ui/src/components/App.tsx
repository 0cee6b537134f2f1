// The widget's whole view: a toolbar, notices, one of the views of the pipeline, and a status bar.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { ConnectionBar } from './ConnectionBar'
import type { GraphHandle } from './graph/Graph'
import { usePicture } from './graph/usePicture'
import { NoticeBar, ProgressBar } from './NoticeBar'
import { Problems } from './Problems'
import { RunForm } from './RunForm'
import { StatusBar } from './StatusBar'
import { useTopics } from './state/hooks'
import { RUNS, type Store } from './state/store'
import type { Host } from './state/transport'
import { useActions } from './state/useActions'
import { type Notice, useRun } from './state/useRun'
import { useSelection } from './state/useSelection'
import { useStale } from './state/useStale'
import { Toolbar } from './Toolbar'
import { type View, Workspace } from './Workspace'

export function App({ store, host }: { store: Store; host: Host }) {
  const [view, setView] = useState<View>('graph')
  const [query, setQuery] = useState('')
  const [notice, setNotice] = useState<Notice>()
  const [showsForm, setShowsForm] = useState(false)
  const graph = useRef<GraphHandle>(null)
  const root = useRef<HTMLDivElement>(null)
  const { picture, arrange } = usePicture(store)
  const shown = useRun(store, setNotice)
  const { run, selectRun } = shown
  const { act, pending } = useActions(store, host, shown, setNotice)
  const selection = useSelection(picture)
  const stale = useStale(store, host, run, setNotice)
  useTopics(store, [RUNS])

  useEffect(
    () =>
      store.onMessage((message) => {
        if (message.kind === 'notice') setNotice({ level: message.level, text: message.text })
        if (message.kind === 'place') void host.jump?.(message.cell, message.line).catch(() => {})
      }),
    [store, host],
  )

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

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the key / moves the focus to the search
    <div
      class="nbdag-app"
      ref={root}
      data-lm-suppress-shortcuts="true"
      onKeyDown={(event) => {
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
        pending={pending}
        stale={stale}
        showsForm={showsForm}
        onForm={setShowsForm}
        query={query}
        found={found}
        onQuery={setQuery}
        onFind={(id) => graph.current?.show(selection.boxOf(id))}
        view={view}
        onView={setView}
      />
      {showsForm && picture.parameters.length ? (
        <RunForm
          store={store}
          parameters={picture.parameters}
          onRun={(parameters) => {
            setShowsForm(false)
            act('all', '', undefined, parameters)
          }}
          onClose={() => setShowsForm(false)}
        />
      ) : null}
      <ConnectionBar store={store} />
      <ProgressBar store={store} pending={pending} />
      {notice ? <NoticeBar notice={notice} onRun={selectRun} onClose={() => setNotice(undefined)} /> : null}
      <Problems problems={picture.problems} explanations={picture.explanations} dropped={picture.dropped} />
      <Workspace
        store={store}
        host={notifyingHost}
        picture={picture}
        arrange={arrange}
        run={run}
        view={view}
        selection={selection}
        found={found}
        act={act}
        onRun={selectRun}
        graph={graph}
      />
      <StatusBar store={store} run={run} order={order} />
    </div>
  )
}
