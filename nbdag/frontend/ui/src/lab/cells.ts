// Cells of an open notebook: show one, execute several, and read the place that an output names.
import { type Cell, NotebookActions } from '@jupyterlab/notebook'
import type { CellPlace } from '../messages'
import type { Book } from './book'

const PLACE = 'application/vnd.nbdag.place+json' // an output of %nbdag load

/** Show a line of a cell. Return why it cannot be shown, or "". */
export async function jump({ notebook }: Book, index: number, line: number): Promise<string> {
  const cell = notebook.widgets[index]
  if (!cell) return `Cell ${index + 1} is no longer in the notebook.`
  if (cell.isHidden) return `Cell ${index + 1} is under a collapsed heading: expand that first.`
  notebook.activeCellIndex = index
  await notebook.scrollToItem(index, 'center')
  await cell.ready
  cell.editor?.revealPosition({ line: line - 1, column: 0 })
  return ''
}

/** Execute cells in this order. Return why the last cells did not run, or "". */
export async function executeCells({ notebook, panel }: Book, places: readonly CellPlace[]): Promise<string> {
  const cells: Cell[] = []
  for (const { id, index } of places) {
    const cell = id ? notebook.widgets.find(({ model }) => model.id === id) : notebook.widgets[index]
    if (!cell) return `Cell ${index + 1} is no longer in the notebook.`
    cells.push(cell)
  }
  const succeeded = await NotebookActions.runCells(notebook, cells, panel.sessionContext)
  return succeeded ? '' : 'A cell failed, so the cells after it did not run.'
}

/** Return the place that an output of a cell names. */
export function placeOf({ model: { outputs } }: Cell): { cell: number; line: number } | undefined {
  for (let n = 0; n < (outputs?.length ?? 0); n += 1) {
    const place = outputs?.get(n).data[PLACE] as { cell?: unknown; line?: unknown } | undefined
    if (typeof place?.cell === 'number' && typeof place.line === 'number') return { cell: place.cell, line: place.line }
  }
  return undefined
}
