// The grid of a pipeline: a column for each run, a row for each task or folded group. Only the rows in view are in the
// document, so the number of tasks is not limited.
import { memo } from 'preact/compat'
import { useMemo, useState } from 'preact/hooks'
import type { Pipeline } from '../../api'
import { localText, plural, seconds } from '../../components/format'
import { Sign, stateStyle } from '../../components/Sign'
import { useNow } from '../../components/state/hooks'
import { combinedState, rowsOf, type TaskRow } from '../../components/state/rows'
import { isActive } from '../../components/state/states'
import { equalHeights, useVisible } from '../../components/virtual'
import type { DisplayState, GridMessage, GridRun, Picture, RunSummary } from '../../messages'
import { href, navigate, path } from '../location'
import { heights } from '../pipelines/RunBars'
import { useQuery } from '../router'
import { useShortcuts } from '../shortcuts'
import { Empty, Loaded } from '../states'
import { bothZones } from '../Time'
import { useResource } from '../useResource'
import { useRunCount } from './useRunCount'

const ROW = 24 // height of a row in pixels
const COUNTS = ['20', '50', '100'] as const

export function RunGrid({ pipeline: { id: dag } }: { pipeline: Pipeline }) {
  const [limit, countField] = useRunCount(COUNTS)
  const [folds, setFolds] = useQuery('folded')
  const affects = (change: { dag?: string; kind: string }) => change.dag === dag && change.kind !== 'dag'
  const grid = useResource<GridMessage>(`${path`dags/${dag}/grid`}?limit=${limit}`, affects)
  const graph = useResource<Picture>(path`dags/${dag}/graph`, (change) => change.dag === dag && change.kind === 'dag')
  const groups = graph.data?.groups ?? []
  const folded = folds === 'all' ? groups : groups.filter((each) => folds.split(' ').includes(each))
  const query = folded.map((each) => `folded=${encodeURIComponent(each)}`).join('&')
  const foldedGraph = useResource<Picture>(query ? `${path`dags/${dag}/graph`}?${query}` : undefined, () => false)
  const picture = query ? (foldedGraph.data ?? graph.data) : graph.data
  return (
    <Loaded of={grid} lines={8}>
      {({ runs }) =>
        runs.length ? (
          <>
            <div class="pg-tab-tools">
              {countField}
              {groups.length ? (
                <button
                  type="button"
                  aria-pressed={folded.length > 0}
                  onClick={() => setFolds(folded.length ? '' : 'all')}
                >
                  Fold groups
                </button>
              ) : null}
              <span class="nbdag-spacer" />
              <Legend runs={runs} />
            </div>
            <Table dag={dag} runs={runs} rows={gridRows(picture, runs)} />
          </>
        ) : (
          <Empty title="No runs yet">
            <p>Each run becomes a column here, with the state of each task.</p>
          </Empty>
        )
      }
    </Loaded>
  )
}

/** Return a row for each task or folded group of the deployed version, then the tasks that only older runs have. */
export function gridRows(picture: Picture | undefined, runs: readonly GridRun[]): (TaskRow & { removed?: boolean })[] {
  const rows: (TaskRow & { removed?: boolean })[] = picture ? rowsOf(picture) : []
  const known = new Set(rows.flatMap((row) => row.members))
  const seen = new Set<string>()
  for (const { states } of [...runs].reverse()) {
    for (const task of Object.keys(states)) {
      if (known.has(task) || seen.has(task)) continue
      seen.add(task)
      rows.push({ id: task, members: [task], removed: picture !== undefined })
    }
  }
  return rows
}

function Legend({ runs }: { runs: readonly GridRun[] }) {
  const states = useMemo(() => {
    const found = new Set<DisplayState>()
    for (const run of runs) for (const state of Object.values(run.states)) found.add(state)
    found.delete('none')
    return [...found]
  }, [runs])
  return (
    <span class="pg-legend">
      {states.map((state) => (
        <span key={state}>
          <Sign state={state} /> {stateStyle(state).word}
        </span>
      ))}
    </span>
  )
}

interface TableProps {
  dag: string
  runs: readonly GridRun[]
  rows: readonly (TaskRow & { removed?: boolean })[]
}

