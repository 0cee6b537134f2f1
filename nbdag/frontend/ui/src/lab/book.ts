// An open notebook: its cells, the analysis of its current text by the server, and the edits of its headers.
//
// The text is analysed while a person types, and never waits for a kernel. A notebook that does not use nbdag is not
// analysed until its panel is shown. Edits replace only the header's lines, in the shared model. So they can be undone,
// and other people may edit the same cell.
import type { Cell, CellModel, Notebook, NotebookPanel } from '@jupyterlab/notebook'
import type {
  AnalyzeRequest,
  CellEdit,
  CellInfo,
  CellProblem,
  NotebookAnalysis,
  NotebookRehearsal,
  NotebookSuggestion,
  PageCell,
  Picture,
  Role,
  TagRequest,
} from '../messages'
import { api } from '../page/api'
import { Emitter } from './events'
import { Executions } from './executions'

const SHARED_DRIVE = 'RTC:' // prefix of paths in the drive of jupyter-collaboration
const SETTLE = 250 // milliseconds after the last key press until the text is analysed
const MENTIONS = /^\s*%{1,2}(task|setup|params|skip|dag|edges)\b/m
const TAGS = ['parameters', 'skip-execution', 'injected-parameters']

export class Book {
  readonly executions = new Executions()
  /** Emits when the analysis has changed. */
  readonly changed = new Emitter()
  /** Emits when another cell becomes active. */
  readonly moved = new Emitter()
  analysis: NotebookAnalysis | undefined
  picture: Picture | undefined
  error: Error | undefined // why the latest analysis failed
  proposal: NotebookSuggestion | undefined // the tasks that nbdag has proposed for this copy of a notebook
  wanted = false // whether the panel shows this notebook
  kernelError = '' // why headers do not work in the kernel
  // Key: cell id; value: the findings of the latest rehearsal, and the text that the cell had then.
  private rehearsed = new Map<string, { source: string; findings: CellProblem[] }>()
  private cells: string[] = [] // ids of the analysed cells
  private indexes = new Map<string, number>() // key: id of an analysed cell; value: its index
  private timer: ReturnType<typeof setTimeout> | undefined
  private running = false
  private again = false

  constructor(readonly panel: NotebookPanel) {
    const { content, context } = panel
    content.modelContentChanged.connect(() => this.schedule())
    content.activeCellChanged.connect(() => this.moved.emit())
    context.pathChanged.connect(() => this.schedule())
    panel.disposed.connect(() => clearTimeout(this.timer))
    void context.ready.then(() => this.schedule(0))
  }

  get notebook(): Notebook {
    return this.panel.content
  }

  /** Return a path of the server as a path of JupyterLab, in the drive of this notebook. */
  inSameDrive(path: string): string {
    return this.panel.context.path.startsWith(SHARED_DRIVE) ? `${SHARED_DRIVE}${path}` : path
  }

  /** Show a proposal above the graph, or remove it. */
  propose(proposal: NotebookSuggestion | undefined): void {
    this.proposal = proposal
    this.changed.emit()
  }

  get path(): string {
    // A path in the collaborative drive of jupyter-collaboration begins with the drive's name.
    const { path } = this.panel.context
    return path.startsWith(SHARED_DRIVE) ? path.slice(SHARED_DRIVE.length) : path
  }

  /** Return whether this notebook is a pipeline, or its author has opened nbdag's view of it. */
  get isPipeline(): boolean {
    const cells = this.notebook.model?.cells // null once the document is closed
    if (!cells) return false
    for (let n = 0; n < cells.length; n += 1) {
      const cell = cells.get(n)
      if (cell.type === 'code' && MENTIONS.test(cell.sharedModel.getSource())) return true
    }
    return false
  }

  /** Return what the analysis says about a cell, or undefined if the cell is newer. */
  info(cell: Cell): CellInfo | undefined {
    return this.analysis?.cells[this.indexes.get(cell.model.id) ?? -1]
  }

  problems(cell: Cell): CellProblem[] {
    const { id, sharedModel } = cell.model
    const index = this.indexes.get(id)
    const found = index === undefined ? [] : (this.analysis?.problems.filter((problem) => problem.cell === index) ?? [])
    const rehearsed = this.rehearsed.get(id)
    return rehearsed?.source === sharedModel.getSource() ? [...found, ...rehearsed.findings] : found
  }

  /** Rehearse the saved notebook. A finding is shown at its cell until the cell is edited. */
  async rehearse(): Promise<NotebookRehearsal> {
    const cells = this.pageCells()
    const result = await api.post<NotebookRehearsal>('notebooks/rehearse', { path: this.path })
    this.rehearsed = new Map()
    for (const finding of result.findings) {
      const cell = finding.cell === null ? undefined : cells[finding.cell]
      if (!cell) continue
      const known = this.rehearsed.get(cell.id)
      this.rehearsed.set(cell.id, { source: cell.source, findings: [...(known?.findings ?? []), finding] })
    }
    this.changed.emit()
    return result
  }

