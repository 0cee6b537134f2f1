// Execute cells of a widget's notebook. If the server has nbdag's extension, the extension executes the cells
// and updates its badges. Otherwise the widget executes them itself.
import { EXECUTE, type ExecuteRequest } from '../components/state/transport'
import type { CellPlace } from '../messages'
import { type CodeCell, executeCell, type Kernel, type Manager, notebookOf } from './notebook'

/** Execute cells in this order. Return why the last cells did not run, or "". */
export async function execute(
  manager: unknown,
  id: string,
  element: HTMLElement,
  cells: readonly CellPlace[],
): Promise<string> {
  const detail: ExecuteRequest = { cells }
  element.dispatchEvent(new CustomEvent(EXECUTE, { detail, bubbles: true }))
  if (detail.done) return detail.done
  const notebook = await notebookOf(manager as Manager | undefined, id)
  const kernel = (manager as { kernel?: Kernel | null } | undefined)?.kernel
  if (!notebook || !kernel) return 'This page does not give access to its notebook: execute the stale cells yourself.'
  for (const { index, id: cellId } of cells) {
    const cell = (notebook.widgets as CodeCell[]).find(({ model }) => model.id === cellId) ?? notebook.widgets[index]
    if (!cell || !('outputArea' in cell)) return `Cell ${index + 1} is no longer in the notebook.`
    if (!(await executeCell(kernel, cell as CodeCell))) return `Cell ${index + 1} failed, so later cells did not run.`
  }
  return ''
}