function Table({ dag, runs, rows }: TableProps) {
  const [frame, setFrame] = useState<HTMLDivElement | null>(null)
  const [at, setAt] = useState({ row: 0, column: runs.length - 1 }) // the cell that the Tab key reaches
  const list = useMemo(() => equalHeights(rows.length, ROW), [rows.length])
  const { first, last } = useVisible(frame, list)
  useShortcuts('In the grid', [
    { keys: '← ↑ → ↓', label: 'Next cell in this direction' },
    { keys: 'Enter', label: 'Open the task' },
  ])
  const now = useNow(runs.some(({ summary }) => isActive(summary)))
  const durations = runs.map(({ summary: { started, ended } }) =>
    started === null ? undefined : (ended ?? now) - started,
  )
  const tall = heights(durations)
  const longest = Math.max(...durations.map((each) => each ?? 0))

  function onKeyDown(event: KeyboardEvent): void {
    const step = STEPS[event.key]
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return
    const place = event.target instanceof HTMLElement ? event.target.dataset.cell : undefined
    if (place === undefined) return
    event.preventDefault()
    const [from = 0, across = 0] = place.split(' ').map(Number)
    const row = Math.max(0, Math.min(rows.length - 1, from + step[0]))
    const column = Math.max(0, Math.min(runs.length - 1, across + step[1]))
    setAt({ row, column })
    requestAnimationFrame(() => frame?.querySelector<HTMLElement>(`[data-cell="${row} ${column}"]`)?.focus())
  }

  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard
    <div class="pg-grid" ref={setFrame} tabIndex={0} role="region" aria-label="Task states of the latest runs">
      <table onKeyDown={onKeyDown} onClick={follow} aria-rowcount={rows.length + 1}>
        <thead>
          <tr>
            <td>
              <span class="nbdag-muted">
                {plural(rows.length, 'task')}
                <br />
                up to {seconds(longest)}
              </span>
            </td>
            {runs.map(({ summary }, n) => (
              <ColumnHead
                key={summary.id}
                dag={dag}
                summary={summary}
                height={tall[n] ?? 3}
                duration={durations[n]}
                dated={isDated(runs, n)}
              />
            ))}
            <td class="pg-rest" />
          </tr>
        </thead>
        <tbody>
          {first > 0 ? <tr aria-hidden="true" style={{ height: `${list.top(first)}px` }} /> : null}
          {rows.slice(first, last).map(({ id, members, removed }, n) => (
            <tr key={id} aria-rowindex={first + n + 2}>
              <th scope="row" class={removed ? 'nbdag-muted' : ''}>
                <a
                  class="pg-plain"
                  href={href(`${path`/dags/${dag}/graph`}?task=${encodeURIComponent(members[0] ?? id)}`)}
                  title={removed ? `${id}, which the deployed version does not have` : members.join(', ')}
                >
                  {id}
                </a>
                {members.length > 1 ? <span class="nbdag-muted"> {members.length}</span> : null}
              </th>
              {runs.map(({ summary, states }, column) => (
                <Cell
                  key={summary.id}
                  dag={dag}
                  run={summary.id}
                  task={members[0] ?? id}
                  row={id}
                  state={combinedState(members.map((task) => states[task] ?? 'none'))}
                  absent={members.every((task) => states[task] === undefined)}
                  place={`${first + n} ${column}`}
                  reached={first + n === at.row && column === Math.min(at.column, runs.length - 1)}
                />
              ))}
              <td class="pg-rest" />
            </tr>
          ))}
          {last < rows.length ? <tr aria-hidden="true" style={{ height: `${list.total - list.top(last)}px` }} /> : null}
        </tbody>
      </table>
    </div>
  )
}

const STEPS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
}

/** Follow a link of the table within the page. */
function follow(event: MouseEvent): void {
  const link = event.target instanceof Element ? event.target.closest('a') : null
  if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
  event.preventDefault()
  const start = href('/')
  const { pathname, search } = link
  navigate(`/${pathname.slice(start.length)}${search}`)
}

/** Return whether a column shows its date: it is the first of a day, and no day begins in the two columns before it. */
function isDated(runs: readonly GridRun[], n: number): boolean {
  const day = (at: number) => new Date((runs[at]?.summary.created ?? 0) * 1000).toDateString()
  if (n === 0) return true
  if (day(n) === day(n - 1)) return false
  for (let back = 1; back < 3 && n - back >= 0; back++)
    if (n - back === 0 || day(n - back) !== day(n - back - 1)) return false
  return true
}

interface HeadProps {
  dag: string
  summary: RunSummary
  height: number
  duration: number | undefined
  dated: boolean
}

function ColumnHead({ dag, summary, height, duration, dated }: HeadProps) {
  const { id, state, created, partial } = summary
  const { word, colour } = stateStyle(state)
  const label = `Run ${id}, ${word}${partial ? ', some tasks only' : ''}${duration === undefined ? '' : `, ${seconds(duration)}`}`
  const date = localText(new Date(created * 1000), { month: 'short', day: 'numeric' })
  return (
    <th scope="col" class={dated ? 'pg-dated' : ''}>
      <a href={href(path`/dags/${dag}/runs/${id}`)} aria-label={label} title={`${label}\n${bothZones(created)}`}>
        <span class="pg-date" aria-hidden="true">
          {dated ? date : ''}
        </span>
        <i class={`nbdag-is-${state}`} style={{ height: `${height + 3}px`, color: colour }} />
        <Sign state={state} />
      </a>
    </th>
  )
}

interface CellProps {
  dag: string
  run: string
  task: string // the task that a click opens
  row: string
  state: DisplayState
  absent: boolean // whether the run does not have the task
  place: string
  reached: boolean
}

const Cell = memo(function Cell({ dag, run, task, row, state, absent, place, reached }: CellProps) {
  if (absent) return <td />
  const { word, colour } = stateStyle(state)
  return (
    <td>
      <a
        class={`nbdag-square nbdag-is-${state}`}
        style={{ color: colour }}
        href={href(path`/dags/${dag}/runs/${run}/tasks/${task}`)}
        tabIndex={reached ? 0 : -1}
        data-cell={place}
        title={`${row}: ${word}\n${run}`}
        aria-label={`${row}, ${word}`}
      >
        <Sign state={state} />
      </a>
    </td>
  )
})
