// The side panel as a widget of JupyterLab. Each notebook has its own store, which lives as long as the notebook.
import { Widget } from '@lumino/widgets'
import { render } from 'preact'
import { save } from '../components/save'
import { noPicture, Store } from '../components/state/store'
import type { Host } from '../components/state/transport'
import type { Book } from './book'
import { executeCells, jump } from './cells'
import { pipelineIcon } from './icons'
import type { OptionHelp } from './options'
import { Panel } from './Panel'
import { BookTransport, type LoadTask } from './transport'

interface Opened {
  store: Store
  transport: BookTransport
  host: Host
}

export class SidePanel extends Widget {
  private book: Book | undefined
  private focus = 0
  private readonly opened = new Map<Book, Opened>()
  private readonly requested = new WeakMap<Book, string>() // runs to show as soon as there is a store
  private stop = () => {}

  constructor(
    private readonly options: OptionHelp,
    private readonly loadTask: LoadTask,
  ) {
    super()
    this.id = 'nbdag-panel'
    this.title.caption = 'Pipeline of the notebook'
    this.title.icon = pipelineIcon
    this.addClass('nbdag-side')
    this.node.dataset.lmSuppressShortcuts = 'true'
    this.node.style.minWidth = '330px' // inline, because JupyterLab's own style sheet sets a smaller width by id
    this.draw()
  }

  /** Show a notebook; null shows no notebook. */
  show_(book: Book | undefined): void {
    if (this.book) this.book.wanted = false
    this.stop()
    this.book = book
    // The store needs the first analysis, so it is created when the analysis arrives.
    this.stop = book?.changed.on(() => !this.opened.has(book) && this.draw()) ?? (() => {})
    this.draw()
  }

  /** Move the focus to the name in the form. */
  focusName(): void {
    this.focus += 1
    this.draw()
  }

  /** Show a run of a notebook, immediately or as soon as the notebook's panel is shown. */
  showRun(book: Book, run: string): void {
    this.requested.set(book, run)
    this.opened.get(book)?.store.requestRun(run)
  }

  forget(book: Book): void {
    if (this.book === book) this.show_(undefined)
    const found = this.opened.get(book)
    found?.store.close()
    found?.transport.close()
    this.opened.delete(book)
  }

  protected override onAfterShow(): void {
    this.draw()
  }

  protected override onAfterHide(): void {
    if (this.book) this.book.wanted = false
  }

  private draw(): void {
    const { book } = this
    if (!this.isVisible) {
      render(null, this.node)
      return
    }
    if (book && !book.wanted) {
      book.wanted = true
      if (!book.analysis) book.schedule(0)
    }
    const opened = book?.analysis ? this.open(book) : undefined
    render(
      <Panel
        book={book}
        store={opened?.store}
        host={opened?.host ?? {}}
        options={this.options}
        focusName={this.focus}
      />,
      this.node,
    )
  }

  private open(book: Book): Opened {
    const found = this.opened.get(book)
    if (found) return found
    const transport = new BookTransport(book, this.loadTask)
    const store = new Store(transport, book.picture ?? noPicture(''), transport.state)
    store.requestedRun = this.requested.get(book) ?? ''
    const host: Host = {
      jump: (cell, line) => jump(book, cell, line),
      execute: (cells) => executeCells(book, cells),
      async save() {
        await save(book.panel.context)
      },
    }
    const opened = { store, transport, host }
    this.opened.set(book, opened)
    return opened
  }
}
