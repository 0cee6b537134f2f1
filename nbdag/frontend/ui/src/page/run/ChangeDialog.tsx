// Clear or mark tasks of a run. The dialog first lists the affected tasks.
import { useEffect, useState } from 'preact/hooks'
import type { Affected } from '../../api'
import { plural } from '../../components/format'
import { Sign, stateStyle } from '../../components/Sign'
import type { DisplayState } from '../../messages'
import { api } from '../api'
import { Dialog } from '../Dialog'
import { ErrorLine } from '../pipelines/TriggerDialog'
import { notify } from '../toasts'
import { runAddress } from '../transport'
import { instanceOf } from './links'
import type { ShownRun } from './runStore'

/** The dialog's initial values. Without tasks, it applies to all tasks of the run. */
export type Intent =
  | { kind: 'clear'; tasks: readonly string[]; onlyFailed?: boolean; downstream?: boolean }
  | { kind: 'mark'; tasks: readonly string[]; state?: Mark }

type Mark = 'success' | 'failed' | 'skipped'
const MARKS: readonly Mark[] = ['success', 'skipped', 'failed']
const MARK_MEANING: Record<Mark, string> = {
  success: 'Tasks that waited for it run, with the values that it stored before.',
  skipped: 'Tasks that need it are skipped, according to their trigger rules.',
  failed: 'Tasks that need it do not run, according to their trigger rules.',
}
const SHOWN = 200 // maximum number of tasks that are listed by name

interface Props {
  shown: ShownRun
  intent: Intent
  onClose: () => void
}

export function ChangeDialog({ shown, intent, onClose }: Props) {
  const { dag, run, store } = shown
  const { kind, tasks } = intent
  const [upstream, setUpstream] = useState(false)
  const [downstream, setDownstream] = useState(
    intent.kind === 'clear' ? (intent.downstream ?? tasks.length > 0) : false,
  )
  const [onlyFailed, setOnlyFailed] = useState(intent.kind === 'clear' ? (intent.onlyFailed ?? false) : false)
  const [deployed, setDeployed] = useState(false)
  const before = tasks.length === 1 && tasks[0] ? store.status(run, instanceOf(tasks[0]).task).state : undefined
  const [mark, setMark] = useState<Mark>(
    (intent.kind === 'mark' ? intent.state : undefined) ?? MARKS.find((each) => each !== before) ?? 'success',
  )
  const [preview, setPreview] = useState<{ key: string; affected?: Affected; error?: Error }>()
  const [error, setError] = useState<Error>()
  const [sent, setSent] = useState(false)

  const address = runAddress(dag, run, kind)
  const body =
    kind === 'clear' ? { tasks, upstream, downstream, only_failed: onlyFailed, deployed } : { tasks, state: mark }
  const key = JSON.stringify(body)
  useEffect(() => {
    let current = true
    api.post<Affected>(address, { ...body, dry_run: true }).then(
      (affected) => current && setPreview({ key, affected }),
      (error: Error) => current && setPreview({ key, error }),
    )
    return () => {
      current = false
    }
  }, [address, key])
  const known = preview?.key === key ? preview : undefined
  // The previous list is shown until the next list is loaded.
  const affected = known?.affected ?? (known ? undefined : preview?.affected)
  const count = affected?.tasks.length ?? 0

  function apply(): void {
    setSent(true)
    setError(undefined)
    api.post<Affected>(address, { ...body, dry_run: false }).then(
      (done) => {
        const what = kind === 'clear' ? 'cleared' : `marked ${stateStyle(mark).word}`
        const next = done.owner ? '' : ' The run continues as soon as a scheduler runs.'
        notify(`${plural(done.tasks.length, 'task')} ${what}.${next}`)
        store.transport.send({ kind: 'run', run })
        onClose()
      },
      (failed: Error) => {
        setSent(false)
        setError(failed)
      },
    )
  }

  const subject = tasks.length === 1 ? tasks[0] : tasks.length ? plural(tasks.length, 'task') : 'tasks of this run'
  return (
    <Dialog title={kind === 'clear' ? `Run ${subject} again` : `Set the state of ${subject}`} onClose={onClose}>
      <form
        class="run-change"
        onSubmit={(event) => {
          event.preventDefault()
          apply()
        }}
      >
        {kind === 'clear' ? (
          <fieldset>
            <legend>Which tasks run again</legend>
            {tasks.length ? (
              <>
                <Check label="also all tasks downstream" on={downstream} set={setDownstream} />
                <Check label="also all tasks upstream" on={upstream} set={setUpstream} />
              </>
            ) : null}
            <Check label="only tasks that failed or could not run" on={onlyFailed} set={setOnlyFailed} />
            <Check label="with the notebook as it is deployed now" on={deployed} set={setDeployed} />
          </fieldset>
        ) : (
          <fieldset>
            <legend>New state</legend>
            {MARKS.map((each) => (
              <label key={each}>
                <input type="radio" name="mark" checked={mark === each} onChange={() => setMark(each)} />
                <Sign state={each} /> {stateStyle(each).word}
              </label>
            ))}
            <p class="nbdag-muted">{MARK_MEANING[mark]}</p>
          </fieldset>
        )}
        <section class="run-preview" aria-label="What this affects" aria-busy={!known}>
          {known?.error ? (
            <ErrorLine error={known.error} />
          ) : affected ? (
            <Preview affected={affected} shown={shown} to={kind === 'clear' ? 'none' : mark} />
          ) : (
            <p class="nbdag-muted" role="status">
              Finding out what this affects…
            </p>
          )}
        </section>
        {error ? <ErrorLine error={error} /> : null}
        <footer class="pg-dialog-foot">
          <button type="button" onClick={onClose}>
            Leave as it is
          </button>
          <button type="submit" class="nbdag-primary" disabled={sent || !known?.affected || count === 0}>
            {kind === 'clear'
              ? `Run ${plural(count, 'task')} again`
              : `Set ${plural(count, 'task')} to ${stateStyle(mark).word}`}
          </button>
        </footer>
      </form>
    </Dialog>
  )
}

