// The whole: a bar of what can be done, the graph or the timeline or the grid, and the panel of the task that is chosen.
import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { Chain } from './Chain'
import { useCritical } from './critical'
import { moment, several } from './format'
import { Graph, type GraphHandle } from './Graph'
import { Grid } from './Grid'
import { useTopics } from './hooks'
import type { Act, Direction, Picture } from './messages'
import { Panel } from './Panel'
import { Status } from './Status'
import { isActive, LIVE, type Store } from './store'
import { Timeline } from './Timeline'
import { Tools } from './Tools'
import type { Host } from './transport'

type Face = 'graph' | 'timeline' | 'grid'
const FACES: readonly Face[] = ['graph', 'timeline', 'grid']
const NEW: ReadonlySet<Act['what']> = new Set(['all', 'only', 'upto', 'from']) // they make a run
let views = 0

export function App({ store, host }: { store: Store; host: Host }) {
  const [view] = useState(() => `view${++views}`)
  const [own, setOwn] = useState<Picture>() // arranged as this view asked
  const [face, setFace] = useState<Face>('graph')
  const [run, setRun] = useState(LIVE)
  const [task, setTask] = useState('')
  const [query, setQuery] = useState('')
  const [showsCritical, setShowsCritical] = useState(false)
  const [notice, setNotice] = useState<{ level: string; text: string }>()
  const graph = useRef<GraphHandle>(null)
  const root = useRef<HTMLDivElement>(null)
  const arrangement = useRef<{ direction?: Direction; collapsed: boolean }>({ collapsed: false })
  useTopics(store, ['runs', 'picture'])

  // A picture of one's own is of the notebook as it was: a new one is asked for when that changes.
  const base = store.picture
  const picture = own ?? base
  const arrange = useCallback(
    (change: { direction?: Direction; collapsed?: boolean }) => {
      Object.assign(arrangement.current, change)
      const { direction, collapsed } = arrangement.current
      store.transport.send({ kind: 'arrange', view, direction: direction ?? 'auto', collapsed })
    },
    [store, view],
  )
  const first = useRef(base)
  useEffect(() => {
    if (first.current === base) return
    first.current = base
    const { direction, collapsed } = arrangement.current
    if (direction || collapsed) arrange({})
    else setOwn(undefined)
  }, [base, arrange])

  useEffect(
    () =>
      store.answers((told) => {
        if (told.kind === 'picture' && told.view === view) setOwn(told.picture)
        if (told.kind === 'notice') setNotice(told)
      }),
    [store, view],
  )

  // A run that begins while nothing else is looked at is followed.
  const followed = useRef('')
  const asked = useRef(false)
  useEffect(
    () =>
      store.on('runs', () => {
        const { newest } = store
        if (newest && newest !== followed.current) {
          followed.current = newest
          if (asked.current) {
            asked.current = false
            setRun(newest)
            setNotice(undefined)
          } else setNotice({ level: 'info', text: `A run has begun elsewhere: ${newest}` })
        }
      }),
    [store],
  )
  useEffect(() => store.need(run), [store, run])

  const brief = store.run(run)
  const order = picture.order
  const box = useMemo(() => {
    const found = new Map<string, string>()
    for (const node of picture.nodes) for (const member of node.members) found.set(member, node.id)
    return found
  }, [picture])
  const [open, setOpen] = useState('') // a chain that was chosen as a whole
  const chosen = open || box.get(task) || ''

  const choose = useCallback(
    (id: string) => {
      const node = picture.nodes.find((each) => each.id === id)
      setOpen(node && node.members.length > 1 ? id : '')
      setTask(node && node.members.length > 1 ? '' : id)
    },
    [picture],
  )
  const chooseTask = useCallback(
    (id: string) => {
      setOpen('')
      setTask(id)
      const found = box.get(id)
      if (found) graph.current?.show(found)
    },
    [box],
  )
  const chooseIn = useCallback((id: string, of?: string) => {
    if (of !== undefined) setRun(of)
    setOpen('')
    setTask(id)
  }, [])
  const close = useCallback(() => {
    const from = open || box.get(task) || ''
    setTask('')
    setOpen('')
    root.current?.querySelector<SVGElement>(`[data-id="${CSS.escape(from)}"]`)?.focus({ preventScroll: true })
  }, [task, open, box])

  const act = useCallback(
    async (what: Act['what'], of = '') => {
      setNotice(undefined)
      if (NEW.has(what) || what === 'deploy') {
        asked.current = NEW.has(what)
        try {
          await host.save?.()
        } catch {
          setNotice({ level: 'error', text: 'The notebook could not be saved, so the run takes what was saved last' })
        }
      }
      store.transport.send({ kind: 'act', what, task: of, run })
    },
    [store, host, run],
  )

  // Components get a jump that notifies the user when it fails.
  const around = useMemo<Host>(() => {
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

  const found = useMemo(() => {
    const words = query.trim().toLowerCase()
    return words ? order.filter((each) => each.toLowerCase().includes(words)) : []
  }, [query, order])
  const critical = useCritical(store, picture, run, showsCritical)
  const marked = useMemo(
    () => (found.length ? new Set(found.map((each) => box.get(each) ?? each)) : critical?.boxes),
    [found, box, critical],
  )

  const active = isActive(brief) ? brief : store.runs.find(isActive)
  const panel = task && order.includes(task) ? task : ''
  const members = open ? (picture.nodes.find((each) => each.id === open)?.members ?? []) : []
  const at = useRef(0)

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: Escape closes the panel from wherever one is in it
    <div
      class={`nbdag-app${panel || members.length ? ' nbdag-open' : ''}`}
      ref={root}
      data-lm-suppress-shortcuts="true"
      onKeyDown={(event) => {
        if (event.key === 'Escape' && (task || open)) close()
        if (event.key === '/' && !(event.target instanceof HTMLInputElement)) {
          event.preventDefault()
          root.current?.querySelector<HTMLInputElement>('input[type=search]')?.focus()
        }
      }}
    >
      <div class="nbdag-bar-top" role="toolbar" aria-label="Pipeline">
        <strong class="nbdag-title" title={picture.notebook || picture.dag}>
          {picture.dag}
        </strong>
        <select
          class="nbdag-runs"
          aria-label="What is shown"
          value={run}
          onChange={(event) => setRun(event.currentTarget.value)}
        >
          <option value={LIVE}>This session, live</option>
          {store.runs.map((each) => (
            <option key={each.id} value={each.id}>
              {`${symbol(each.state)} run ${moment(each.created)}${each.partial ? ', in part' : ''}`}
            </option>
          ))}
        </select>
        {store.can.has('all') ? (
          <button
            type="button"
            class="nbdag-primary"
            title="Run the whole notebook headlessly, in the background"
            onClick={() => act('all')}
          >
            <span aria-hidden="true">▶</span> Run all
          </button>
        ) : null}
        {brief?.state === 'failed' && store.can.has('retry_failed') ? (
          <button
            type="button"
            title="What failed, and what could not run because of it, again, in this run"
            onClick={() => act('retry_failed')}
          >
            Retry failed
          </button>
        ) : null}
        {active && store.can.has('cancel') ? (
          <button
            type="button"
            class="nbdag-danger"
            title={`Cancel run ${active.id}`}
            onClick={() => {
              setNotice({ level: 'info', text: 'Cancelling…' })
              store.transport.send({ kind: 'act', what: 'cancel', task: '', run: active.id })
            }}
          >
            <span aria-hidden="true">■</span> Cancel
          </button>
        ) : null}
        {store.can.has('deploy') ? (
          <button type="button" title="Hand the notebook to the scheduler" onClick={() => act('deploy')}>
            Deploy
          </button>
        ) : null}
        <span class="nbdag-gap" />
        <input
          type="search"
          placeholder="Find a task"
          aria-label="Find a task"
          value={query}
          onInput={(event) => {
            setQuery(event.currentTarget.value)
            at.current = 0
          }}
          onKeyDown={(event) => {
            if (event.key === 'Enter' && found.length) {
              const next = found[at.current++ % found.length]
              if (next) graph.current?.show(box.get(next) ?? next)
            }
            if (event.key === 'Escape') setQuery('')
            event.stopPropagation()
          }}
        />
        {query.trim() ? (
          <span class="nbdag-soft" role="status">
            {found.length ? several(found.length, 'task') : 'none'}
          </span>
        ) : null}
        <div class="nbdag-faces" role="group" aria-label="View">
          {FACES.map((each) => (
            <button type="button" key={each} aria-pressed={face === each} onClick={() => setFace(each)}>
              {each[0]?.toUpperCase()}
              {each.slice(1)}
            </button>
          ))}
        </div>
      </div>
      {notice ? (
        <div class={`nbdag-notice nbdag-${notice.level}`} role={notice.level === 'error' ? 'alert' : 'status'}>
          <span>{notice.text}</span>
          {notice.text.startsWith('A run has begun elsewhere') ? (
            <button
              type="button"
              onClick={() => {
                setRun(store.newest)
                setNotice(undefined)
              }}
            >
              Show it
            </button>
          ) : null}
          <button type="button" class="nbdag-close" aria-label="Dismiss" onClick={() => setNotice(undefined)}>
            ×
          </button>
        </div>
      ) : null}
      {picture.problems.length ? (
        <details class="nbdag-problems" open={picture.problems.length < 4}>
          <summary>{several(picture.problems.length, 'problem')}</summary>
          <ul>
            {picture.problems.map((problem) => (
              <li key={problem}>{problem}</li>
            ))}
          </ul>
        </details>
      ) : null}
      <div class="nbdag-body" style={{ '--nbdag-tall': `${Math.round(height(picture, face))}px` }}>
        <div class="nbdag-main">
          {face === 'graph' ? (
            order.length ? (
              <>
                <Graph
                  store={store}
                  picture={picture}
                  run={run}
                  chosen={chosen}
                  marked={marked}
                  onChoose={choose}
                  handle={graph}
                />
                <Tools
                  picture={picture}
                  graph={graph}
                  arrange={arrange}
                  showsCritical={showsCritical}
                  onCritical={setShowsCritical}
                />
              </>
            ) : (
              <p class="nbdag-empty">No task yet: tag a cell with %%task NAME to make it one.</p>
            )
          ) : face === 'timeline' ? (
            <Timeline
              store={store}
              run={run || (store.runs[0]?.id ?? '')}
              chosen={task}
              critical={critical?.tasks}
              onChoose={setTask}
            />
          ) : (
            <Grid store={store} run={run} onRun={setRun} onChoose={chooseIn} />
          )}
        </div>
        {panel ? (
          <Panel
            key={panel}
            store={store}
            host={around}
            run={run}
            task={panel}
            act={act}
            onChoose={chooseTask}
            onClose={close}
          />
        ) : null}
        {!panel && members.length ? (
          <Chain store={store} run={run} tasks={members} onChoose={setTask} onClose={close} />
        ) : null}
      </div>
      <Status store={store} run={run} order={order} />
    </div>
  )
}

function symbol(state: string): string {
  return { success: '✓', failed: '✗', running: '◐', queued: '…', cancelled: '−' }[state] ?? '?'
}

function height(picture: Picture, face: Face): number {
  const wanted = face === 'graph' ? picture.height + 80 : picture.order.length * 26 + 90
  return Math.min(520, Math.max(190, wanted))
}
