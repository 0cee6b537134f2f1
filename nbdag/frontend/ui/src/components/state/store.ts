// The state of the pipeline. Components subscribe to the topics that they show, so a change of one task
// redraws only the task's box.
import {
  type Action,
  type Bar,
  type InitialState,
  type Message,
  type Picture,
  type RunSummary,
  STATE_PRECEDENCE,
  type TaskStatus,
} from '../../messages'
import { STATE_RULES } from './states'
import type { Transport } from './transport'

type Statuses = Record<string, TaskStatus>

export const NOT_RUN: TaskStatus = { state: 'none' }
export const LIVE = '' // the run id of the live session
const MAX_RUNS = 20 // maximum number of runs in the list of runs

/** A topic to which components subscribe, such as the status of one task. */
export interface Topic {
  key: string
  run: string // the run that the topic belongs to
}

export const RUNS: Topic = { key: 'runs', run: LIVE }
export const PICTURE: Topic = { key: 'picture', run: LIVE }

/** The topic of a task's status in a run. */
export function taskTopic(run: string, task: string): Topic {
  return { key: `${run}\n${task}`, run }
}

/** The topic of every task's status in a run. */
export function runTopic(run: string): Topic {
  return taskTopic(run, '')
}

/** A picture without boxes, before the layout has arrived. */
export function noPicture(dag: string): Picture {
  return {
    dag,
    notebook: '',
    direction: 'LR',
    collapsed: false,
    chains: 0,
    groups: [],
    folded: [],
    width: 0,
    height: 0,
    nodes: [],
    lines: [],
    order: [],
    parameters: [],
    problems: [],
    explanations: {},
    dropped: [],
  }
}

export class Store {
  picture: Picture
  runs: RunSummary[] = []
  actions: ReadonlySet<Action> = new Set()
  newestRun = '' // id of the latest run that began after the page was opened
  requestedRun = '' // id of a run that the host wants a view to show
  changes = 0 // number of topics published so far
  private number = 0 // number of the latest change that was received
  private readonly statuses = new Map<string, Statuses>() // by run
  private readonly loaded = new Set<string>() // runs whose statuses are complete or have been requested
  // Key: key of a topic.
  private readonly subscribers = new Map<string, { run: string; calls: Set<() => void> }>()
  private readonly messageListeners = new Set<(message: Message) => void>()
  private readonly stopListening: () => void

  constructor(
    readonly transport: Transport,
    picture: Picture,
    state: InitialState,
  ) {
    this.picture = picture
    this.reset(state)
    this.stopListening = transport.listen((message) => this.receive(message))
    transport.send({ kind: 'hello', number: this.number })
  }

  close(): void {
    this.stopListening()
    this.subscribers.clear()
    this.messageListeners.clear()
  }

  /** Return the status of a task in a run, or in the live session. */
  status(run: string, task: string): TaskStatus {
    return this.statuses.get(run)?.[task] ?? NOT_RUN
  }

  /** Return the tasks of a run that have a status, in run order. */
  tasks(run: string): string[] {
    return Object.keys(this.statuses.get(run) ?? {})
  }

  /** Return the status of several tasks that are drawn as one box. */
  combinedStatus(run: string, tasks: readonly string[]): TaskStatus {
    const [first] = tasks
    if (tasks.length === 1 && first !== undefined) return this.status(run, first)
    return combined(tasks.map((task) => this.status(run, task)))
  }

  run(id: string): RunSummary | undefined {
    return this.runs.find((run) => run.id === id)
  }

  /** Make a view show this run. A host calls it if, for example, a command outside of the view started the run. */
  requestRun(run: string): void {
    this.requestedRun = run
    this.publish(RUNS.key)
  }

  /** Request the statuses of a run unless they are already loaded. */
  load(run: string): void {
    if (run === LIVE || this.loaded.has(run)) return
    this.loaded.add(run)
    this.transport.send({ kind: 'run', run })
  }

  /** Call `call` whenever the topic changes, until the returned function is called. */
  subscribe({ key, run }: Topic, call: () => void): () => void {
    const entry = this.subscribers.get(key) ?? { run, calls: new Set() }
    this.subscribers.set(key, entry)
    entry.calls.add(call)
    return () => {
      entry.calls.delete(call)
      if (!entry.calls.size && this.subscribers.get(key) === entry) this.subscribers.delete(key)
    }
  }

