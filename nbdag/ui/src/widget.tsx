// What anywidget loads: the widget's comm as a transport, the notebook around it as a host.
import { render as draw } from 'preact'
import { App } from './App'
import type { Beginning, Picture, Request, Told } from './messages'
import { documentOf, keepPicture } from './saved'
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

/** The notebook's page: JupyterLab and Notebook 7 draw cells alike. */
function host(model: Model): Host {
  const context = documentOf(model.widget_manager)
  const found: Host = {
    jump(from, cell, line) {
      const cells = from.closest('.jp-Notebook')?.querySelectorAll('.jp-Cell') ?? []
      const wanted = cells[cell]
      if (!wanted) return false
      const place = wanted.querySelectorAll('.cm-line')[line - 1] ?? wanted
      place.scrollIntoView({ block: 'center', behavior: 'smooth' })
      place.classList.add('nbdag-flash')
      setTimeout(() => place.classList.remove('nbdag-flash'), 1600)
      return true
    },
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
    const stop = context ? keepPicture(context, id, store) : undefined
    return () => {
      stop?.()
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
