// The scheduler's page: schedulers, waiting tasks, pools, overdue runs, and problems of this installation.
import { useMemo, useState } from 'preact/hooks'
import type { Host, OpenQuestion, Process, QuestionList, QueuedTask, SchedulerState } from '../../api'
import { plural } from '../../components/format'
import { Sign, stateStyle } from '../../components/Sign'
import { equalHeights, useVisible } from '../../components/virtual'
import { path } from '../location'
import { Link, useQuery } from '../router'
import { Loaded } from '../states'
import { type Column, Table } from '../Table'
import { Duration, Time } from '../Time'
import { useResource } from '../useResource'
import { Health } from './Health'
import { Pools } from './Pools'

const ROW = 26 // height of a row of the queue in pixels
const NEVER = Date.UTC(9999, 0, 1) / 1000 - 86_400 // tasks that wait for an answer wake in the year 9999

export default function Scheduler() {
  const state = useResource<SchedulerState>('scheduler?limit=2000', ({ kind }) => kind !== 'asset')
  return (
    <>
      <div class="pg-head">
        <h1>Scheduler</h1>
      </div>
      <Loaded of={state}>
        {(data) => (
          <>
            <Standing state={data} />
            <Numbers state={data} />
            <div class="pg-columns">
              <div>
                <Queue queue={data.queue} />
              </div>
              <div>
                <Processes processes={data.processes} />
                <Hosts hosts={data.hosts} />
                <OverdueList state={data} />
                <Questions />
                <Pools />
                <Health />
              </div>
            </div>
          </>
        )}
      </Loaded>
    </>
  )
}

function Standing({ state: { processes, unowned } }: { state: SchedulerState }) {
  const alive = processes.filter((each) => each.kind === 'scheduler' && each.alive)
  const [first] = alive
  if (!first) {
    return (
      <div class="pg-standing pg-bad" role="status">
        <strong>No scheduler is alive.</strong>{' '}
        {unowned
          ? `${plural(unowned, 'run')} ${unowned === 1 ? 'waits' : 'wait'} for one. `
          : 'Schedules start no runs. '}
        <code>nbdag up</code> starts this page with a scheduler, <code>nbdag scheduler</code> starts one alone.
      </div>
    )
  }
  return (
    <div class="pg-standing" role="status">
      <i class="pg-dot" aria-hidden="true" />
      <span>
        {alive.length === 1 ? (
          <>
            A scheduler is alive on <strong>{first.host}</strong> since <Time at={first.started} exact />.
          </>
        ) : (
          <>
            {alive.length} schedulers are alive, the oldest since{' '}
            <Time at={Math.min(...alive.map((each) => each.started))} exact />.
          </>
        )}
      </span>
    </div>
  )
}

function Numbers({
  state: { states, runs, unowned, overdue, deployed, paused, processes },
}: {
  state: SchedulerState
}) {
  const alive = processes.some((each) => each.kind === 'scheduler' && each.alive)
  const count = (...names: string[]) => names.reduce((sum, name) => sum + (states[name] ?? 0), 0)
  const numbers: [string, number, boolean?][] = [
    ['tasks running', count('running', 'restarting')],
    ['tasks queued', count('queued', 'scheduled')],
    ['tasks waiting', count('up_for_retry', 'up_for_reschedule')],
    ['runs unfinished', Object.values(runs).reduce((sum, each) => sum + each, 0)],
    ['pipelines overdue', overdue.length, overdue.length > 0],
    ['pipelines active', deployed - paused],
    ['pipelines paused', paused],
  ]
  // A scheduler that is alive takes such a run as soon as one of its tasks can run.
  if (unowned && !alive) numbers.splice(4, 0, ['runs without a scheduler', unowned, true])
  return (
    <dl class="pg-numbers">
      {numbers.map(([label, value, warns]) => (
        <div key={label} class={warns ? 'pg-warns' : ''}>
          <dd>{value.toLocaleString()}</dd>
          <dt>{label}</dt>
        </div>
      ))}
    </dl>
  )
}

