// The dialog that starts a run of a pipeline: a form for its parameters, made from their JSON Schema.
import { useState } from 'preact/hooks'
import type { Schema } from '../../components/form/fields'
import { ParameterFields } from '../../components/form/ParameterForm'
import { useParameters } from '../../components/form/useParameters'
import { plural } from '../../components/format'
import { api } from '../api'
import { Dialog } from '../Dialog'
import { path } from '../location'
import { Link } from '../router'
import { ErrorState, Loading, Sentence } from '../states'
import { notify } from '../toasts'
import { useResource } from '../useResource'

interface Props {
  dag: string
  onClose: () => void
  onTriggered?: (run: string) => void
}

export function TriggerDialog({ dag, onClose, onTriggered }: Props) {
  const schema = useResource<Schema>(path`dags/${dag}/parameters`, NEVER)
  const form = useParameters(schema.data)
  const [date, setDate] = useState('')
  const [cache, setCache] = useState(true)
  const [sending, setSending] = useState(false)
  const [error, setError] = useState<Error>()

  async function submit(event: Event): Promise<void> {
    event.preventDefault()
    const parameters = form.values()
    if (!parameters || sending) return
    setSending(true)
    setError(undefined)
    try {
      const { id } = await api.post<{ id: string }>(path`dags/${dag}/trigger`, {
        parameters,
        ...(date ? { logical_date: date.length === 16 ? `${date}:00` : date } : {}),
        cache,
      })
      notify(
        <>
          Run <Link to={path`/dags/${dag}/runs/${id}`}>{id}</Link> of {dag} is queued.
        </>,
      )
      onTriggered?.(id)
      onClose()
    } catch (failed) {
      if (!form.place(failed)) setError(failed as Error)
    } finally {
      setSending(false)
    }
  }

  return (
    <Dialog title={`Run ${dag}`} onClose={onClose}>
      {schema.data ? (
        <form onSubmit={submit} noValidate>
          {form.fields.length ? (
            <ParameterFields
              fields={form.fields}
              entries={form.entries}
              errors={form.errors}
              onEntry={form.enter}
              onReset={form.reset}
            />
          ) : (
            <p class="nbdag-muted">This pipeline has no parameters.</p>
          )}
          <details class="pg-more">
            <summary>More options</summary>
            <div class="nbdag-param">
              <div class="nbdag-param-name">
                <label for="pg-date">Logical date</label>
                <span class="nbdag-muted">in the schedule's time zone</span>
              </div>
              <div class="nbdag-param-input">
                <input
                  id="pg-date"
                  type="datetime-local"
                  value={date}
                  onInput={(event) => setDate(event.currentTarget.value)}
                />
              </div>
              <p class="nbdag-param-about">
                <span>The time that the run is for; it determines the data interval. Empty means now.</span>
              </p>
            </div>
            <label class="nbdag-check">
              <input type="checkbox" checked={cache} onChange={(event) => setCache(event.currentTarget.checked)} />
              Reuse the results of unchanged tasks with --cache
            </label>
          </details>
          {error ? <ErrorLine error={error} /> : null}
          <footer class="pg-dialog-foot">
            <span class="nbdag-muted">
              {form.fields.length
                ? `${plural(form.fields.length, 'parameter')}; unchanged ones keep their defaults`
                : ''}
            </span>
            <button type="button" onClick={onClose}>
              Cancel
            </button>
            <button type="submit" class="nbdag-primary" disabled={sending} autofocus={!form.fields.length}>
              <span aria-hidden="true">▶</span> {sending ? 'Starting…' : 'Run'}
            </button>
          </footer>
        </form>
      ) : schema.error ? (
        <ErrorState error={schema.error} onRetry={schema.reload} />
      ) : (
        <Loading lines={4} what="Loading the parameters" />
      )}
    </Dialog>
  )
}

/** The sentence of an error inside a form. */
export function ErrorLine({ error }: { error: Error }) {
  return (
    <p class="nbdag-reason nbdag-is-failed" role="alert">
      <Sentence text={error.message} />
    </p>
  )
}

const NEVER = () => false
