// The pools: how many slots each has, and which tasks use them. The number of slots can be changed here.
import { useState } from 'preact/hooks'
import type { PoolList, PoolState } from '../../api'
import { plural } from '../../components/format'
import { api } from '../api'
import { Dialog } from '../Dialog'
import { path } from '../location'
import { ErrorLine } from '../pipelines/TriggerDialog'
import { Loaded } from '../states'
import { notify } from '../toasts'
import { useResource } from '../useResource'

export function Pools() {
  const pools = useResource<PoolList>('pools', ({ kind }) => kind !== 'asset')
  const [edited, setEdited] = useState<PoolState>()
  return (
    <section class="pg-section">
      <div class="pg-section-head">
        <h2>Pools</h2>
        <span class="nbdag-spacer" />
        <button type="button" onClick={() => setEdited({ name: '', slots: 4, used: 0, tasks: [] })}>
          Add…
        </button>
      </div>
      <Loaded of={pools} lines={3}>
        {({ items }) => (
          <table class="pg-table pg-auto">
            <tbody>
              {items.map((each) => (
                <tr key={each.name}>
                  <th scope="row">{each.name}</th>
                  <td class="pg-usage">
                    <Usage pool={each} />
                  </td>
                  <td class="pg-number">
                    {each.used} of {each.slots < 0 ? 'any number' : each.slots}
                  </td>
                  <td class="pg-c-act">
                    <button type="button" aria-label={`Change ${each.name}`} onClick={() => setEdited(each)}>
                      Change…
                    </button>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Loaded>
      {edited ? <PoolDialog pool={edited} onClose={() => setEdited(undefined)} onDone={pools.reload} /> : null}
    </section>
  )
}

function Usage({ pool: { name, used, slots, tasks } }: { pool: PoolState }) {
  const share = slots > 0 ? Math.min(1, used / slots) : used ? 0.5 : 0
  return (
    <div
      class="pg-meter"
      role="img"
      aria-label={`${name}: ${plural(used, 'slot')} used`}
      title={tasks.length ? tasks.slice(0, 30).join('\n') : 'no task uses this pool'}
    >
      <i style={{ width: `${share * 100}%` }} class={share >= 1 ? 'pg-full-meter' : ''} />
    </div>
  )
}

interface DialogProps {
  pool: PoolState
  onClose: () => void
  onDone: () => void
}

function PoolDialog({ pool, onClose, onDone }: DialogProps) {
  const isNew = pool.name === ''
  const [name, setName] = useState(pool.name)
  const [slots, setSlots] = useState(String(pool.slots))
  const [error, setError] = useState<Error>()
  const count = /^\d+$/.test(slots.trim()) ? Number(slots) : slots.trim() === '-1' ? -1 : undefined

  async function attempt(action: () => Promise<unknown>, said: string): Promise<void> {
    try {
      await action()
      notify(said)
      onDone()
      onClose()
    } catch (failed) {
      setError(failed as Error)
    }
  }

  return (
    <Dialog title={isNew ? 'Add a pool' : `Pool ${pool.name}`} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          if (count === undefined || !name.trim()) return
          const id = name.trim()
          void attempt(() => api.put(path`pools/${id}`, { slots: count }), `${id} has ${slotText(count)}.`)
        }}
      >
        <p class="nbdag-muted">A task with --pool NAME starts only while its pool has a free slot.</p>
        {isNew ? (
          <label class="pg-labelled">
            Name
            <input type="text" value={name} onInput={(event) => setName(event.currentTarget.value)} />
          </label>
        ) : null}
        <label class="pg-labelled">
          Slots; -1 means no limit
          <input
            type="text"
            inputMode="numeric"
            aria-invalid={count === undefined}
            value={slots}
            onInput={(event) => setSlots(event.currentTarget.value)}
          />
        </label>
        {error ? <ErrorLine error={error} /> : null}
        <footer class="pg-dialog-foot">
          {isNew ? null : (
            <button
              type="button"
              class="nbdag-danger"
              onClick={() => attempt(() => api.delete(path`pools/${pool.name}`), `${pool.name} is deleted.`)}
            >
              <span aria-hidden="true">■</span> Delete
            </button>
          )}
          <span class="nbdag-spacer" />
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="nbdag-primary" disabled={count === undefined || !name.trim()}>
            Save
          </button>
        </footer>
      </form>
    </Dialog>
  )
}

function slotText(slots: number): string {
  return slots < 0 ? 'no limit' : plural(slots, 'slot')
}
