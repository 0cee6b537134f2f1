// The tasks of a chain that is drawn as one box.
import { several } from './format'
import { useStanding } from './hooks'
import { look, Sign } from './Sign'
import type { Store } from './store'

interface Props {
  store: Store
  run: string
  tasks: readonly string[]
  onChoose: (task: string) => void
  onClose: () => void
}

export function Chain({ store, run, tasks, onChoose, onClose }: Props) {
  useStanding(store, run, tasks)
  return (
    <section class="nbdag-panel" aria-label="Chain of tasks">
      <header>
        <h3>{several(tasks.length, 'task')}</h3>
        <button type="button" class="nbdag-close" aria-label="Close" onClick={onClose}>
          ×
        </button>
      </header>
      <ul class="nbdag-members">
        {tasks.map((each) => (
          <li key={each}>
            <Sign state={store.standing(run, each).state} word={look(store.standing(run, each).state).word} />{' '}
            <button type="button" class="nbdag-link" onClick={() => onChoose(each)}>
              {each}
            </button>
          </li>
        ))}
      </ul>
    </section>
  )
}
