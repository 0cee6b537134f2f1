// The panel of a chain or a group: the tasks in its box.
import { plural } from '../format'
import { Sign, stateStyle } from '../Sign'
import { useStatus } from '../state/hooks'
import type { Store } from '../state/store'

interface Props {
  store: Store
  run: string
  tasks: readonly string[]
  onSelect: (task: string) => void
  onClose: () => void
  onUnfold?: (() => void) | undefined // for a group
}

export function ChainPanel({ store, run, tasks, onSelect, onClose, onUnfold }: Props) {
  useStatus(store, run, tasks)
  return (
    <section class="nbdag-panel" aria-label="Chain of tasks">
      <header>
        <h3>{plural(tasks.length, 'task')}</h3>
        {onUnfold ? (
          <button type="button" onClick={onUnfold}>
            Unfold
          </button>
        ) : null}
        <button type="button" class="nbdag-close" aria-label="Close" onClick={onClose}>
          ×
        </button>
      </header>
      <ul class="nbdag-members">
        {tasks.map((each) => {
          const { state } = store.status(run, each)
          return (
            <li key={each}>
              <Sign state={state} word={stateStyle(state).word} />{' '}
              <button type="button" class="nbdag-link" onClick={() => onSelect(each)}>
                {each}
              </button>
            </li>
          )
        })}
      </ul>
    </section>
  )
}
