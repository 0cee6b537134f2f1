// The problems of the notebook, one sentence each, and the cells that a headless run does not execute.
import { plural } from './format'

const MAX_OPEN = 3 // a list of more problems is collapsed at first

interface ProblemsProps {
  problems: readonly string[]
  dropped: readonly number[] // indexes of the dropped cells, from 0
}

export function Problems({ problems, dropped }: ProblemsProps) {
  if (!problems.length) return null
  const cells = dropped.map((cell) => cell + 1).join(', ')
  return (
    <details class="nbdag-problems" open={problems.length <= MAX_OPEN}>
      <summary>
        {plural(problems.length, 'problem')}
        {dropped.length ? `; runs drop ${dropped.length > 1 ? 'cells' : 'cell'} ${cells}` : ''}
      </summary>
      <ul>
        {problems.map((problem) => (
          <li key={problem}>{problem}</li>
        ))}
      </ul>
    </details>
  )
}
