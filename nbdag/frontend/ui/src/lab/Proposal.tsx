// The tasks that nbdag proposes for a notebook, shown beside the tagged copy.
import { plural } from '../components/format'
import type { NotebookSuggestion, SuggestedTask } from '../messages'

interface Props {
  proposal: NotebookSuggestion
  onShow: (cell: number) => void
  onClose: () => void
}

export function Proposal({ proposal, onShow, onClose }: Props) {
  const { tasks, parallel, reordered, problems } = proposal
  return (
    <section class="nbdag-cell-section nbdag-proposal" aria-label="Proposed tasks">
      <header>
        <h2>{plural(tasks.length, 'proposed task')}</h2>
        <button type="button" class="nbdag-close" aria-label="Close the proposal" onClick={onClose}>
          ×
        </button>
      </header>
      <p class="nbdag-muted">
        This is a copy; the notebook itself is unchanged. Run it, correct it, or delete it.
        {reordered ? ' Its cells are in the order in which they last ran, because the order of the file fails.' : ''}
      </p>
      <p>
        {parallel.length
          ? parallel.map((level) => `${listed(level)} can run at the same time.`).join(' ')
          : 'The tasks run one after the other.'}
      </p>
      {problems.length ? (
        <ul class="nbdag-proposal-problems">
          {problems.map((problem) => (
            <li key={problem}>{problem}</li>
          ))}
        </ul>
      ) : null}
      <ol>
        {tasks.map((task) => (
          <li key={task.name}>
            <button type="button" class="nbdag-link" onClick={() => onShow(task.cell)}>
              {task.name}
            </button>{' '}
            <span class="nbdag-muted">{madeOf(task)}</span>
            {task.reasons.length ? (
              <ul>
                {task.reasons.map((reason) => (
                  <li key={reason}>{reason}</li>
                ))}
              </ul>
            ) : null}
          </li>
        ))}
      </ol>
    </section>
  )
}

function madeOf({ cells, after }: SuggestedTask): string {
  const numbers = cells.map((cell) => `${cell + 1}`)
  const from = `from cell${numbers.length === 1 ? '' : 's'} ${listed(numbers)}`
  return after.length ? `${from}, after ${listed(after)}` : from
}

function listed(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`
}
