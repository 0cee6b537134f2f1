// nbdag in the kernel of an open notebook: headers work there without a cell with %load_ext.
//
// One silent request loads the extension when the notebook has a header. The kernel executes it after the code that is
// already queued, so it delays nothing. A cell that is queued later finds its magic. The answer brings the executions
// from before this page was opened. Another such request after a %%dag cell brings the tasks that the cell has built.
import type { Kernel } from '@jupyterlab/notebook'
import type { CellExecution } from '../messages'
import type { Book } from './book'

// Not %load_ext, because a later %load_ext in the notebook would then print that the extension is already loaded.
const CODE = '__import__("nbdag").load_ipython_extension(get_ipython())'
const EXECUTED = '__import__("IPython").display.JSON(get_ipython()._nbdag.session.executed())'
const JSON_TYPE = 'application/json'

/** The result of loading a task of a run into the kernel, or the reason of a failure. */
interface Loaded {
  text: string
  cell: number | null
  line: number
  error?: string
}

export class KernelLink {
  private loaded = '' // id of the kernel that has the extension
  private gone = false // whether the notebook was closed
  private othersRan = false // whether another client, such as a second page, has executed code since the last idle status

  constructor(
    private readonly book: Book,
    private readonly enabled: () => boolean,
  ) {
    const { sessionContext, disposed } = book.panel
    sessionContext.statusChanged.connect((_, status) => {
      if (status === 'restarting' || status === 'autorestarting') this.reset()
      if (status !== 'idle') return
      this.ensure()
      if (this.othersRan) this.readExecutions(true)
      this.othersRan = false
    })
    sessionContext.iopubMessage.connect((_, { header, parent_header }) => {
      const own = sessionContext.session?.kernel?.clientId
      if (header.msg_type === 'execute_input' && parent_header.session !== own) this.othersRan = true
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

  private read(kernel: Kernel, code: string, replaces = false): void {
    const content = { code, silent: true, store_history: false, stop_on_error: false }
    kernel.requestExecute({ ...content, user_expressions: { executed: EXECUTED } }).done.then(
      ({ content: { status, user_expressions } }) => {
        if (this.loaded !== kernel.id) return
        this.book.kernelError =
          status === 'ok'
            ? ''
            : 'This kernel cannot load nbdag, so cells with headers fail in it. Install nbdag in its environment.'
        const known = user_expressions?.executed?.data?.[JSON_TYPE]
        if (known) this.book.executions.restore(known as Record<string, CellExecution>, replaces)
        this.book.schedule(0)
      },
      () => {
        this.loaded = '' // the kernel ended before it answered
      },
    )
  }

  /**
   * Once the kernel is idle, read its records, such as the tasks that a %%dag cell has built. With `replaces`, they
   * replace what this page has seen, because another client has executed cells.
   */
  readExecutions(replaces = false): void {
    const { kernel } = this.book.panel.sessionContext.session ?? {}
    if (this.gone || !kernel || kernel.id !== this.loaded) return
    this.read(kernel, '', replaces)
  }

  /** Load the inputs of a task of a run into the kernel. Throw an error with the reason if that fails. */
  async load(task: string, run: string): Promise<Loaded> {
    const { kernel } = this.book.panel.sessionContext.session ?? {}
    this.ensure()
    if (!kernel || kernel.id !== this.loaded) throw new Error('The notebook has no kernel with nbdag: start one first.')
    const call = `get_ipython()._nbdag.load_task(${JSON.stringify(task)}, ${JSON.stringify(run)})`
    const { content } = await kernel.requestExecute({
      code: '',
      silent: true,
      store_history: false,
      stop_on_error: false,
      user_expressions: { loaded: `__import__("IPython").display.JSON(${call})` },
    }).done
    const loaded = content.user_expressions?.loaded?.data?.[JSON_TYPE] as Loaded | undefined
    if (!loaded || loaded.error !== undefined) throw new Error(loaded?.error ?? 'The kernel could not load the task.')
    this.readExecutions()
    return loaded
  }

  private reset(): void {
    this.loaded = ''
    this.book.kernelError = ''
    this.book.executions.clear()
    this.book.schedule(0)
  }
}
