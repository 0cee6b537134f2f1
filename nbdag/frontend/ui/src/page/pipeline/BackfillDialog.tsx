// The dialog that creates runs for past ticks. It first shows the ticks and what would happen with each.
import { useState } from 'preact/hooks'
import type { BackfillPlan, Pipeline } from '../../api'
import { plural } from '../../components/format'
import { api } from '../api'
import { Dialog } from '../Dialog'
import { path } from '../location'
import { ErrorLine } from '../pipelines/TriggerDialog'
import { Link } from '../router'
import { useScheduleWords } from '../schedule'
import { Time } from '../Time'
import { notify } from '../toasts'

const REPROCESS = {
  none: 'keep the run that they have',
  failed: 'run again where the latest run failed',
  completed: 'run all of them again',
} as const
const DAY = 86_400
const SHOWN = 200 // maximum number of ticks in the preview

interface Props {
  pipeline: Pipeline
  onClose: () => void
  onDone: () => void
}

export function BackfillDialog({ pipeline: { id: dag, schedule, tz }, onClose, onDone }: Props) {
  const today = Date.now() / 1000
  const [first, setFirst] = useState(dateText(today - 7 * DAY))
  const [last, setLast] = useState(dateText(today - DAY))
  const [reprocess, setReprocess] = useState<keyof typeof REPROCESS>('none')
  const [most, setMost] = useState('3')
  const [backwards, setBackwards] = useState(false)
  const [plan, setPlan] = useState<BackfillPlan>()
  const [error, setError] = useState<Error>()
  const [sending, setSending] = useState(false)
  const words = useScheduleWords(schedule, tz)

  async function send(dryRun: boolean): Promise<void> {
    if (sending) return
    setSending(true)
    setError(undefined)
    try {
      const found = await api.post<BackfillPlan>(path`dags/${dag}/backfill`, {
        first: `${first}T00:00:00`,
        last: `${last}T23:59:59`,
        reprocess,
        backwards,
        max_active_runs: Math.max(1, Math.min(1000, Number.parseInt(most, 10) || 1)),
        dry_run: dryRun,
      })
      if (dryRun) setPlan(found)
      else {
        const made = found.ticks.filter((each) => each.run).length
        notify(
          <>
            {plural(made, 'run')} of <Link to={path`/dags/${dag}/grid`}>{dag}</Link>{' '}
            {found.owner ? 'queued' : 'queued; no scheduler is alive yet, so they wait for one'}.
          </>,
        )
        onDone()
        onClose()
      }
    } catch (failed) {
      setError(failed as Error)
      setPlan(undefined)
    } finally {
      setSending(false)
    }
  }

  /** Change a field, and remove the preview, because it belongs to the earlier values. */
  const change = (call: () => void) => {
    call()
    setPlan(undefined)
  }
  const made = plan?.ticks.filter((each) => each.made).length ?? 0
  return (
    <Dialog title={`Backfill ${dag}`} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          void send(plan === undefined)
        }}
      >
        <p class="nbdag-muted">
          Creates a run for each time at which the schedule was due ({schedule === null ? 'none' : words}).
        </p>
        <div class="pg-row">
          <label class="pg-labelled">
            From
            <input
              type="date"
              required
              value={first}
              onInput={(event) => change(() => setFirst(event.currentTarget.value))}
            />
          </label>
          <label class="pg-labelled">
            To, included
            <input
              type="date"
              required
              value={last}
              onInput={(event) => change(() => setLast(event.currentTarget.value))}
            />
          </label>
          <label class="pg-labelled">
            Runs at once
            <input
              type="text"
              inputMode="numeric"
              size={4}
              value={most}
              onInput={(event) => change(() => setMost(event.currentTarget.value))}
            />
          </label>
        </div>
        <fieldset class="pg-choices">
          <legend>Times that already have a run</legend>
          {(Object.keys(REPROCESS) as (keyof typeof REPROCESS)[]).map((each) => (
            <label key={each} class="nbdag-check">
              <input
                type="radio"
                name="reprocess"
                checked={reprocess === each}
                onChange={() => change(() => setReprocess(each))}
              />
              {REPROCESS[each]}
            </label>
          ))}
        </fieldset>
        <label class="nbdag-check">
          <input
            type="checkbox"
            checked={backwards}
            onChange={(event) => change(() => setBackwards(event.currentTarget.checked))}
          />
          Latest time first
        </label>
        {error ? <ErrorLine error={error} /> : null}
        {plan ? <Preview plan={plan} made={made} /> : null}
        <footer class="pg-dialog-foot">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          {plan ? (
            <button type="submit" class="nbdag-primary" disabled={sending || !made}>
              {sending ? 'Creating…' : `Create ${plural(made, 'run')}`}
            </button>
          ) : (
            <button type="submit" class="nbdag-primary" disabled={sending || !first || !last}>
              {sending ? 'Loading…' : 'Preview'}
            </button>
          )}
        </footer>
      </form>
    </Dialog>
  )
}

/** Return the date of an instant in the viewer's zone, as a date field writes it. */
function dateText(at: number): string {
  const date = new Date(at * 1000)
  return `${date.getFullYear()}-${String(date.getMonth() + 1).padStart(2, '0')}-${String(date.getDate()).padStart(2, '0')}`
}

function Preview({ plan, made }: { plan: BackfillPlan; made: number }) {
  return (
    <section class="pg-preview" aria-label="Preview">
      <p role="status">
        {plural(made, 'run')} for {plural(plan.ticks.length, 'scheduled time')}
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard */}
      <div class="pg-scroll" tabIndex={0} role="region" aria-label="Scheduled times">
        <table class="pg-table">
          <tbody>
            {plan.ticks.slice(0, SHOWN).map((each) => (
              <tr key={each.date} class={each.made ? '' : 'nbdag-muted'}>
                <td>
                  <Time at={each.date} exact />
                </td>
                <td>{each.made ? 'runs' : 'skipped'}</td>
                <td class="pg-wrap">{each.reason}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {plan.ticks.length > SHOWN ? (
        <p class="nbdag-muted">and {plural(plan.ticks.length - SHOWN, 'more time')}</p>
      ) : null}
    </section>
  )
}
