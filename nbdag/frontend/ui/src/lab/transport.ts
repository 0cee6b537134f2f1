// The transport of the panel: the open notebook is its live session, and the runs of its pipeline come from the server.
//
// What concerns the open text is answered by the analysis of the notebook, what concerns a run by `RestTransport`. The
// stream of changes only says that something changed, so the list of runs is read again then.

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
const ACTIONS: Action[] = ['all', 'only', 'upto', 'from', 'retry', 'retry_only', 'retry_failed', 'cancel', 'deploy']
const CLEAR: Partial<Record<Action, Record<string, boolean>>> = {
  retry: { downstream: true },
  retry_only: {},
  retry_failed: { only_failed: true },
}
const ACTIVE: readonly string[] = ['queued', 'running']

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

  constructor(private readonly book: Book) {
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
    } else if (request.kind === 'run') void this.readRun(request.run)
    else if (request.kind === 'action') void this.act(request)
    else this.rest?.send(request)
  }

  private async act(request: ActionRequest): Promise<void> {
    const { action, task } = request
    try {
      if (action === 'deploy') await this.deploy()
      else if (action in CLEAR) await this.retry(request)
      else if (action === 'all' || action === 'only' || action === 'upto' || action === 'from') {
        await api.post('notebooks/run', { path: this.book.path, action, task })
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
      // The panel reads runs itself, because a run may have been started for it that the other transport does not know.
      this.rest = new RestTransport(this.dag, '', { get: api.get, post: api.post, onChange: () => () => {} })
      this.rest.listen((message) => this.publish(message))
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
      // A short run may have ended when it is first listed.
      if (ACTIVE.includes(state) || (!isFirst && before?.state !== state)) void this.readRun(id)
    }
    if (isFirst) {
      this.number += 1
      this.publish({ kind: 'reset', state: this.state }) // these runs did not begin just now
    }
  }

  /** Read the tasks of a run. A call during a request repeats it, because its response may be outdated. */
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
