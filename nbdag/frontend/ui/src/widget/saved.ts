// The saved form of the widget: an image of its current picture. GitHub, nbviewer, nbconvert and a notebook
// opened without its kernel show this image. A notebook opened while the kernel still runs shows the widget
// again.
import { noteOf, STACK_OFFSET, sheetsOf } from '../components/graph/Box'
import { stateStyle } from '../components/Sign'
import { LIVE, type Store } from '../components/state/store'
import type { Picture, TaskStatus } from '../messages'

const VIEW = 'application/vnd.jupyter.widget-view+json'
// Key in an output's metadata; the value is the id of the widget that the image replaces.
const WIDGET_KEY = 'nbdag'
const PAUSE = 400 // milliseconds without an edit before the edits are reported
// JupyterLab's states of a save: see DocumentRegistry.SaveState.
type SaveState = 'started' | 'completed' | 'completed manually' | 'failed'
const IS_SAVED: Record<SaveState, boolean> = {
  started: false,
  completed: true,
  'completed manually': true,
  failed: false,
}

interface Data {
  [mime: string]: unknown
}
interface SavedNotebook {
  cells?: { outputs?: { data?: Data; metadata?: Data }[] }[]
}
interface Output {
  data: Data
  metadata?: Data
  setData(change: { data: Data }): void
}
interface CellModel {
  id?: string
  type?: string
  sharedModel?: { getSource?(): string }
  outputs?: { length: number; get(n: number): Output }
}
interface Notebook {
  toJSON(): SavedNotebook
  cells: { length: number; get(n: number): CellModel }
  dirty?: boolean
  collaborative?: boolean
  stateChanged?: Signal<unknown>
  contentChanged?: Signal<unknown>
}
interface Signal<Value> {
  connect(call: (sender: unknown, value: Value) => void): void
  disconnect(call: (sender: unknown, value: Value) => void): void
}
interface Context {
  model: Notebook
  saveState?: Signal<SaveState>
  save(): Promise<void>
}

/** Call `call` after each save of the notebook. The returned function ends this. */
export function onSaved({ saveState }: Context, call: () => void): () => void {
  const onState = (_: unknown, state: SaveState) => {
    if (IS_SAVED[state]) call()
  }
  saveState?.connect(onState)
  return () => saveState?.disconnect(onState)
}

/**
 * Call `call` with the edited cells whenever the user pauses (key: cell id; value: source). The returned function ends
 * this. Unsaved edits from before this call are reported, too.
 */
export function onEdited({ model }: Context, call: (sources: Record<string, string>) => void): () => void {
  const known = model.dirty ? new Map<string, string>() : sourcesOf(model)
  let timer: ReturnType<typeof setTimeout> | undefined
  const report = () => {
    const edited = [...sourcesOf(model)].filter(([id, source]) => known.get(id) !== source)
    for (const [id, source] of edited) known.set(id, source)
    if (edited.length) call(Object.fromEntries(edited))
  }
  const onChange = () => {
    clearTimeout(timer)
    timer = setTimeout(report, PAUSE)
  }
  if (model.dirty) onChange()
  model.contentChanged?.connect(onChange)
  return () => {
    clearTimeout(timer)
    model.contentChanged?.disconnect(onChange)
  }
}

function sourcesOf({ cells }: Notebook): Map<string, string> {
  const found = new Map<string, string>()
  if (!cells) return found // the document was closed after the edit
  for (let n = 0; n < cells.length; n += 1) {
    const { id, type, sharedModel } = cells.get(n)
    const source = type === 'code' ? sharedModel?.getSource?.() : undefined
    if (id !== undefined && source !== undefined) found.set(id, source)
  }
  return found
}

/** Return the notebook's document if the page can save notebooks, as JupyterLab and Notebook 7 can. */
export function documentOf(manager: unknown): Context | undefined {
  const context = (manager as { context?: Partial<Context> } | undefined)?.context
  return context?.model?.toJSON && context.model.cells && context.save ? (context as Context) : undefined
}

// Value: the images of a notebook's widgets, by the widget's id. An image remains after the widget is closed.
const images = new WeakMap<Notebook, Map<string, () => string>>()

/**
 * Save the current image of this widget with the notebook. After the returned function is called, save the
 * last image.
 */
export function keepPicture({ model: notebook }: Context, id: string, store: Store): () => void {
  const draw = () => toSvg(store.picture, (tasks) => store.combinedStatus(LIVE, tasks))
  const own = images.get(notebook) ?? replaceWidgets(notebook)
  own.set(id, draw)
  restoreWidget(notebook, id)
  return () => {
    const last = draw()
    own.set(id, () => last)
  }
}

