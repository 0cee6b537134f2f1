// The notebook around a widget, in JupyterLab and Notebook 7: its widgets for cells, found from a view of the model.

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
interface Part {
  parent?: Part | null
}
export interface Manager {
  get_model?(id: string): Promise<{ views?: Record<string, Promise<{ luminoWidget?: Part }>> }>
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
