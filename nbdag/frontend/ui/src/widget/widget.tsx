// The module that anywidget loads: it connects the components to the widget's comm and to the surrounding
// notebook.
import { render as renderTo } from 'preact'
import { App } from '../components/App'
import { save } from '../components/save'
import '../components/style.css'
import { Store } from '../components/state/store'
import type { Connection, Host, Transport } from '../components/state/transport'
import type { InitialState, Message, Picture, Request } from '../messages'
import { kernelConnection, silentConnection } from './connection'
import { execute } from './execute'
import { jump } from './jump'
import { documentOf, keepPicture, onEdited, onSaved } from './saved'

interface Model {
  get(name: 'picture'): Picture
  get(name: 'initial_state'): InitialState
  get(name: 'identity'): string
  send(content: Request): void
  on(event: string, call: (message: Message) => void): void
  off(event: string, call: (message: Message) => void): void
  widget_manager?: unknown
}

// Key: id of the model in the kernel. The model cannot be the key, because anywidget wraps it again for each view.
const stores = new Map<string, Store>()

function commTransport(model: Model, reported: Connection | undefined): Transport {
  const silent = silentConnection()
  return {
    connection: reported ?? silent.connection,
    send(request) {
      try {
        model.send(request)
      } catch {
        // The kernel has ended, so the request gets no answer. The view keeps its state.
        silent.fail()
      }
    },
    listen(receive) {
      const receivePicture = () => receive({ kind: 'picture', view: '', picture: model.get('picture') })
      model.on('msg:custom', receive)
      model.on('change:picture', receivePicture)
      return () => {
        model.off('msg:custom', receive)
        model.off('change:picture', receivePicture)
      }
    },
  }
}

/** Return what the page can do: JupyterLab and Notebook 7 can save and jump, other pages may not. */
function pageHost(model: Model, element: HTMLElement): Host {
  const context = documentOf(model.widget_manager)
  const host: Host = {}
  if (document.querySelector('.jp-Notebook')) {
    host.jump = (cell, line) => jump(model.widget_manager, model.get('identity'), cell, line)
    host.execute = (cells) => execute(model.widget_manager, model.get('identity'), element, cells)
  }
  if (context) {
    host.save = async () => {
      await save(context)
    }
  }
  return host
}

export default {
  initialize({ model }: { model: Model }) {
    const id = model.get('identity')
    const kernel = kernelConnection(model.widget_manager, id)
    const transport = commTransport(model, kernel?.connection)
    const store = new Store(transport, model.get('picture'), model.get('initial_state'))
    stores.set(id, store)
    const context = documentOf(model.widget_manager)
    const stops = context
      ? [
          keepPicture(context, id, store),
          onSaved(context, () => store.transport.send({ kind: 'saved' })),
          onEdited(context, (cells) => store.transport.send({ kind: 'edited', cells })),
        ]
      : []
    return () => {
      for (const stop of stops) stop()
      kernel?.close()
      store.close()
      stores.delete(id)
    }
  },
  render({ model, el }: { model: Model; el: HTMLElement }) {
    const store = stores.get(model.get('identity'))
    if (!store) return
    el.classList.add('nbdag-root')
    renderTo(<App store={store} host={pageHost(model, el)} />, el)
    return () => renderTo(null, el)
  },
}
