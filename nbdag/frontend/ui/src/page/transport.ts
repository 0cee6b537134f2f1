// The transport of the shared components over the REST API: a request becomes a call, its answer a message.
//
// One transport serves one run. The stream of changes says only that a run has changed. Then the run's tasks are read
// again, at most once per `SETTLE`; the browser gets no data if they are the same (ETag). A failed request is reported
// as a notice, but not if the next change repeats the request anyway.
import type { Connection, Transport } from '../components/state/transport'
import type { Action, LayoutRequest, Message, Picture, Request } from '../messages'
import { api, OfflineError } from './api'
import { type Change, live } from './live'
import { path } from './location'

const SETTLE = 300 // milliseconds between two readings of the tasks of a run
const SETTLE_LARGE = 1000 // the same, for a run of many tasks
const LARGE = 300 // tasks

/** The server's interface that the transport uses; tests replace it. */
export interface Connections {
  get<T>(address: string): Promise<T>
  post<T>(address: string, body?: unknown): Promise<T>
  onChange(call: (change: Change) => void): () => void
  connection?: Connection // absent if it is not known whether the server answers
}

const PAGE: Connections = {
  get: (address) => api.get(address),
  post: (address, body) => api.post(address, body),
  onChange: (call) => live.onChange(call),
  connection: {
    status: () => ({ open: live.connection !== 'offline', busy: false, text: '' }),
    listen: (call) => live.onConnection(call),
  },
}

/** Return the address of a run in the API, or of something below it. */
export function runAddress(dag: string, run: string, below = ''): string {
  return path`dags/${dag}/runs/${run}` + (below && `/${below}`)
}

/** Return the address of the picture of a run's graph, or of the pipeline's if `run` is empty. */
export function pictureAddress(dag: string, run: string, layout?: Omit<LayoutRequest, 'kind' | 'view'>): string {
  const query = new URLSearchParams()
  if (layout) {
    if (layout.direction !== 'auto') query.set('direction', layout.direction)
    if (layout.collapsed) query.set('collapsed', 'true')
    for (const group of layout.folded) query.append('folded', group)
    if (layout.width && layout.height) {
      query.set('width', `${layout.width}`)
      query.set('height', `${layout.height}`)
    }
  }
  const text = query.toString()
  const address = run ? runAddress(dag, run, 'graph') : path`dags/${dag}/graph`
  return address + (text && `?${text}`)
}

/** The bodies of the actions that change a run. */
const CLEAR: Partial<Record<Action, Record<string, boolean>>> = {
  retry: { downstream: true },
  retry_only: {},
  retry_failed: { only_failed: true },
}

export class RestTransport implements Transport {
  readonly connection?: Connection
  private readonly listeners = new Set<(message: Message) => void>()
  private readonly pending = new Map<string, Promise<unknown>>()
  private readonly stop: () => void
  private timer: ReturnType<typeof setTimeout> | undefined
  private closed = false
  private again = false // whether the run has changed since its pending request was sent
  private settle = SETTLE

  constructor(
    readonly dag: string,
    readonly run: string,
    private readonly page: Connections = PAGE,
  ) {
    if (page.connection) this.connection = page.connection
    this.stop = page.onChange((change) => {
      if (change.kind !== 'all' && !(change.dag === dag && change.run === run)) return
      this.timer ??= setTimeout(() => {
        this.timer = undefined
        this.readRun(run)
      }, this.settle)
    })
  }

  close(): void {
    this.closed = true
    this.stop()
    clearTimeout(this.timer)
    this.listeners.clear()
  }

  listen(receive: (message: Message) => void): () => void {
    this.listeners.add(receive)
    return () => {
      this.listeners.delete(receive)
    }
  }

  send(request: Request): void {
    switch (request.kind) {
      case 'hello':
      case 'saved':
      case 'edited':
      case 'parameters':
      case 'stale':
        return // the page already has the state, and it has no notebook that could be saved
      case 'layout': {
        const { view, ...layout } = request
        this.answer<Picture>(pictureAddress(this.dag, this.run, layout), (picture) => ({
          kind: 'picture',
          view,
          picture,
        }))
        return
      }
      case 'run':
        this.readRun(request.run)
        return
      case 'task':
        this.forward(request.run, path`tasks/${request.task}`)
        return
      case 'attempt': {
        const { run, task, map_index, try_number } = request
        this.forward(run, path`tasks/${task}/attempts/${map_index}/${try_number}`)
        return
      }
      case 'value':
        this.forward(request.run, path`values/${request.task}/${request.name}`)
        return
      case 'timeline':
        this.forward(request.run, 'timeline')
        return
      case 'grid':
        this.answer(path`dags/${this.dag}/grid`, (message) => message)
        return
      case 'metrics':
        this.answer(path`dags/${this.dag}/metrics`, (message) => message)
        return
      case 'action':
        this.act(request.action, request.task, request.run)
        return
    }
  }

  /** Read the tasks of a run. A failure is not reported, because the next change or poll repeats the request. */
  private readRun(run: string): void {
    const address = runAddress(this.dag, run, 'tasks')
    if (this.pending.has(address)) {
      this.again = true // the pending answer may not contain the change that caused this request
      return
    }
    this.answer(
      address,
      (message) => {
        if (message.kind === 'run' && Object.keys(message.tasks).length > LARGE) this.settle = SETTLE_LARGE
        return message
      },
      () => {},
      () => {
        if (!this.again || this.closed) return
        this.again = false
        this.readRun(run)
      },
    )
  }

  private forward(run: string, below: string): void {
    this.answer(runAddress(this.dag, run, below), (message) => message)
  }

  /** Send the answer of the API to the listeners. While a request is pending, the same request is not sent again. */
  private answer<T = Message>(
    address: string,
    message: (answer: T) => Message,
    failed = (error: Error) => this.notice(error),
    ended = () => {},
  ): void {
    const asked = this.pending.get(address) ?? this.page.get(address)
    this.pending.set(address, asked)
    asked
      .then(
        (found) => this.deliver(message(found as T)),
        (error: Error) => failed(error),
      )
      .finally(() => {
        this.pending.delete(address)
        ended()
      })
  }

  private act(action: Action, task: string, run: string): void {
    const body = CLEAR[action]
    const address = action === 'cancel' ? 'cancel' : body ? 'clear' : undefined
    if (!address) return
    const sent = this.page.post(
      runAddress(this.dag, run, address),
      body && { ...body, tasks: task ? [task] : [], dry_run: false },
    )
    sent.then(
      () => this.readRun(run),
      (error: Error) => this.notice(error),
    )
  }

  private notice(error: Error): void {
    // The page's own bar reports that there is no connection.
    if (error instanceof OfflineError) return
    this.deliver({ kind: 'notice', level: 'error', text: error.message })
  }

  /** Send a message to every listener, as if it were the answer to a request. */
  deliver(message: Message): void {
    if (this.closed) return
    for (const call of [...this.listeners]) call(message)
  }
}
