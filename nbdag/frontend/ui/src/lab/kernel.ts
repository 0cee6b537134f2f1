// nbdag in the kernel of an open notebook: headers work there without a cell with %load_ext.
//
// One silent request loads the extension when the notebook has a header. The kernel executes it after what is queued
// already, so it delays nothing, and a cell that is queued later finds its magic. The answer brings the executions from
// before this page was opened. Another such request after a %%dag cell brings the tasks that the cell has built.
import type { Kernel } from '@jupyterlab/notebook'
import type { CellExecution } from '../messages'
import type { Book } from './book'

// Unlike %load_ext, which would make a later %load_ext in the notebook print that the extension is loaded already.
const CODE = '__import__("nbdag").load_ipython_extension(get_ipython())'
const EXECUTED = '__import__("IPython").display.JSON(get_ipython()._nbdag.session.executed())'
const JSON_TYPE = 'application/json'

export class KernelLink {
  private loaded = '' // id of the kernel that has the extension
  private gone = false // whether the notebook was closed

  constructor(
    private readonly book: Book,
    private readonly enabled: () => boolean,
  ) {
    const { sessionContext, disposed } = book.panel
    sessionContext.statusChanged.connect((_, status) => {
      if (status === 'restarting' || status === 'autorestarting') this.reset()
      if (status === 'idle') this.ensure()
    })
    sessionContext.kernelChanged.connect(() => this.reset())
    disposed.connect(() => {
      this.gone = true
    })
    void sessionContext.ready.then(() => this.ensure())
    book.changed.on(() => this.ensure())
  }

  /** Load the extension, unless the kernel has it or the notebook needs none. */
  ensure(): void {
    const { kernel } = this.book.panel.sessionContext.session ?? {}
    if (this.gone || !kernel || kernel.id === this.loaded || !this.enabled() || !this.book.isPipeline) return
    const { defaultKernelLanguage } = this.book.panel.context.model
    if (defaultKernelLanguage && !/^i?python/i.test(defaultKernelLanguage)) return
    this.loaded = kernel.id
    this.read(kernel, CODE)
  }

  private read(kernel: Kernel, code: string): void {
    const content = { code, silent: true, store_history: false, stop_on_error: false }
    kernel.requestExecute({ ...content, user_expressions: { executed: EXECUTED } }).done.then(
      ({ content: { status, user_expressions } }) => {
        if (this.loaded !== kernel.id) return
        this.book.kernelError =
          status === 'ok'
            ? ''
            : 'This kernel cannot load nbdag, so cells with headers fail in it. Install nbdag in its environment.'
        const known = user_expressions?.executed?.data?.[JSON_TYPE]
        if (known) this.book.executions.restore(known as Record<string, CellExecution>)
        this.book.schedule(0)
      },
      () => {
        this.loaded = '' // the kernel ended before it answered
      },
    )
  }

  /** Read the tasks that a %%dag cell has built, once it has ended. */
  readBuilt(): void {
    const { kernel } = this.book.panel.sessionContext.session ?? {}
    if (this.gone || !kernel || kernel.id !== this.loaded) return
    this.read(kernel, '')
  }

  private reset(): void {
    this.loaded = ''
    this.book.kernelError = ''
    this.book.executions.clear()
    this.book.schedule(0)
  }
}