/** Make the notebook save the images in the returned map in place of their widgets. */
function replaceWidgets(notebook: Notebook): Map<string, () => string> {
  const own = new Map<string, () => string>()
  images.set(notebook, own)
  const toJSON = notebook.toJSON.bind(notebook)
  notebook.toJSON = () => withImages(toJSON(), own)
  return own
}

/** Return the notebook to save, in which an image replaces each of these widgets. */
export function withImages(notebook: SavedNotebook, drawings: ReadonlyMap<string, () => string>): SavedNotebook {
  const cells = notebook.cells?.map((cell) => {
    if (!cell.outputs?.some(({ data }) => drawings.has(modelOf(data)))) return cell
    const outputs = cell.outputs.map((output) => {
      const id = modelOf(output.data)
      const svg = drawings.get(id)?.()
      if (svg === undefined) return output
      const data = { 'image/svg+xml': svg, 'text/plain': output.data?.['text/plain'] ?? 'a graph' }
      return { ...output, data, metadata: { ...output.metadata, [WIDGET_KEY]: id } }
    })
    return { ...cell, outputs }
  })
  return cells ? { ...notebook, cells } : notebook
}

function modelOf(data: Data | undefined): string {
  return (data?.[VIEW] as { model_id?: string } | undefined)?.model_id ?? ''
}

/** Replace each saved image of this widget by the widget. */
function restoreWidget(notebook: Notebook, id: string): void {
  const { dirty } = notebook
  for (let n = 0; n < notebook.cells.length; n += 1) {
    const { outputs } = notebook.cells.get(n)
    for (let m = 0; m < (outputs?.length ?? 0); m += 1) {
      const output = outputs?.get(m)
      if (output?.metadata?.[WIDGET_KEY] !== id || modelOf(output.data)) continue
      output.setData({ data: { ...output.data, [VIEW]: { version_major: 2, version_minor: 0, model_id: id } } })
    }
  }
  if (dirty === false) notebook.dirty = false
}

/** Return the picture as an SVG image that is legible on white and on black. */
export function toSvg(picture: Picture, status: (tasks: readonly string[]) => TaskStatus): string {
  const lines = picture.lines.map(
    (line) =>
      `<path d="${line.path}" fill="none" stroke="#8a94a0"${line.files.length ? ' stroke-dasharray="2 3"' : line.declared ? ' stroke-dasharray="5 3"' : ''}/><path d="${line.tip}" fill="#8a94a0"/>` +
      (line.label
        ? `<text x="${line.x}" y="${line.y + 3.8}" font-size="11" text-anchor="middle" fill="#768390">${escapeXml(line.label)}</text>`
        : ''),
  )
  const boxes = picture.nodes.map((node) => {
    const current = status(node.members)
    const { colour, path, filled } = stateStyle(current.state)
    const sheets = sheetsOf(node)
    const stack = STACK_OFFSET * (sheets.length - 1)
    const [left, top] = [node.x - node.width / 2, node.y - node.height / 2 + stack]
    const middle = top + (node.height - stack) / 2
    const note = noteOf(node, current, current.started ?? 0)
    return (
      sheets
        .map(
          (n) =>
            `<rect x="${left + STACK_OFFSET * n}" y="${top - STACK_OFFSET * n}" width="${node.width - stack}" height="${node.height - stack}" rx="7" fill="#fff" stroke="${colour}"/>`,
        )
        .join('') +
      `<g transform="translate(${left + 10} ${middle - 6})"><path d="${filled}" fill="${colour}"/><path d="${path}" fill="none" stroke="${colour}" stroke-width="1.6" stroke-linecap="round"/></g>` +
      `<text x="${left + 29}" y="${middle + (note ? -3 : 4.5)}" font-size="13" fill="#1f2328">${escapeXml(node.label)}</text>` +
      (note ? `<text x="${left + 29}" y="${middle + 12}" font-size="11" fill="#59636e">${escapeXml(note)}</text>` : '')
    )
  })
  const [width, height] = [picture.width + 16, picture.height + 16]
  const title = escapeXml(`${picture.dag}: ${picture.order.length} tasks`)
  return `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="${title}" width="${width}" height="${height}" viewBox="-8 -8 ${width} ${height}" font-family="Helvetica,Arial,'Liberation Sans',sans-serif"><title>${title}</title>${lines.join('')}${boxes.join('')}</svg>`
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
