// The notebook around a widget, in JupyterLab and Notebook 7. It is found from a view of the widget's model.

export interface Editor {
  revealPosition(position: { line: number; column: number }): void
  /** CodeMirror's view. Only lines near the visible part of the editor are on the page. */
  editor?: {
    state: { doc: { lines: number; line(n: number): { from: number } } }
    domAtPos(position: number): { node: Node }
  }
}
export interface Cell {
  node: HTMLElement
  ready: Promise<void>
  isHidden: boolean
  editor?: Editor | null
}
export interface CodeCell extends Cell {
  model: { id: string; sharedModel: { getSource(): string }; executionCount: number | null }
  outputArea: { future: unknown }
}
export interface Notebook {
  widgets: readonly Cell[]
  isVisible: boolean
  update(): void
  scrollToItem(index: number, align: 'center'): Promise<void>
}
interface Future {
  done: Promise<{ content?: { status?: string; execution_count?: number | null } }>
}
export interface Kernel {
  status: string
  requestExecute(content: object, dispose?: boolean, metadata?: object): Future
}
interface Part {
  parent?: Part | null
}
export interface Manager {
  get_model?(id: string): Promise<{ views?: Record<string, Promise<{ luminoWidget?: Part }>> }>
}

/** Execute the text of a cell in a kernel, and show the outputs in the cell. Return whether it succeeded. */
export async function executeCell(kernel: Kernel, cell: CodeCell): Promise<boolean> {
  const { sharedModel, id } = cell.model
  const future = kernel.requestExecute({ code: sharedModel.getSource() }, false, { cellId: id })
  cell.outputArea.future = future
  const { content } = await future.done
  if (content?.execution_count) cell.model.executionCount = content.execution_count
  return content?.status === 'ok'
}

/** Find the notebook: the parent of a view of this model. */
export function notebookOf(manager: Manager | undefined, id: string): Promise<Notebook | undefined> {
  return ancestor(manager, id, (part): part is Notebook => 'scrollToItem' in part && 'widgets' in part)
}

/** Find the cell whose output shows this model. */
export function cellOf(manager: Manager | undefined, id: string): Promise<CodeCell | undefined> {
  return ancestor(manager, id, (part): part is CodeCell => 'outputArea' in part && 'model' in part)
}

async function ancestor<Found>(
  manager: Manager | undefined,
  id: string,
  matches: (part: object) => part is Found & object,
): Promise<Found | undefined> {
  const model = await manager?.get_model?.(id)
  for (const view of await Promise.all(Object.values(model?.views ?? {}))) {
    for (let part: Part | null | undefined = view.luminoWidget; part; part = part.parent) {
      if (matches(part)) return part
    }
  }
  return undefined
}