const PROCESS_COLUMNS: readonly Column<Process>[] = [
  { name: 'State', cell: ({ alive }) => <Alive is={alive} word={alive ? 'alive' : 'gone'} /> },
  {
    name: 'Host',
    cell: ({ host, pid }) => (
      <span title={`process ${pid}`}>
        {host} <span class="nbdag-muted">{pid}</span>
      </span>
    ),
  },
  { name: 'What', cell: ({ kind }) => (kind === 'scheduler' ? 'scheduler' : 'one run') },
  { name: 'Since', cell: ({ started }) => <Time at={started} /> },
  { name: 'Heartbeat', cell: ({ heartbeat }) => <Time at={heartbeat} /> },
  {
    name: 'Tasks',
    isNumber: true,
    cell: ({ running, jobs }) => `${running}${jobs === null ? '' : ` of ${jobs}`}`,
  },
]

function Processes({ processes }: { processes: Process[] }) {
  return (
    <section class="pg-section">
      <h2>Processes</h2>
      {processes.length ? (
        <Table
          columns={PROCESS_COLUMNS}
          rows={processes}
          keyOf={({ host, pid, started }) => `${host} ${pid} ${started}`}
          classOf={({ alive }) => (alive ? '' : 'nbdag-muted')}
        />
      ) : (
        <p class="nbdag-muted">No scheduler and no run is active.</p>
      )}
    </section>
  )
}

function Alive({ is, word }: { is: boolean; word: string }) {
  return (
    <span class="pg-state">
      <i class={`pg-dot${is ? '' : ' pg-off'}`} aria-hidden="true" />
      {word}
    </span>
  )
}

const HOST_COLUMNS: readonly Column<Host>[] = [
  {
    name: 'State',
    cell: ({ problem }) => (
      <span title={problem}>
        <Alive is={!problem} word={problem ? 'silent' : 'alive'} />
      </span>
    ),
  },
  { name: 'Host', cell: ({ name, address }) => <span title={address}>{name}</span> },
  { name: 'Executor', cell: ({ executor }) => executor },
  { name: 'Tasks', isNumber: true, cell: ({ running, slots }) => `${running} of ${slots}` },
  {
    name: 'Load',
    title: 'Load average of the last minute, and the number of cores',
    isNumber: true,
    cell: ({ load, cores }) => (cores ? `${load.toFixed(1)} on ${plural(cores, 'core')}` : 'unknown'),
  },
]

function Hosts({ hosts }: { hosts: Host[] }) {
  if (!hosts.length) return null
  const slots = hosts.reduce((sum, each) => sum + each.slots, 0)
  const running = hosts.reduce((sum, each) => sum + each.running, 0)
  return (
    <section class="pg-section">
      <div class="pg-section-head">
        <h2>Hosts</h2>
        <span class="nbdag-muted">
          {running} of {plural(slots, 'slot')} busy
        </span>
      </div>
      <Table columns={HOST_COLUMNS} rows={hosts} keyOf={({ name, address }) => `${name} ${address}`} />
    </section>
  )
}

function OverdueList({ state: { overdue } }: { state: SchedulerState }) {
  if (!overdue.length) return null
  return (
    <section class="pg-section">
      <h2>Overdue</h2>
      <ul class="pg-list">
        {overdue.slice(0, 100).map((each) => (
          <li key={each.dag}>
            <Link to={path`/dags/${each.dag}`}>{each.dag}</Link>
            <span class="pg-warn">
              due <Time at={each.since} />
            </span>
          </li>
        ))}
      </ul>
      {overdue.length > 100 ? <p class="nbdag-muted">and {overdue.length - 100} more</p> : null}
    </section>
  )
}

function Questions() {
  const questions = useResource<QuestionList>('questions', ({ kind }) => kind === 'run' || kind === 'task')
  const items: OpenQuestion[] = questions.data?.items ?? []
  if (!items.length) return null
  return (
    <section class="pg-section">
      <h2>Waiting for an answer</h2>
      <ul class="pg-list">
        {items.map((each) => (
          <li key={`${each.dag} ${each.run} ${each.task}`}>
            <Link to={path`/dags/${each.dag}/runs/${each.run}`}>
              {each.dag}: {each.text}
            </Link>
            <span class="nbdag-muted">
              asked <Time at={each.asked} />
            </span>
          </li>
        ))}
      </ul>
    </section>
  )
}

