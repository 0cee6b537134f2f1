// The difference between two notebooks, cell by cell. Unchanged cells and long unchanged parts of cells are folded.
import { useState } from 'preact/hooks'
import { plural } from '../../components/format'
import type { CellDifference, LineDifference, NotebookDifference, TaskDifference } from '../../messages'
import './diff.css'

const CONTEXT = 3 // number of unchanged lines that are shown around a change

/** A changed line with the lines around it, or a number of folded, unchanged lines. */
export type DiffRow = LineDifference | { folded: readonly LineDifference[] }

/** Return the lines of a cell with long unchanged parts folded. */
export function foldedLines(lines: readonly LineDifference[]): DiffRow[] {
  const near = lines.map((_, n) => {
    const [from, to] = [Math.max(0, n - CONTEXT), n + CONTEXT + 1]
    return lines.slice(from, to).some((each) => each.sign !== ' ')
  })
  const rows: DiffRow[] = []
  let n = 0
  while (n < lines.length) {
    if (near[n]) {
      rows.push(lines[n] as LineDifference)
      n += 1
      continue
    }
    const start = n
    while (n < lines.length && !near[n]) n += 1
    const folded = lines.slice(start, n)
    if (folded.length > 2) rows.push({ folded })
    else rows.push(...folded)
  }
  return rows
}

/** Return the cells, with consecutive unchanged cells as one list. */
export function groupedCells(cells: readonly CellDifference[]): (CellDifference | CellDifference[])[] {
  const groups: (CellDifference | CellDifference[])[] = []
  for (const cell of cells) {
    const last = groups.at(-1)
    if (cell.kind !== 'same') groups.push(cell)
    else if (Array.isArray(last)) last.push(cell)
    else groups.push([cell])
  }
  return groups
}

export function NotebookDiff({ difference: { same, cells, tasks } }: { difference: NotebookDifference }) {
  if (same) return <p class="nbdag-muted">All cells are equal.</p>
  return (
    <div class="pg-diff">
      <TaskChanges tasks={tasks} />
      {groupedCells(cells).map((each, n) =>
        Array.isArray(each) ? <SameCells key={n} cells={each} /> : <Cell key={n} cell={each} />,
      )}
    </div>
  )
}

function TaskChanges({ tasks }: { tasks: readonly TaskDifference[] }) {
  if (!tasks.length) return <p class="nbdag-muted">No task has changed.</p>
  return (
    <p class="pg-task-changes">
      {tasks.map(({ task, kind, changed }) => (
        <span key={task} class={`pg-${kind}`}>
          <strong>{task}</strong> {kind === 'changed' ? changed.join(', ') : kind}
        </span>
      ))}
    </p>
  )
}

function SameCells({ cells }: { cells: CellDifference[] }) {
  const [open, setOpen] = useState(false)
  if (open) {
    return (
      <>
        {cells.map((cell) => (
          <Cell key={`${cell.before} ${cell.after}`} cell={cell} />
        ))}
      </>
    )
  }
  return (
    <button type="button" class="pg-fold" onClick={() => setOpen(true)}>
      {plural(cells.length, 'unchanged cell')}
    </button>
  )
}

function Cell({ cell: { kind, before, after, lines } }: { cell: CellDifference }) {
  const number = (index: number | null) => (index === null ? '' : `cell ${index + 1}`)
  const place =
    before !== null && after !== null && before !== after
      ? `${number(before)} → ${number(after)}`
      : number(after ?? before)
  return (
    <section class={`pg-diff-cell pg-${kind}`} aria-label={`${place}, ${kind}`}>
      <header>
        <span>{place}</span>
        {kind === 'same' ? null : <span>{kind}</span>}
      </header>
      <Lines lines={lines} />
    </section>
  )
}

function Lines({ lines }: { lines: readonly LineDifference[] }) {
  const [whole, setWhole] = useState(false)
  const changed = lines.some((each) => each.sign !== ' ')
  const rows: readonly DiffRow[] = whole || !changed ? lines : foldedLines(lines)
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard
    <div class="pg-diff-lines" tabIndex={0} role="region" aria-label="Lines">
      {rows.map((row, n) =>
        'folded' in row ? (
          <button type="button" key={n} class="pg-fold" onClick={() => setWhole(true)}>
            {plural(row.folded.length, 'unchanged line')}
          </button>
        ) : row.sign === '-' ? (
          <del key={n}>
            <span class="nbdag-screen-reader">removed: </span>
            {row.text || '\u00a0'}
          </del>
        ) : row.sign === '+' ? (
          <ins key={n}>
            <span class="nbdag-screen-reader">added: </span>
            {row.text || '\u00a0'}
          </ins>
        ) : (
          <div key={n}>{row.text || '\u00a0'}</div>
        ),
      )}
    </div>
  )
}