function Check({ label, on, set }: { label: string; on: boolean; set: (on: boolean) => void }) {
  return (
    <label>
      <input type="checkbox" checked={on} onChange={(event) => set(event.currentTarget.checked)} /> {label}
    </label>
  )
}

function Preview({ affected, shown, to }: { affected: Affected; shown: ShownRun; to: DisplayState }) {
  const { store, run } = shown
  const { tasks, restarting, again, queued_again, edited } = affected
  const running = new Set(restarting)
  return (
    <>
      <h3>{plural(tasks.length + again.length, 'task')} affected</h3>
      {restarting.length ? (
        <p class="nbdag-reason nbdag-is-failed">
          {plural(restarting.length, 'running task')} will be terminated: {restarting.slice(0, 5).join(', ')}
          {restarting.length > 5 ? ', …' : ''}
        </p>
      ) : null}
      {queued_again ? <p class="nbdag-muted">The run has ended. It will be queued again.</p> : null}
      {edited ? <p class="nbdag-reason nbdag-is-stale">{edited}</p> : null}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard */}
      <ul tabIndex={0} aria-label="Affected tasks">
        {tasks.slice(0, SHOWN).map((each) => (
          <Move
            key={each}
            name={each}
            from={running.has(each) ? 'running' : store.status(run, instanceOf(each).task).state}
            to={to}
          />
        ))}
        {again.slice(0, SHOWN).map((each) => (
          <Move key={each} name={each} from={store.status(run, instanceOf(each).task).state} to="none" />
        ))}
        {tasks.length > SHOWN ? <li class="nbdag-muted">and {plural(tasks.length - SHOWN, 'more task')}</li> : null}
      </ul>
    </>
  )
}

function Move({ name, from, to }: { name: string; from: DisplayState; to: DisplayState }) {
  return (
    <li>
      <span class="run-move">
        <Sign state={from} word={stateStyle(from).word} /> <span aria-hidden="true">→</span>{' '}
        {to === 'none' ? <span title="runs again">↻</span> : <Sign state={to} word={stateStyle(to).word} />}
      </span>{' '}
      {name}
    </li>
  )
}
