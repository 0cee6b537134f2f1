// The header of a run: its state and times, its errors, its open questions, and the actions on it.
import { useState } from 'preact/hooks'
import type { ListedRun, RunDetails } from '../../api'
import { plural, seconds } from '../../components/format'
import { Sign, stateStyle } from '../../components/Sign'
import { useNow, useTopics } from '../../components/state/hooks'
import { isActive } from '../../components/state/states'
import { RUNS, runTopic } from '../../components/state/store'
import { api } from '../api'
import { path } from '../location'
import { Link } from '../router'
import { bothZones, Time } from '../Time'
import { notify, notifyError } from '../toasts'
import { runAddress } from '../transport'
import { ChangeDialog, type Intent } from './ChangeDialog'
import { CopyButton } from './CopyButton'
import { Counts } from './Counts'
import { dagPlace, runPlace, taskPlace } from './links'
import { Questions } from './Questions'
import type { ShownRun } from './runStore'

const KINDS: Record<string, string> = {
  manual: 'Started by hand',
  scheduled: 'Scheduled',
  backfill: 'Backfill',
  asset: 'Started by an asset',
}

interface Props {
  details: RunDetails
  shown: ShownRun
  reload: () => void
}

export function RunHeader({ details, shown, reload }: Props) {
  const { run } = details
  const { dag, id } = run
  const { store } = shown
  useTopics(store, [RUNS])
  const [intent, setIntent] = useState<Intent>()
  const { state, started, ended, error } = store.run(id) ?? run // the store receives changes before `run` does
  const now = useNow(isActive(run))
  const active = isActive({ ...run, state })
  const { word, colour } = stateStyle(state)
  return (
    <header class="run-head">
      <div class="pg-crumbs">
        <Link to="/">Pipelines</Link>
        <span aria-hidden="true">/</span>
        <Link to={dagPlace(dag)}>{dag}</Link>
        <span aria-hidden="true">/</span>
        <span>run</span>
      </div>
      <div class="run-title">
        <h1>
          Run of <Time at={run.created} exact />
        </h1>
        <span class="run-state" style={{ '--state': colour }} role="status">
          <Sign state={state} /> {word}
        </span>
        <span class="nbdag-spacer" />
        <RunActions run={{ ...run, state }} onIntent={setIntent} reload={reload} />
      </div>
      <div class="run-facts">
        <span>{KINDS[run.kind] ?? run.kind}</span>
        {run.kind === 'manual' ? null : (
          <span title={`Data interval\n${bothZones(details.interval_start)}\nto\n${bothZones(details.interval_end)}`}>
            for <Time at={run.logical_date} exact />
          </span>
        )}
        {started === null ? null : (
          <span>
            {active ? 'running for' : 'took'} <b>{seconds((ended ?? now) - started)}</b>
          </span>
        )}
        {details.version === null ? null : (
          <Link to={path`/dags/${dag}/versions`} title={`Digest ${run.digest}`}>
            version {details.version}
          </Link>
        )}
        {run.partial ? <span>partial run</span> : null}
        <span class="run-id">
          <code>{id}</code>
          <CopyButton text={id} label="Copy the run's id" />
        </span>
        <span class="nbdag-spacer" />
        <Counts shown={shown} tasks={run.tasks} />
      </div>
      <Parameters parameters={details.parameters} />
      <Failures shown={shown} error={error} state={state} />
      {active && !details.owner && !error ? (
        <p class="nbdag-reason nbdag-is-stale">
          No process executes this run: it waits for a scheduler. <Link to="/scheduler">See the scheduler</Link>
        </p>
      ) : null}
      {active ? <Questions dag={dag} run={id} reload={reload} /> : null}
      <Warnings warnings={details.warnings} />
      {intent ? <ChangeDialog shown={shown} intent={intent} onClose={() => setIntent(undefined)} /> : null}
    </header>
  )
}

interface ActionProps {
  run: ListedRun
  onIntent: (intent: Intent) => void
  reload: () => void
}

function RunActions({ run, onIntent, reload }: ActionProps) {
  const { dag, id, state } = run
  const [cancelling, setCancelling] = useState(false)
  if (isActive(run)) {
    const cancel = () => {
      setCancelling(true)
      api.post(runAddress(dag, id, 'cancel')).then(
        () => {
          notify('The run is being cancelled: its running tasks are terminated first.')
          reload()
        },
        (error) => {
          setCancelling(false)
          notifyError(error)
        },
      )
    }
    return (
      <button type="button" class="nbdag-danger" disabled={cancelling} onClick={cancel}>
        <span aria-hidden="true">■</span> {cancelling ? 'Cancelling…' : 'Cancel'}
      </button>
    )
  }
  const failed = state === 'failed'
  return (
    <>
      <Link class="pg-button" to={runPlace(dag, id, 'compare')}>
        Compare…
      </Link>
      <button
        type="button"
        class={state === 'success' ? '' : 'nbdag-primary'}
        onClick={() => onIntent({ kind: 'clear', tasks: [], onlyFailed: failed })}
      >
        {failed ? 'Retry failed…' : 'Run again…'}
      </button>
    </>
  )
}

const SHOWN_FAILURES = 3

/** Why the run failed: the errors of its tasks, each with a link to its log, or the error of the run itself. */
function Failures({ shown, error, state }: { shown: ShownRun; error: string; state: string }) {
  const { dag, run, store } = shown
  useTopics(store, [runTopic(run)])
  const failed = store.tasks(run).filter((task) => store.status(run, task).state === 'failed')
  if (!failed.length) {
    return error ? <p class={`nbdag-reason nbdag-is-${state === 'success' ? 'stale' : 'failed'}`}>{error}</p> : null
  }
  return (
    <ul class="run-failures" aria-label="Failed tasks">
      {failed.slice(0, SHOWN_FAILURES).map((task) => (
        <li key={task} class="nbdag-reason nbdag-is-failed">
          <Link to={taskPlace(dag, run, task)}>{task}</Link> <span>{store.status(run, task).reason ?? 'failed'}</span>
        </li>
      ))}
      {failed.length > SHOWN_FAILURES ? (
        <li class="nbdag-muted">and {plural(failed.length - SHOWN_FAILURES, 'more failed task')}</li>
      ) : null}
    </ul>
  )
}

function Parameters({ parameters }: { parameters: RunDetails['parameters'] }) {
  const entries = Object.entries(parameters)
  if (!entries.length) return null
  return (
    <dl class="run-parameters" aria-label="Parameters">
      {entries.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            <code>{typeof value === 'string' ? value : JSON.stringify(value)}</code>
          </dd>
        </div>
      ))}
    </dl>
  )
}

function Warnings({ warnings }: { warnings: RunDetails['warnings'] }) {
  if (!warnings.length) return null
  return (
    <details class="run-warnings">
      <summary>{plural(warnings.length, 'warning')}</summary>
      <ul>
        {warnings.map((each) => (
          <li key={`${each.code} ${each.message}`}>
            {each.code ? <code>{each.code}</code> : null} {each.message}
          </li>
        ))}
      </ul>
    </details>
  )
}
