// What a saved notebook keeps of the widget: the picture as it stood, as a tiny widget of its own. Where the notebook is
// opened again without its kernel, that is what shows, in place of "model not found".
import type { Picture } from './messages'
import { look } from './Sign'
import type { Store } from './store'

const STATE = 'application/vnd.jupyter.widget-state+json'
const RENDER =
  'export default{render({model,el}){const i=document.createElement("img");i.alt=model.get("words");' +
  'i.style.maxWidth="100%";i.src="data:image/svg+xml;charset=utf-8,"+encodeURIComponent(model.get("svg"));el.append(i)}}'

interface Context {
  saveState: { connect(call: Call): void; disconnect(call: Call): void }
  model: { getMetadata(key: string): unknown; setMetadata(key: string, value: unknown): void; dirty?: boolean }
  save(): Promise<void>
}
type Call = (context: unknown, state: string) => void

/** The notebook's document, where the page has one that can be saved: in JupyterLab and Notebook 7. */
export function documentOf(manager: unknown): Context | undefined {
  const context = (manager as { context?: Partial<Context> } | undefined)?.context
  const whole = context?.saveState?.connect && context.model?.setMetadata && context.save
  return whole ? (context as Context) : undefined
}

/** Keep the picture in the notebook's metadata whenever it is saved, until the returned function is called. */
export function keepPicture(context: Context, model: string, anywidget: string, store: Store): () => void {
  const onSave: Call = (_, state) => {
    if (state !== 'started') return
    const before = (context.model.getMetadata('widgets') ?? {}) as Record<string, { state?: Record<string, unknown> }>
    const others = before[STATE]?.state ?? {}
    context.model.setMetadata('widgets', {
      ...before,
      [STATE]: {
        version_major: 2,
        version_minor: 0,
        ...before[STATE],
        state: { ...others, [model]: kept(store, anywidget) },
      },
    })
  }
  context.saveState.connect(onSave)
  return () => context.saveState.disconnect(onSave)
}

function kept(store: Store, anywidget: string) {
  const { picture } = store
  return {
    model_name: 'AnyModel',
    model_module: 'anywidget',
    model_module_version: anywidget,
    state: {
      _anywidget_id: 'nbdag.saved',
      _model_module: 'anywidget',
      _model_module_version: anywidget,
      _model_name: 'AnyModel',
      _view_module: 'anywidget',
      _view_module_version: anywidget,
      _view_name: 'AnyView',
      _view_count: null,
      _dom_classes: [],
      _esm: RENDER,
      svg: drawn(picture, (tasks) => store.together('', tasks).state),
      words: `${picture.dag}: ${picture.order.length} tasks`,
    },
  }
}

/** The picture alone, on white and on black alike. */
export function drawn(picture: Picture, state: (tasks: readonly string[]) => string): string {
  const lines = picture.lines.map(
    (line) =>
      `<path d="${line.path}" fill="none" stroke="#8a94a0"${line.declared ? ' stroke-dasharray="5 3"' : ''}/><path d="${line.tip}" fill="#8a94a0"/>`,
  )
  const boxes = picture.nodes.map((node) => {
    const { colour, path, filled } = look(state(node.members))
    const [left, top] = [node.x - node.width / 2, node.y - node.height / 2]
    return (
      `<rect x="${left}" y="${top}" width="${node.width}" height="${node.height}" rx="7" fill="#fff" stroke="${colour}"/>` +
      `<g transform="translate(${left + 10} ${node.y - 6})"><path d="${filled}" fill="${colour}"/><path d="${path}" fill="none" stroke="${colour}" stroke-width="1.6"/></g>` +
      `<text x="${left + 29}" y="${node.y + 4}" font-size="13" fill="#1f2328">${escaped(node.label)}</text>`
    )
  })
  const [width, height] = [picture.width + 16, picture.height + 16]
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="-8 -8 ${width} ${height}" font-family="Helvetica,Arial,sans-serif">${lines.join('')}${boxes.join('')}</svg>`
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`)
}
