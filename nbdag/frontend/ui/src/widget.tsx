// What anywidget loads: the widget's comm as a transport, the notebook around it as a host.
import { render as draw } from 'preact'
import { App } from './App'
import { jump } from './jump'
import type { Beginning, Picture, Request, Told } from './messages'
import { documentOf, keepPicture, onSaved } from './saved'
import './style.css'
import { Store } from './store'
import type { Host, Transport } from './transport'

interface Model {
  get(name: 'picture'): Picture
  get(name: 'beginning'): Beginning
  get(name: 'identity'): string
  send(content: Request): void
  on(event: string, call: (told: Told) => void): void
  off(event: string, call: (told: Told) => void): void
  widget_manager?: unknown
}

// By the id that the kernel gave the model: anywidget wraps the model anew for each view.
const stores = new Map<string, Store>()

function transport(model: Model): Transport {
  return {
    send(request) {
      try {
        model.send(request)
      } catch {
        // The kernel is gone: what is known stays on view, and nothing answers.
      }
    },
    listen(hear) {
      const anew = () => hear({ kind: 'picture', view: '', picture: model.get('picture') })
      model.on('msg:custom', hear)
      model.on('change:picture', anew)
      return () => {
        model.off('msg:custom', hear)
        model.off('change:picture', anew)
      }
    },
  }
}

/** The page around the widget: what JupyterLab and Notebook 7 can do, others may not. */
function host(model: Model): Host {
  const context = documentOf(model.widget_manager)
  const found: Host = {}
  if (document.querySelector('.jp-Notebook')) {
    found.jump = (cell, line) => jump(model.widget_manager, model.get('identity'), cell, line)
  }
  if (context) {
    found.save = async () => {
      if (context.model.dirty) await context.save()
    }
  }
  return found
}

export default {
  initialize({ model }: { model: Model }) {
    const store = new Store(transport(model), model.get('picture'), model.get('beginning'))
    const id = model.get('identity')
    stores.set(id, store)
    const context = documentOf(model.widget_manager)
    const stops = context
      ? [keepPicture(context, id, store), onSaved(context, () => store.transport.send({ kind: 'saved' }))]
      : []
    return () => {
      for (const stop of stops) stop()
      store.close()
      stores.delete(id)
    }
  },
  render({ model, el }: { model: Model; el: HTMLElement }) {
    const store = stores.get(model.get('identity'))
    if (!store) return
    el.classList.add('nbdag-root')
    draw(<App store={store} host={host(model)} />, el)
    return () => draw(null, el)
  },
}
