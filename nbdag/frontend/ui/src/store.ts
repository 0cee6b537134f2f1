// All that is known of the pipeline. Views subscribe to what they show, so that a task that moves draws one box anew.
import { type Bar, type Beginning, type Picture, type RunBrief, type Standing, STATE_PRECEDENCE, type Told } from './messages'
import type { Transport } from './transport'

type Tasks = Record<string, Standing>

export const NOT_RUN: Standing = { state: 'none' }
export const LIVE = '' // the id of the live session, among runs
const KEPT = 20 // runs that are offered
const ACTIVE = new Set(['queued', 'running'])

export function isActive(run: RunBrief | undefined): boolean {
  return run !== undefined && ACTIVE.has(run.state)
}

export class Store {
  picture: Picture
  runs: RunBrief[] = []
  can = new Set<string>()
  newest = '' // the run that began last, since the page was opened
  private number = 0
  private readonly standings = new Map<string, Tasks>()
  private readonly known = new Set<string>() // runs of which all is known
  private readonly heard = new Map<string, Set<() => void>>()
  private readonly hearers = new Set<(told: Told) => void>()
  private readonly forget: () => void

  constructor(
    readonly transport: Transport,
    picture: Picture,
    beginning: Beginning,
  ) {
    this.picture = picture
    this.begin(beginning)
    this.forget = transport.listen((told) => this.hear(told))
    transport.send({ kind: 'hello', number: this.number })
  }

  close(): void {
    this.forget()
    this.heard.clear()
    this.hearers.clear()
  }

  /** How a task stands in a run, or in the live session. */
  standing(run: string, task: string): Standing {
    return this.standings.get(run)?.[task] ?? NOT_RUN
  }

  /** How several do, that are drawn as one box. */
  together(run: string, tasks: readonly string[]): Standing {
    const [first] = tasks
    if (tasks.length === 1 && first !== undefined) return this.standing(run, first)
    return joined(tasks.map((task) => this.standing(run, task)))
  }

  run(id: string): RunBrief | undefined {
    return this.runs.find((run) => run.id === id)
  }

  /** See to it that all of a run is known. */
  need(run: string): void {
    if (run === LIVE || this.known.has(run)) return
    this.known.add(run)
    this.transport.send({ kind: 'look', run })
  }

  /** Be called when this changes: `runs`, `picture`, or a run and task. */
  on(topic: string, call: () => void): () => void {
    const calls = this.heard.get(topic) ?? new Set()
    this.heard.set(topic, calls.add(call))
    return () => {
      calls.delete(call)
      if (!calls.size && this.heard.get(topic) === calls) this.heard.delete(topic)
    }
  }

  /** Hear answers, as they come. */
  answers(call: (told: Told) => void): () => void {
    this.hearers.add(call)
    return () => {
      this.hearers.delete(call)
    }
  }

  /** How many are listening: what a leak would make grow. */
  get listeners(): number {
    let count = this.hearers.size
    for (const calls of this.heard.values()) count += calls.size
    return count
  }

  private begin({ number, session, runs, can }: Beginning): void {
    this.number = number
    this.runs = runs
    this.can = new Set(can)
    this.standings.clear()
    this.standings.set(LIVE, session)
    for (const run of this.known) this.transport.send({ kind: 'look', run })
  }

  private hear(told: Told): void {
    switch (told.kind) {
      case 'all': {
        this.begin(told.all)
        for (const topic of [...this.heard.keys()]) this.call(topic)
        break
      }
      case 'change': {
        this.number = Math.max(this.number, told.number)
        if (told.run) this.take(told.run)
        this.move(told.of, told.tasks)
        break
      }
      case 'run': {
        this.known.add(told.run.id)
        this.take(told.run)
        const gone = Object.keys(this.standings.get(told.run.id) ?? {}).filter((task) => !(task in told.tasks))
        this.move(told.run.id, { ...Object.fromEntries(gone.map((task) => [task, NOT_RUN])), ...told.tasks })
        break
      }
      case 'picture': {
        if (told.view === '') {
          this.picture = told.picture
          this.call('picture')
        }
        break
      }
    }
    for (const call of [...this.hearers]) call(told)
  }

  private take(run: RunBrief): void {
    const at = this.runs.findIndex((other) => other.id === run.id)
    if (at < 0) {
      this.runs = [run, ...this.runs].sort((a, b) => b.created - a.created).slice(0, KEPT)
      if (isActive(run)) {
        this.newest = run.id
        this.known.add(run.id) // it has just begun, so what comes is all there is
      }
      this.forgetOthers()
    } else {
      this.runs = this.runs.with(at, run)
    }
    this.call('runs')
  }

  /** Of runs that are offered no more nothing is kept, unless somebody looks at one. */
  private forgetOthers(): void {
    const kept = new Set([LIVE, ...this.runs.map(({ id }) => id)])
    for (const topic of this.heard.keys()) kept.add(topic.split('\n')[0] ?? '')
    for (const id of this.standings.keys()) if (!kept.has(id)) this.standings.delete(id)
    for (const id of this.known) if (!kept.has(id)) this.known.delete(id)
  }

  private move(run: string, tasks: Tasks): void {
    const standing = this.standings.get(run) ?? {}
    Object.assign(standing, tasks)
    this.standings.set(run, standing)
    for (const task of Object.keys(tasks)) this.call(topic(run, task))
    this.call(topic(run, ''))
  }

  private call(topic: string): void {
    for (const call of [...(this.heard.get(topic) ?? [])]) call()
  }
}

/** What is called when a task moves in a run; without a task, when any does. */
export function topic(run: string, task: string): string {
  return `${run}\n${task}`
}

const FIRST = STATE_PRECEDENCE.flatMap((each) => (each === 'none' ? ['stale', each] : [each]))

function joined(all: readonly Standing[]): Standing {
  const states = new Set(all.map((each) => each.state))
  const done = all.filter((each) => each.state === 'success' || each.state === 'skipped').length
  const state = FIRST.find((each) => states.has(each)) ?? 'none'
  const durations = all.flatMap((each) => each.duration ?? [])
  const told: Standing = { state, count: all.length, ended: done }
  if (durations.length) told.duration = durations.reduce((sum, each) => sum + each, 0)
  return told
}

/** The last attempts, as bars: what the timeline adds while it is open. */
export function barsOf(tasks: readonly string[], standing: (task: string) => Standing): Bar[] {
  return tasks.flatMap((task) => {
    const { state, started, duration, tries } = standing(task)
    if (started === undefined) return []
    return [
      {
        task,
        map_index: -1,
        number: tries ?? 1,
        state,
        started,
        ended: duration === undefined ? null : started + duration,
      },
    ]
  })
}
