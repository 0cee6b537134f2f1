// What a saved notebook keeps of the widget: the picture as it stands, in place of the widget. So GitHub, nbviewer, nbconvert
// and a notebook that is opened without its kernel show the last picture; where the kernel still is, the widget comes back.
import { note } from './Box'
import type { Picture, Standing } from './messages'
import { look } from './Sign'
import type { Store } from './store'

const VIEW = 'application/vnd.jupyter.widget-view+json'
const MARK = 'nbdag' // in an output's metadata: the widget whose picture it is

interface Data {
  [mime: string]: unknown
}
interface Written {
  cells?: { outputs?: { data?: Data; metadata?: Data }[] }[]
}
interface Output {
  data: Data
  metadata?: Data
  setData(change: { data: Data }): void
}
interface Notebook {
  toJSON(): Written
  cells: { length: number; get(n: number): { outputs?: { length: number; get(n: number): Output } } }
  dirty?: boolean
}
interface Signal {
  connect(call: (context: unknown, state: string) => void): void
  disconnect(call: (context: unknown, state: string) => void): void
}
interface Context {
  model: Notebook
  saveState?: Signal
  save(): Promise<void>
}

/** Be told when the notebook has been written, until the returned function is called. */
export function onSaved({ saveState }: Context, call: () => void): () => void {
  const hear = (_: unknown, state: string) => {
    if (state.startsWith('completed')) call()
  }
  saveState?.connect(hear)
  return () => saveState?.disconnect(hear)
}

/** The notebook's document, where the page has one that can be saved: in JupyterLab and Notebook 7. */
export function documentOf(manager: unknown): Context | undefined {
  const context = (manager as { context?: Partial<Context> } | undefined)?.context
  return context?.model?.toJSON && context.model.cells && context.save ? (context as Context) : undefined
}

// Of each notebook the widgets that are, or were, on it. What they last drew outlives them.
const kept = new WeakMap<Notebook, Map<string, () => string>>()

/** Have this widget's picture saved in its place, until the returned function is called; then as it stood last. */
export function keepPicture({ model: notebook }: Context, id: string, store: Store): () => void {
  let pictures = kept.get(notebook)
  if (!pictures) {
    pictures = new Map()
    kept.set(notebook, pictures)
    const drawing = pictures
    const write = notebook.toJSON.bind(notebook)
    notebook.toJSON = () => withPictures(write(), drawing)
  }
  const all = pictures
  all.set(id, () => drawn(store.picture, (tasks) => store.together('', tasks)))
  showAgain(notebook, id)
  return () => {
    const last = drawn(store.picture, (tasks) => store.together('', tasks))
    all.set(id, () => last)
  }
}

/** A notebook as it is written, with pictures where these widgets are. */
export function withPictures(notebook: Written, pictures: ReadonlyMap<string, () => string>): Written {
  const cells = notebook.cells?.map((cell) => {
    if (!cell.outputs?.some(({ data }) => pictures.has(modelOf(data)))) return cell
    const outputs = cell.outputs.map((output) => {
      const id = modelOf(output.data)
      const svg = pictures.get(id)?.()
      if (svg === undefined) return output
      const data = { 'image/svg+xml': svg, 'text/plain': output.data?.['text/plain'] ?? 'a graph' }
      return { ...output, data, metadata: { ...output.metadata, [MARK]: id } }
    })
    return { ...cell, outputs }
  })
  return cells ? { ...notebook, cells } : notebook
}

function modelOf(data: Data | undefined): string {
  return (data?.[VIEW] as { model_id?: string } | undefined)?.model_id ?? ''
}

/** Where a saved picture of this widget is shown, show the widget. */
function showAgain(notebook: Notebook, id: string): void {
  const { dirty } = notebook
  for (let n = 0; n < notebook.cells.length; n += 1) {
    const { outputs } = notebook.cells.get(n)
    for (let m = 0; m < (outputs?.length ?? 0); m += 1) {
      const output = outputs?.get(m)
      if (output?.metadata?.[MARK] !== id || modelOf(output.data)) continue
      output.setData({ data: { ...output.data, [VIEW]: { version_major: 2, version_minor: 0, model_id: id } } })
    }
  }
  if (dirty === false) notebook.dirty = false
}

/** The picture alone, on white and on black alike. */
export function drawn(picture: Picture, standing: (tasks: readonly string[]) => Standing): string {
  const lines = picture.lines.map(
    (line) =>
      `<path d="${line.path}" fill="none" stroke="#8a94a0"${line.declared ? ' stroke-dasharray="5 3"' : ''}/><path d="${line.tip}" fill="#8a94a0"/>` +
      (line.label
        ? `<text x="${line.x}" y="${line.y + 3.8}" font-size="11" text-anchor="middle" fill="#768390">${escaped(line.label)}</text>`
        : ''),
  )
  const boxes = picture.nodes.map((node) => {
    const now = standing(node.members)
    const { colour, path, filled } = look(now.state)
    const sheets = node.mapped || node.members.length > 1 ? [2, 1, 0] : [0]
    const room = 3.5 * (sheets.length - 1)
    const [left, top] = [node.x - node.width / 2, node.y - node.height / 2 + room]
    const middle = top + (node.height - room) / 2
    const words = note(node, now, now.started ?? 0)
    return (
      sheets
        .map(
          (n) =>
            `<rect x="${left + 3.5 * n}" y="${top - 3.5 * n}" width="${node.width - room}" height="${node.height - room}" rx="7" fill="#fff" stroke="${colour}"/>`,
        )
        .join('') +
      `<g transform="translate(${left + 10} ${middle - 6})"><path d="${filled}" fill="${colour}"/><path d="${path}" fill="none" stroke="${colour}" stroke-width="1.6" stroke-linecap="round"/></g>` +
      `<text x="${left + 29}" y="${middle + (words ? -3 : 4.5)}" font-size="13" fill="#1f2328">${escaped(node.label)}</text>` +
      (words ? `<text x="${left + 29}" y="${middle + 12}" font-size="11" fill="#59636e">${escaped(words)}</text>` : '')
    )
  })
  const [width, height] = [picture.width + 16, picture.height + 16]
  const said = escaped(`${picture.dag}: ${picture.order.length} tasks`)
  return `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="${said}" width="${width}" height="${height}" viewBox="-8 -8 ${width} ${height}" font-family="Helvetica,Arial,'Liberation Sans',sans-serif"><title>${said}</title>${lines.join('')}${boxes.join('')}</svg>`
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`)
}