  /** Call `call` with each message, until the returned function is called. */
  onMessage(call: (message: Message) => void): () => void {
    this.messageListeners.add(call)
    return () => {
      this.messageListeners.delete(call)
    }
  }

  /** Count the subscriptions and listeners; a leak makes the number grow. */
  get listeners(): number {
    let count = this.messageListeners.size
    for (const { calls } of this.subscribers.values()) count += calls.size
    return count
  }

  private reset({ number, session, runs, actions }: InitialState): void {
    this.number = number
    this.runs = runs
    this.actions = new Set(actions)
    this.statuses.clear()
    this.statuses.set(LIVE, session)
    for (const run of this.loaded) this.transport.send({ kind: 'run', run })
  }

  private receive(message: Message): void {
    switch (message.kind) {
      case 'reset': {
        this.reset(message.state)
        for (const key of [...this.subscribers.keys()]) this.publish(key)
        break
      }
      case 'change': {
        this.number = Math.max(this.number, message.number)
        if (message.summary) this.updateRun(message.summary)
        this.updateTasks(message.run, message.tasks)
        break
      }
      case 'run': {
        const { id } = message.summary
        this.loaded.add(id)
        this.updateRun(message.summary)
        const removed = Object.keys(this.statuses.get(id) ?? {}).filter((task) => !(task in message.tasks))
        this.updateTasks(id, { ...Object.fromEntries(removed.map((task) => [task, NOT_RUN])), ...message.tasks })
        break
      }
      case 'picture': {
        if (message.view === '') {
          this.picture = message.picture
          this.publish(PICTURE.key)
        }
        break
      }
    }
    for (const call of [...this.messageListeners]) call(message)
  }

  private updateRun(run: RunSummary): void {
    const at = this.runs.findIndex((other) => other.id === run.id)
    if (at < 0) {
      const isNewest = this.runs.every((other) => other.created <= run.created)
      this.runs = [run, ...this.runs].sort((a, b) => b.created - a.created).slice(0, MAX_RUNS)
      if (isNewest) {
        this.newestRun = run.id // a run can be so short that it has ended before the first change is received
        this.loaded.add(run.id) // the run has just begun, so its statuses are complete without a request
      }
      this.forgetOldRuns()
    } else {
      this.runs = this.runs.with(at, run)
    }
    this.publish(RUNS.key)
  }

  /** Delete the statuses of runs that are not in the list and that no component shows. */
  private forgetOldRuns(): void {
    const kept = new Set([LIVE, ...this.runs.map(({ id }) => id)])
    for (const { run } of this.subscribers.values()) kept.add(run)
    for (const id of this.statuses.keys()) if (!kept.has(id)) this.statuses.delete(id)
    for (const id of this.loaded) if (!kept.has(id)) this.loaded.delete(id)
  }

  private updateTasks(run: string, tasks: Statuses): void {
    const statuses = this.statuses.get(run) ?? {}
    Object.assign(statuses, tasks)
    this.statuses.set(run, statuses)
    for (const task of Object.keys(tasks)) this.publish(taskTopic(run, task).key)
    this.publish(runTopic(run).key)
  }

  private publish(key: string): void {
    this.changes += 1
    for (const call of [...(this.subscribers.get(key)?.calls ?? [])]) call()
  }
}

function combined(all: readonly TaskStatus[]): TaskStatus {
  const states = new Set(all.map((each) => each.state))
  const ended = all.filter((each) => STATE_RULES[each.state].done).length
  const state = STATE_PRECEDENCE.find((each) => states.has(each)) ?? 'none'
  const durations = all.flatMap((each) => each.duration ?? [])
  const status: TaskStatus = { state, count: all.length, ended }
  if (durations.length) status.duration = durations.reduce((sum, each) => sum + each, 0)
  return status
}

/**
 * Return the latest attempt of each task as a bar. The timeline shows these bars besides the stored attempts.
 */
export function latestBars(tasks: readonly string[], status: (task: string) => TaskStatus): Bar[] {
  return tasks.flatMap((task) => {
    const { state, started, duration, tries } = status(task)
    if (started === undefined) return []
    return [
      {
        task,
        map_index: -1,
        try_number: tries ?? 1,
        state,
        started,
        ended: duration === undefined ? null : started + duration,
      },
    ]
  })
}
