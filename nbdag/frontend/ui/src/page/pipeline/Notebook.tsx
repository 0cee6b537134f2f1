// The notebook of a pipeline, with the role of each cell and its state in the latest run in the margin.
import { useEffect, useState } from 'preact/hooks'
import type { Pipeline } from '../../api'
import { seconds } from '../../components/format'
import { ProblemList } from '../../components/ProblemList'
import { Sign, stateStyle } from '../../components/Sign'
import type { NotebookCell, NotebookMessage, RunMessage, TaskStatus } from '../../messages'
import { path } from '../location'
import { Markdown } from '../Markdown'
import { Link } from '../router'
import { Empty, Loaded } from '../states'
import { Time } from '../Time'
import { useResource } from '../useResource'

const ROLES: Record<NotebookCell['kind'], [label: string, meaning: string]> = {
  task: ['task', 'This cell is a task.'],
  parameters: ['parameters', "Runs first in every task's kernel; a run can set other values."],
  setup: ['setup', "Runs in every task's kernel before the task."],
  control: ['pipeline', 'Only magics of nbdag, which a run does not execute.'],
  builder: ['builder', 'Its code makes tasks when a run begins.'],
  scratch: ['skipped', 'A run does not execute this cell.'],
  prose: ['', ''],
}

const FIRST = 60 // number of cells that are drawn first, more than a window shows
const PAUSE = 50 // milliseconds between two drawings, in which the page can react to the user

export function Notebook({ pipeline: { id: dag, recent } }: { pipeline: Pipeline }) {
  const notebook = useResource<NotebookMessage>(
    path`dags/${dag}/notebook`,
    (change) => change.dag === dag && change.kind === 'dag',
  )
  const latest = recent.at(-1)
  const run = useResource<RunMessage>(
    latest ? path`dags/${dag}/runs/${latest.id}/tasks` : undefined,
    (change) => change.dag === dag && change.run === latest?.id,
  )
  const drawn = useDrawn(notebook.data?.cells.length ?? 0)
  return (
    <Loaded of={notebook} lines={12}>
      {({ cells, problems, explanations }) => (
        <div class="pg-notebook">
          <p class="nbdag-muted">
            {latest ? (
              <>
                The margin shows the states of run <Link to={path`/dags/${dag}/runs/${latest.id}`}>{latest.id}</Link>,{' '}
                <Time at={latest.created} />.
              </>
            ) : (
              'There is no run yet: the margin shows what each cell is.'
            )}
          </p>
          {problems.length ? (
            <details class="pg-problems" open>
              <summary>Problems</summary>
              <ProblemList problems={problems} explanations={explanations} />
            </details>
          ) : null}
          {cells.length ? null : <Empty title="The notebook has no cells" />}
          {cells.slice(0, drawn).map((cell, n) => (
            <Cell
              key={n}
              cell={cell}
              number={n + 1}
              statuses={latest ? run.data?.tasks : undefined}
              to={(task) =>
                latest
                  ? path`/dags/${dag}/runs/${latest.id}/tasks/${task}`
                  : `${path`/dags/${dag}/graph`}?task=${encodeURIComponent(task)}`
              }
            />
          ))}
        </div>
      )}
    </Loaded>
  )
}

/** Return the number of cells to draw: `FIRST` at once, then after each pause four times as many. */
function useDrawn(cells: number): number {
  const [drawn, setDrawn] = useState(FIRST)
  useEffect(() => {
    if (!cells || drawn >= cells) return
    const timer = setTimeout(() => setDrawn(drawn * 4), PAUSE)
    return () => clearTimeout(timer)
  }, [cells, drawn])
  return drawn
}

interface CellProps {
  cell: NotebookCell
  number: number
  statuses: Record<string, TaskStatus> | undefined
  to: (task: string) => string
}

function Cell({ cell: { kind, tasks, untagged, source }, number, statuses, to }: CellProps) {
  if (kind === 'prose') {
    return (
      <section class="pg-cell pg-prose" aria-label={`Cell ${number}, text`}>
        <div class="pg-margin" />
        <div class="pg-text">
          <Markdown text={source.map((line) => line.map(([, text]) => text).join('')).join('\n')} />
        </div>
      </section>
    )
  }
  const [role, meaning] = ROLES[kind]
  const [first] = tasks
  const status = tasks.length === 1 && first !== undefined ? statuses?.[first] : undefined
  return (
    <section class={`pg-cell pg-is-${kind}`} aria-label={`Cell ${number}, ${role}`}>
      <div class="pg-margin">
        {kind === 'task' && first !== undefined ? (
          <>
            <Link class="pg-plain pg-strong" to={to(first)}>
              {first}
            </Link>
            {status ? (
              <span title={status.reason}>
                <Sign state={status.state} /> {stateStyle(status.state).word}
                {status.duration === undefined ? '' : ` · ${seconds(status.duration)}`}
              </span>
            ) : statuses ? (
              <span class="nbdag-muted">not in this run</span>
            ) : (
              <span class="nbdag-muted">task</span>
            )}
          </>
        ) : (
          <span class={untagged ? 'pg-warn' : 'nbdag-muted'} title={untagged ? `${meaning} It has no tag.` : meaning}>
            {untagged ? 'not tagged' : role}
            {kind !== 'task' && tasks.length ? `, ${tasks.length} tasks` : ''}
          </span>
        )}
      </div>
      <pre>
        {trimmed(source).map((line, n) => (
          <div key={n}>
            {line.length
              ? line.map(([colour, text], at) => (
                  <span key={at} class={colour ? `nbdag-c-${colour}` : ''}>
                    {text}
                  </span>
                ))
              : '\n'}
          </div>
        ))}
      </pre>
    </section>
  )
}

/** Return the lines without empty lines at the end. */
function trimmed<Line extends { length: number }>(lines: readonly Line[]): readonly Line[] {
  return lines.slice(0, lines.findLastIndex(({ length }) => length > 0) + 1)
}
