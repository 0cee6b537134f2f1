// A task of a run: its attempts with log and outputs, why it is in its state, its values, and what can be done.
import { useEffect, useMemo, useState } from 'preact/hooks'
import { seconds } from '../../components/format'
import { Dependencies } from '../../components/panel/Dependencies'
import { Durations } from '../../components/panel/Durations'
import { SourceCode } from '../../components/panel/SourceCode'
import { Values } from '../../components/panel/Values'
import { Sign, stateStyle } from '../../components/Sign'
import { useNow, useStatus } from '../../components/state/hooks'
import type { Attempt, TaskDetails } from '../../messages'
import { navigate } from '../location'
import { Link, useQuery, type ViewProps } from '../router'
import { ChangeDialog, type Intent } from '../run/ChangeDialog'
import { dagPlace, instanceName, runPlace, taskPlace } from '../run/links'
import { Questions } from '../run/Questions'
import { useRunDetails } from '../run/Run'
import { type ShownRun, useRunStore } from '../run/runStore'
import { useShortcuts } from '../shortcuts'
import { Loaded } from '../states'
import { Time } from '../Time'
import { runAddress } from '../transport'
import { useResource } from '../useResource'
import { AttemptList } from './AttemptList'
import { AttemptView } from './AttemptView'
import { Why } from './Why'

export default function Task({ params }: ViewProps) {
  const { dag = '', run = '', task = '' } = params
  const shown = useRunStore(dag, run)
  const details = useResource<TaskDetails>(
    runAddress(dag, run, `tasks/${encodeURIComponent(task)}`),
    (change) => change.dag === dag && change.run === run && (change.task === undefined || change.task === task),
  )
  return <Loaded of={details}>{(found) => <TaskView details={found} shown={shown} />}</Loaded>
}

function TaskView({ details, shown }: { details: TaskDetails; shown: ShownRun }) {
  const { task, attempts } = details
  const { dag, run, store } = shown
  const status = useStatus(store, run, [task])
  const ofRun = useRunDetails(dag, run)
  const [intent, setIntent] = useState<Intent>()
  const [index] = useQuery('index')
  const [number] = useQuery('try')
  const attempt = useMemo(() => chosen(attempts, index, number), [attempts, index, number])
  const mapped = attempts.some(({ map_index }) => map_index >= 0)
  const name = mapped && index !== '' ? instanceName(task, Number(index)) : task

  const [down, up] = [details.downstream[0]?.task, details.upstream[0]?.task]
  useShortcuts('Task', [
    { keys: 'u', label: 'Up to the run', run: () => navigate(runPlace(dag, run, 'graph', { task })) },
    { keys: 'j', label: 'Next task downstream', run: () => go(down), when: () => !!down },
    { keys: 'k', label: 'Next task upstream', run: () => go(up), when: () => !!up },
  ])
  function go(to: string | undefined): void {
    if (to) navigate(taskPlace(dag, run, to))
  }
  useEffect(() => window.scrollTo(0, 0), [task])

  return (
    <div class="task">
      <header class="run-head">
        <div class="pg-crumbs">
          <Link to="/">Pipelines</Link>
          <span aria-hidden="true">/</span>
          <Link to={dagPlace(dag)}>{dag}</Link>
          <span aria-hidden="true">/</span>
          <Link to={runPlace(dag, run, 'graph', { task })} title={run}>
            run
            {ofRun.data ? (
              <>
                {' '}
                of <Time at={ofRun.data.run.created} exact />
              </>
            ) : null}
          </Link>
          <span aria-hidden="true">/</span>
          <span>task</span>
        </div>
        <div class="run-title">
          <h1>
            {task}
            {mapped ? <span class="nbdag-muted"> × {status.count ?? attempts.length}</span> : null}
          </h1>
          <span class="run-state" style={{ '--state': stateStyle(status.state).colour }} role="status">
            <Sign state={status.state} /> {stateStyle(status.state).word}
          </span>
          <Took status={status} />
          <span class="nbdag-spacer" />
          <span class="run-buttons">
            <button
              type="button"
              class={status.state === 'failed' ? 'nbdag-primary' : ''}
              onClick={() => setIntent({ kind: 'clear', tasks: [name] })}
            >
              Run again…
            </button>
            <button type="button" onClick={() => setIntent({ kind: 'mark', tasks: [name] })}>
              Set state…
            </button>
          </span>
        </div>
        {details.doc ? <p class="nbdag-doc nbdag-muted">{details.doc}</p> : null}
        <Questions dag={dag} run={run} task={task} reload={ofRun.reload} />
      </header>
      <div class="task-columns">
        <div class="task-main">
          <AttemptList details={details} shown={shown} chosen={attempt} />
          {attempt ? (
            <AttemptView
              key={`${attempt.map_index} ${attempt.try_number}`}
              attempt={attempt}
              task={task}
              shown={shown}
            />
          ) : null}
        </div>
        <aside class="task-side nbdag-panel" aria-label="About the task">
          <Why dag={dag} run={run} name={name} state={status.state} />
          <Values store={store} run={run} title="Inputs" values={details.inputs} onSelect={go} />
          <Values store={store} run={run} title="Outputs" values={details.outputs} />
          <Dependencies title="Upstream" neighbours={details.upstream} host={{}} onSelect={go} />
          <Dependencies title="Downstream" neighbours={details.downstream} host={{}} onSelect={go} />
          {details.options.length ? (
            <details open>
              <summary>Options</summary>
              <dl>
                {details.options.map(([option, value]) => (
                  <div key={option}>
                    <dt>{option}</dt>
                    <dd>{value || 'yes'}</dd>
                  </div>
                ))}
              </dl>
            </details>
          ) : null}
          <SourceCode details={details} host={{}} />
          <Durations durations={details.durations} />
        </aside>
      </div>
      {intent ? <ChangeDialog shown={shown} intent={intent} onClose={() => setIntent(undefined)} /> : null}
    </div>
  )
}

function Took({ status }: { status: { state: string; started?: number; duration?: number } }) {
  const now = useNow(status.state === 'running')
  const took = status.duration ?? (status.state === 'running' && status.started ? now - status.started : undefined)
  return took === undefined ? null : <span class="nbdag-muted">{seconds(took)}</span>
}

/** Return the attempt that the address names, else the latest failed attempt, else the latest attempt. */
function chosen(attempts: readonly Attempt[], index: string, number: string): Attempt | undefined {
  const mine = index === '' ? attempts : attempts.filter((each) => each.map_index === Number(index))
  const exact = number === '' ? undefined : mine.find((each) => each.try_number === Number(number))
  const latest = latestTries(mine)
  return exact ?? latest.findLast(({ state }) => state === 'failed') ?? latest.at(-1)
}

/** Return the last attempt of each instance. */
export function latestTries(attempts: readonly Attempt[]): Attempt[] {
  const latest = new Map<number, Attempt>()
  for (const each of attempts) {
    const known = latest.get(each.map_index)
    if (!known || each.try_number > known.try_number) latest.set(each.map_index, each)
  }
  return [...latest.values()]
}
