// The item of the status bar: how many runs are running now.
import { Widget } from '@lumino/widgets'
import { plural } from '../components/format'
import { api } from '../page/api'
import { live } from '../page/live'
import { href } from '../page/location'

const SETTLE = 500 // milliseconds between two requests
const MOST = 100 // maximum number of runs that are counted

export class RunningItem extends Widget {
  private readonly link = document.createElement('a')
  private timer: ReturnType<typeof setTimeout> | undefined
  private wanted = true

  constructor() {
    super()
    this.addClass('nbdag-status')
    this.link.target = '_blank'
    this.link.rel = 'noopener'
    this.link.href = href('/')
    this.link.hidden = true
    this.node.append(this.link)
    live.onChange(({ kind }) => {
      if (kind === 'all' || kind === 'run') this.readSoon()
    })
    this.readSoon()
  }

  show_(wanted: boolean): void {
    this.wanted = wanted
    if (wanted) this.readSoon()
    else this.link.hidden = true
  }

  private readSoon(): void {
    if (!this.wanted) return
    this.timer ??= setTimeout(() => {
      this.timer = undefined
      void this.read()
    }, SETTLE)
  }

  private async read(): Promise<void> {
    let items: { dag: string }[] = []
    try {
      items = (await api.get<{ items: { dag: string }[] }>('runs', { state: 'running', limit: MOST })).items
    } catch {
      // Without a response, no run is known, so nothing is shown.
    }
    this.link.hidden = !items.length || !this.wanted
    this.link.textContent = `▶ ${plural(items.length, 'run')}`
    const names = [...new Set(items.map(({ dag }) => dag))]
    this.link.title = `Running now: ${names.slice(0, 10).join(', ')}${names.length > 10 ? ' …' : ''}`
  }
}
