// Changes as they happen: one stream of server-sent events for the whole page.
//
// While the stream is open the page is "live". If the stream cannot be opened (a proxy that buffers it, an old server),
// the page polls. If the server does not answer at all, the page is "offline" and what it shows is stale. A hidden page
// closes its stream, because browsers allow few connections to a server. Nothing is missed: whenever a stream opens,
// subscribers reload what they requested earlier. If the browser itself reconnects, the server continues after the last
// event that the browser received.
import { apiAddress, onReach } from './api'

export type Connection = 'connecting' | 'live' | 'polling' | 'offline'

/** One change. Only `kind` is always there. */
export interface Change {
  kind: string // run, task, dag, scheduler, asset; "all" asks to reload everything
  dag?: string
  run?: string
  task?: string
  before?: number // of "all": data requested after this time is not affected; by the clock of `performance`
  [field: string]: unknown
}

const POLL = 4000 // milliseconds between two polls
const RETRY = 3000 // milliseconds before the stream is opened again
const HIDDEN = 20_000 // milliseconds after which a hidden page closes its stream
const KINDS = ['run', 'task', 'dag', 'scheduler', 'asset', 'all'] as const // names of events

const ALL: Change = { kind: 'all' }

export class Live {
  connection: Connection = 'connecting'
  since = Date.now() / 1000 // when the state of the connection last changed
  private source: EventSource | undefined
  private poll: ReturnType<typeof setInterval> | undefined
  private retry: ReturnType<typeof setTimeout> | undefined
  private hide: ReturnType<typeof setTimeout> | undefined
  private failures = 0
  private readonly changes = new Set<(change: Change) => void>()
  private readonly states = new Set<() => void>()

  /** Open the stream, and follow the visibility of the page. */
  start(): void {
    this.open()
    onReach((reached) => {
      if (!reached) this.become('offline')
      else if (this.connection === 'offline') {
        this.become(this.source?.readyState === EventSource.OPEN ? 'live' : 'connecting')
        this.publish(ALL)
        if (this.source?.readyState !== EventSource.OPEN) this.open()
      }
    })
    window.addEventListener('online', () => this.reconnect())
    window.addEventListener('offline', () => this.become('offline'))
    document.addEventListener('visibilitychange', () => {
      clearTimeout(this.hide)
      if (document.hidden) this.hide = setTimeout(() => this.close(), HIDDEN)
      else if (!this.source && !this.poll) this.reconnect()
    })
  }

  /** Open the stream now, and reload everything. */
  reconnect(): void {
    this.open()
    this.publish(ALL)
  }

  onChange(call: (change: Change) => void): () => void {
    this.changes.add(call)
    return () => {
      this.changes.delete(call)
    }
  }

  onConnection(call: () => void): () => void {
    this.states.add(call)
    return () => {
      this.states.delete(call)
    }
  }

  private open(): void {
    this.source?.close()
    clearTimeout(this.retry)
    const source = new EventSource(apiAddress('events'))
    this.source = source
    source.onopen = () => {
      // Answers to earlier requests may be older than the first event of the stream.
      this.publish({ ...ALL, before: performance.now() })
      this.failures = 0
      this.stopPolling()
      this.become('live')
    }
    const receive = (event: MessageEvent<string>) => {
      try {
        const change: unknown = JSON.parse(event.data)
        if (typeof change === 'object' && change !== null && 'kind' in change) this.publish(change as Change)
      } catch {
        // An event that is not JSON, such as a comment of a proxy, reports no change.
      }
    }
    source.onmessage = receive
    for (const kind of KINDS) source.addEventListener(kind, receive)
    source.onerror = () => {
      this.failures += 1
      if (source.readyState !== EventSource.CLOSED && this.failures < 3) return // the browser reconnects automatically
      source.close()
      this.source = undefined
      this.startPolling()
      clearTimeout(this.retry)
      this.retry = setTimeout(() => !document.hidden && this.open(), RETRY * Math.min(this.failures, 20))
    }
  }

  private close(): void {
    this.source?.close()
    this.source = undefined
    clearTimeout(this.retry)
    this.stopPolling()
  }

  private startPolling(): void {
    if (this.connection !== 'offline') this.become('polling')
    this.poll ??= setInterval(() => !document.hidden && this.publish(ALL), POLL)
  }

  private stopPolling(): void {
    clearInterval(this.poll)
    this.poll = undefined
  }

  private become(connection: Connection): void {
    if (connection === this.connection) return
    this.connection = connection
    this.since = Date.now() / 1000
    for (const call of [...this.states]) call()
  }

  private publish(change: Change): void {
    for (const call of [...this.changes]) call(change)
  }
}

export const live = new Live()
