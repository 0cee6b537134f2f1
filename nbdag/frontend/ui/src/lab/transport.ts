// The transport of the panel: the open notebook is its live session, and the runs of its pipeline come from the server.
//
// The analysis of the notebook answers requests about the open text, and `RestTransport` answers requests about runs.
// The events of the server do not contain the changed data, so the list of runs is read again after each event.

import type { Affected } from '../api'
import type { Transport } from '../components/state/transport'
import type {
  Action,
  ActionRequest,
  InitialState,
  Message,
  NotebookAnalysis,
  Picture,
  Request,
  RunMessage,
  RunSummary,
  TaskDetails,
  TaskStatus,
} from '../messages'
import { api } from '../page/api'
import { live } from '../page/live'
import { RestTransport, runAddress } from '../page/transport'
import type { Book } from './book'
import { explain } from './explain'

const SETTLE = 300 // milliseconds between two readings of the list of runs
const RUNS = 20 // number of runs in the list
const ACTIONS: Action[] = [
  'all',
  'only',
  'upto',
  'from',
  'retry',
  'retry_only',
  'retry_failed',
  'cancel',
  'deploy',
  'load',
]
const CLEAR: Partial<Record<Action, Record<string, boolean>>> = {
  retry: { downstream: true },
  retry_only: {},
  retry_failed: { only_failed: true },
}
const ACTIVE: readonly string[] = ['queued', 'running']

/** Load the inputs of a task of a run into the notebook's kernel, or throw an error with the reason. */
export type LoadTask = (
  book: Book,
  task: string,
  run: string,
) => Promise<{ text: string; cell: number | null; line: number }>

export class BookTransport implements Transport {
  private readonly listeners = new Set<(message: Message) => void>()
  private readonly stops: (() => void)[]
  private number = 0
  private dag = ''
  private rest: RestTransport | undefined
  private listed = false // whether the runs of this pipeline have been read
  private runs = new Map<string, RunSummary>()
  private statuses: Record<string, TaskStatus> = {}
  private picture: Picture | undefined
  private readonly reading = new Map<string, boolean>() // runs with an open request; true: repeat it
  private timer: ReturnType<typeof setTimeout> | undefined
  private details: TaskDetails | undefined // the latest details of a task of a run

  constructor(
    private readonly book: Book,
    private readonly loadTask: LoadTask,
  ) {
    this.stops = [
      book.changed.on(() => this.show()),
      live.onChange((change) => {
        if (change.kind === 'all' || change.dag === this.dag) this.readSoon()
      }),
    ]
    this.show()
  }

  close(): void {
    for (const stop of this.stops) stop()
    clearTimeout(this.timer)
    this.rest?.close()
    this.listeners.clear()
  }

  get state(): InitialState {
    const runs = [...this.runs.values()].sort((a, b) => b.created - a.created)
    return { number: this.number, session: { ...this.statuses }, runs, actions: ACTIONS }
  }

  listen(receive: (message: Message) => void): () => void {
    this.listeners.add(receive)
    return () => {
      this.listeners.delete(receive)
    }
  }

  send(request: Request): void {
    if (request.kind === 'hello') {
      if (request.number !== this.number) this.publish({ kind: 'reset', state: this.state })
    } else if (request.kind === 'saved') return
    else if (request.kind === 'layout') {
      const { kind, view, ...layout } = request
      const asked = api.post<NotebookAnalysis>('notebooks/analyze', {
        ...this.book.request(),
        ...layout,
      })
      this.answer(asked, ({ picture }) => picture && { kind: 'picture', view, picture })
    } else if (request.kind === 'task' && !request.run) {
      const asked = api.post<TaskDetails>('notebooks/task', { ...this.book.request(), task: request.task })
      this.answer(asked, (details) => details)
    } else if (request.kind === 'parameters') {
      this.publish({ kind: 'parameters', parameters: this.book.analysis?.parameters ?? {} })
    } else if (request.kind === 'stale') void this.findStale()
    else if (request.kind === 'run') void this.readRun(request.run)
    else if (request.kind === 'action') void this.act(request)
    else this.rest?.send(request)
  }

  private async act(request: ActionRequest): Promise<void> {
    const { action, task } = request
    try {
      if (action === 'deploy') await this.deploy()
      else if (action in CLEAR) await this.retry(request)
      else if (action === 'all' || action === 'only' || action === 'upto' || action === 'from') {
        const parameters = request.parameters ?? {}
        await api.post('notebooks/run', { path: this.book.path, action, task, parameters })
      } else if (action === 'load') {
        const { text, cell, line } = await this.loadTask(this.book, task, request.run)
        this.notice('info', text)
        if (cell !== null) this.publish({ kind: 'place', cell, line })
      } else this.rest?.send(request)
    } catch (error) {
      this.notice('error', explain(error))
    }
    this.readSoon()
  }