function Queue({ queue }: { queue: QueuedTask[] }) {
  const [search, setSearch] = useQuery('search')
  const [frame, setFrame] = useState<HTMLDivElement | null>(null)
  const found = useMemo(() => {
    const text = search.toLowerCase()
    return text
      ? queue.filter((each) =>
          `${each.dag} ${each.run} ${each.task} ${each.pool} ${each.state}`.toLowerCase().includes(text),
        )
      : queue
  }, [queue, search])
  const list = useMemo(() => equalHeights(found.length, ROW), [found.length])
  const { first, last } = useVisible(frame, list)
  return (
    <section class="pg-section">
      <div class="pg-section-head">
        <h2>Queue</h2>
        <span class="nbdag-muted">{plural(queue.length, 'task')}</span>
        <span class="nbdag-spacer" />
        {queue.length ? (
          <input
            type="search"
            class="pg-search"
            aria-label="Search the queue"
            placeholder="Search  /"
            value={search}
            onInput={(event) => setSearch(event.currentTarget.value)}
          />
        ) : null}
      </div>
      {found.length ? (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard
        <div class="pg-queue" ref={setFrame} tabIndex={0} role="region" aria-label="Waiting and running tasks">
          <table class="pg-table" aria-rowcount={found.length + 1}>
            <thead>
              <tr>
                <th scope="col" class="pg-q-state">
                  State
                </th>
                <th scope="col">Task</th>
                <th scope="col">Pipeline</th>
                <th scope="col" class="pg-q-run">
                  Run
                </th>
                <th scope="col" class="pg-q-pool">
                  Pool
                </th>
                <th scope="col" class="pg-q-time">
                  Time
                </th>
              </tr>
            </thead>
            <tbody>
              {first ? <tr aria-hidden="true" class="pg-spacer" style={{ height: `${list.top(first)}px` }} /> : null}
              {found.slice(first, last).map((each) => (
                <QueueRow key={`${each.dag} ${each.run} ${each.task} ${each.map_index}`} task={each} />
              ))}
              {last < found.length ? (
                <tr aria-hidden="true" class="pg-spacer" style={{ height: `${list.total - list.top(last)}px` }} />
              ) : null}
            </tbody>
          </table>
        </div>
      ) : (
        <p class="nbdag-muted">{queue.length ? 'No task matches.' : 'No task waits or runs.'}</p>
      )}
    </section>
  )
}

function QueueRow({
  task: { dag, run, task, map_index, state, pool, slots, wake, started, tries },
}: {
  task: QueuedTask
}) {
  const name = map_index < 0 ? task : `${task}[${map_index}]`
  const place = path`/dags/${dag}/runs/${run}/tasks/${task}`
  return (
    <tr>
      <td title={stateStyle(state).word}>
        <Sign state={state} /> <span class="pg-q-word">{stateStyle(state).word}</span>
      </td>
      <td>
        <Link class="pg-plain" to={map_index < 0 ? place : `${place}?index=${map_index}`}>
          {name}
        </Link>
        {tries > 1 ? <span class="nbdag-muted"> try {tries}</span> : null}
      </td>
      <td>
        <Link class="pg-plain" to={path`/dags/${dag}`}>
          {dag}
        </Link>
      </td>
      <td class="pg-q-run">
        <Link class="pg-plain" to={path`/dags/${dag}/runs/${run}`}>
          {run}
        </Link>
      </td>
      <td class="pg-q-pool">
        {pool}
        {slots > 1 ? ` × ${slots}` : ''}
      </td>
      <td class="pg-q-time">
        {started !== null ? (
          <Duration from={started} to={null} />
        ) : wake === null ? null : wake >= NEVER ? (
          'for an answer'
        ) : (
          <Time at={wake} />
        )}
      </td>
    </tr>
  )
}
