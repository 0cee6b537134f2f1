// The dialog that deploys a notebook: the notebooks of the server's folder, or a path.
import { useMemo, useState } from 'preact/hooks'
import { plural } from '../../components/format'
import { api } from '../api'
import { Dialog } from '../Dialog'
import { path } from '../location'
import { Link } from '../router'
import { notify } from '../toasts'
import { useResource } from '../useResource'
import { ErrorLine } from './TriggerDialog'

interface Listed {
  path: string
  dag: string | null // id of the pipeline, if one is deployed from this notebook
}

const SHOWN = 200 // maximum number of notebooks in the list

interface Props {
  notebook?: string // the notebook that is deployed again
  onClose: () => void
  onDeployed: () => void
}

export function DeployDialog({ notebook = '', onClose, onDeployed }: Props) {
  const found = useResource<{ items: Listed[] }>('notebooks', () => false)
  const [chosen, setChosen] = useState(notebook)
  const [sending, setSending] = useState(false)
  const [error, setError] = useState<Error>()
  const matching = useMemo(() => {
    const text = chosen.trim().toLowerCase()
    const all = found.data?.items ?? []
    const exact = all.some((each) => each.path === chosen)
    return exact || !text ? all : all.filter((each) => each.path.toLowerCase().includes(text))
  }, [found.data, chosen])

  async function submit(event: Event): Promise<void> {
    event.preventDefault()
    if (sending || !chosen.trim()) return
    setSending(true)
    setError(undefined)
    try {
      const { id, version } = await api.post<{ id: string; version: number }>('dags', { path: chosen.trim() })
      notify(
        <>
          <Link to={path`/dags/${id}`}>{id}</Link> is deployed,{' '}
          <Link to={path`/dags/${id}/versions`}>version {version}</Link>.
        </>,
      )
      onDeployed()
      onClose()
    } catch (failed) {
      setError(failed as Error)
    } finally {
      setSending(false)
    }
  }

  return (
    <Dialog title="Deploy a notebook" onClose={onClose}>
      <form onSubmit={submit}>
        <p class="nbdag-muted">
          Deploying keeps a copy of the notebook. Scheduled and triggered runs use this copy until you deploy again.
        </p>
        <div class="nbdag-param">
          <div class="nbdag-param-name">
            <label for="pg-notebook">Notebook</label>
          </div>
          <input
            id="pg-notebook"
            type="text"
            class="pg-full"
            autocomplete="off"
            spellcheck={false}
            placeholder="path of a notebook, or choose below"
            value={chosen}
            onInput={(event) => setChosen(event.currentTarget.value)}
          />
        </div>
        <div class="pg-pick" role="group" aria-label="Notebooks of this server">
          {matching.slice(0, SHOWN).map((each) => (
            <button
              type="button"
              key={each.path}
              aria-pressed={each.path === chosen}
              onClick={() => setChosen(each.path)}
            >
              <span>{each.path}</span>
              {each.dag ? <span class="nbdag-muted">deployed as {each.dag}</span> : null}
            </button>
          ))}
          {found.data && !matching.length ? (
            <p class="nbdag-muted">
              {chosen
                ? 'No notebook in the folder of this server matches.'
                : 'There is no notebook in the folder of this server.'}
            </p>
          ) : null}
          {matching.length > SHOWN ? (
            <p class="nbdag-muted">and {plural(matching.length - SHOWN, 'more notebook')}: type to narrow the list</p>
          ) : null}
          {found.error ? <p class="nbdag-muted">The list is not available: {found.error.message}</p> : null}
        </div>
        {error ? <ErrorLine error={error} /> : null}
        <footer class="pg-dialog-foot">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="nbdag-primary" disabled={sending || !chosen.trim()}>
            {sending ? 'Deploying…' : 'Deploy'}
          </button>
        </footer>
      </form>
    </Dialog>
  )
}