  /** Reset tasks of a run. If no process executes the run any more, start one. */
  private async retry({ action, task, run }: ActionRequest): Promise<void> {
    const body = { ...CLEAR[action], tasks: task ? [task] : [] }
    const done = await api.post<Affected>(runAddress(this.dag, run, 'clear'), body)
    if (done.edited) this.notice('info', done.edited)
    if (!done.owner) await api.post(runAddress(this.dag, run, 'resume'))
    await this.readRun(run)
  }

  private async deploy(): Promise<void> {
    const { id } = await api.post<{ id: string }>('dags', { path: this.book.path })
    this.notice('info', `${id} is deployed; the scheduler executes its scheduled runs`)
  }

  /** Publish what the latest analysis has changed. */
  private show(): void {
    const { analysis, picture } = this.book
    if (!analysis) return
    const renamed = analysis.dag !== this.dag
    if (renamed) {
      this.dag = analysis.dag
      this.rest?.close()
      // This class reads changed runs itself, because `RestTransport` may not know a run that was just started.
      this.rest = new RestTransport(this.dag, '', { get: api.get, post: api.post, onChange: () => () => {} })
      this.rest.listen((message) => {
        this.details = message.kind === 'task' ? message : this.details
        this.publish(message.kind === 'task' ? this.compared(message) : message)
      })
      this.runs = new Map()
      this.listed = false
      this.readSoon(0)
    }
    const changed: Record<string, TaskStatus> = {}
    for (const [task, status] of Object.entries(analysis.statuses)) {
      if (JSON.stringify(status) !== JSON.stringify(this.statuses[task])) changed[task] = status
    }
    for (const task of Object.keys(this.statuses)) if (!analysis.statuses[task]) changed[task] = { state: 'none' }
    this.statuses = analysis.statuses
    if (picture && picture !== this.picture) {
      this.picture = picture
      this.publish({ kind: 'picture', view: '', picture })
    }
    if (renamed) this.publish({ kind: 'reset', state: this.state })
    else if (Object.keys(changed).length) this.change('', changed, null)
    if (this.details) this.publish(this.compared(this.details))
  }

  /** Ask for an analysis of the current text, because the latest analysis may be older than the latest edit. */
  private async findStale(): Promise<void> {
    this.answer(api.post<NotebookAnalysis>('notebooks/analyze', this.book.request()), ({ stale }) => ({
      kind: 'stale',
      cells: stale.map((index) => ({ index, id: this.book.notebook.widgets[index]?.model.id ?? '' })),
    }))
  }

  /** Add `changed` to the details of a task: whether the open notebook has another text of the task's cell. */
  private compared(details: TaskDetails): TaskDetails {
    const now = this.book.sourceOf(details.task)
    const before = details.source.map((line) => line.map(([, text]) => text).join('')).join('\n')
    return { ...details, changed: now !== undefined && now !== before }
  }

  private readSoon(after = SETTLE): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined
      void this.readRuns()
    }, after)
  }

  private async readRuns(): Promise<void> {
    const { dag } = this
    if (!dag) return
    let items: RunSummary[]
    try {
      items = (await api.get<{ items: RunSummary[] }>('runs', { dag, limit: RUNS })).items
    } catch {
      return // the next change repeats the request
    }
    if (dag !== this.dag) return
    const isFirst = !this.listed
    this.listed = true
    for (const { id, state, created, started, ended, partial, error } of items.reverse()) {
      const summary: RunSummary = { id, state, created, started, ended, partial, error }
      const before = this.runs.get(id)
      if (JSON.stringify(before) !== JSON.stringify(summary)) {
        this.runs.set(id, summary)
        if (!isFirst) this.change(id, {}, summary)
      }
      // A short run may already have ended when it is listed for the first time.
      if (ACTIVE.includes(state) || (!isFirst && before?.state !== state)) void this.readRun(id)
    }
    if (isFirst) {
      this.number += 1
      this.publish({ kind: 'reset', state: this.state }) // these runs did not begin just now
    }
  }

  /** Read the tasks of a run. A call during a request repeats the request, because the response may be outdated. */
  private async readRun(run: string): Promise<void> {
    if (this.reading.has(run)) {
      this.reading.set(run, true)
      return
    }
    this.reading.set(run, false)
    try {
      this.publish(await api.get<RunMessage>(runAddress(this.dag, run, 'tasks')))
    } catch {
      // The next change repeats the request.
    }
    const again = this.reading.get(run)
    this.reading.delete(run)
    if (again) await this.readRun(run)
  }

  private answer<T>(asked: Promise<T>, message: (answer: T) => Message | null): void {
    asked.then(
      (found) => {
        const each = message(found)
        if (each) this.publish(each)
      },
      (error: Error) => this.notice('error', explain(error)),
    )
  }

  private change(run: string, tasks: Record<string, TaskStatus>, summary: RunSummary | null): void {
    this.number += 1
    this.publish({ kind: 'change', number: this.number, run, tasks, summary })
  }

  private notice(level: 'info' | 'error', text: string): void {
    this.publish({ kind: 'notice', level, text })
  }

  private publish(message: Message): void {
    for (const call of [...this.listeners]) call(message)
  }
}