  /** Return the notebook as the server analyses it. */
  request(): AnalyzeRequest {
    const { model } = this.notebook
    const language = model?.defaultKernelLanguage || 'python'
    // The panel beside the notebook is higher than wide, so its graph runs from top to bottom.
    return { path: this.path, language, cells: this.pageCells(), direction: 'TB' }
  }

  /** Analyse the notebook soon. */
  schedule(after = SETTLE): void {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => void this.analyze(), after)
  }

  private async analyze(): Promise<void> {
    if (this.panel.isDisposed || !this.notebook.model) return
    if (!this.wanted && !this.analysis && !this.isPipeline) {
      if (this.rehearsed.size) this.changed.emit() // an edited cell loses its findings
      return
    }
    if (this.running) {
      this.again = true
      return
    }
    this.running = true
    try {
      const request = this.request()
      const known = this.picture && this.analysis ? { shape: this.analysis.shape } : {}
      const analysis = await api.post<NotebookAnalysis>('notebooks/analyze', { ...request, ...known })
      if (this.panel.isDisposed) return
      this.picture = analysis.picture ?? this.picture
      this.analysis = analysis
      this.cells = request.cells.map(({ id }) => id)
      this.indexes = new Map(this.cells.map((id, index) => [id, index]))
      this.error = undefined
    } catch (error) {
      this.error = error as Error
    } finally {
      this.running = false
      if (this.again) {
        this.again = false
        this.schedule()
      }
    }
    this.changed.emit()
  }

  /** Give a cell another role. */
  async tag(cell: Cell, role: Role): Promise<CellEdit> {
    const index = this.notebook.widgets.indexOf(cell)
    const body: TagRequest = { cells: this.pageCells(), index, role }
    const edit = await api.post<CellEdit>('notebooks/tag', body)
    this.apply(cell, edit, body.cells[index]?.source ?? '')
    return edit
  }

  /** Edit the header of a cell, unless its text was edited since `source` was sent. */
  apply({ model }: Cell, edit: CellEdit, source: string): void {
    const shared = model.sharedModel
    if (shared.getSource() !== source) return
    const end = offsetOfLine(source, edit.lines)
    const tags = model.getMetadata('tags')
    const same = Array.isArray(tags) && tags.length === edit.tags.length
    shared.transact(() => {
      if (source.slice(0, end) !== edit.text) shared.updateSource(0, end, edit.text)
      if (edit.tags.length) {
        if (!same) model.setMetadata('tags', edit.tags)
      } else if (tags !== undefined && TAGS.some((tag) => (tags as string[]).includes?.(tag))) {
        model.deleteMetadata('tags')
      }
    })
    this.schedule(0)
  }

  /** Return the %dag line with a name or options, with its place. */
  dagLine(): { cell: CellModel; start: number; end: number; text: string } | undefined {
    const place = this.analysis?.dag_line
    const cell = place ? this.modelOf(this.cells[place.cell] ?? '') : undefined
    if (!place || !cell) return undefined
    const source = cell.sharedModel.getSource()
    const start = offsetOfLine(source, place.first)
    const end = offsetOfLine(source, place.first + place.lines)
    const text = source.slice(start, end).replace(/\n$/, '')
    return /^\s*%%?dag\s/.test(text) ? { cell, start, end: start + text.length, text } : undefined
  }

  /** Replace the %dag line, or add a cell for it. Return false if the line is not `before` any more. */
  writeDagLine(text: string, before: string): boolean {
    const line = this.dagLine()
    if ((line?.text ?? '') !== before) return false
    if (line) line.cell.sharedModel.updateSource(line.start, line.end, text)
    else {
      const { model } = this.notebook
      const first = this.notebook.widgets.findIndex((cell) => cell.model.type === 'code')
      model?.sharedModel.insertCell(Math.max(first, 0), { cell_type: 'code', source: text, metadata: {} })
    }
    this.schedule(0)
    return true
  }

  /** Return the text of a task's cell, or undefined if the notebook has no such task. */
  sourceOf(task: string): string | undefined {
    const index = this.analysis?.cells.findIndex((cell) => cell.task === task) ?? -1
    return this.modelOf(this.cells[index] ?? '')?.sharedModel.getSource()
  }

  private modelOf(id: string): CellModel | undefined {
    return this.notebook.widgets.find(({ model }) => model.id === id)?.model
  }

  private pageCells(): PageCell[] {
    const cells = this.notebook.model?.cells
    const found: PageCell[] = []
    for (let n = 0; n < (cells?.length ?? 0); n += 1) {
      const cell = cells?.get(n)
      if (!cell) continue
      const tags = cell.getMetadata('tags')
      const execution = this.executions.of(cell.id)
      found.push({
        id: cell.id,
        type: cell.type,
        source: cell.sharedModel.getSource(),
        tags: Array.isArray(tags) ? tags.filter((tag) => typeof tag === 'string') : [],
        ...(execution ? { execution } : {}),
      })
    }
    return found
  }
}

/** Return where a line begins in a text, or the text's length. */
export function offsetOfLine(source: string, line: number): number {
  let offset = 0
  for (let n = 0; n < line; n += 1) {
    const next = source.indexOf('\n', offset)
    if (next < 0) return source.length
    offset = next + 1
  }
  return offset
}
