// The problems of the notebook, one sentence each, and the cells that a headless run does not execute.
import { plural } from './format'
import { ProblemList } from './ProblemList'

const MAX_OPEN = 3 // a list with more problems than this is collapsed at first

interface ProblemsProps {
  problems: readonly string[]
  explanations: Readonly<Record<string, string>>
  dropped: readonly number[] // indexes of the dropped cells, from 0
}

export function Problems({ problems, explanations, dropped }: ProblemsProps) {
  if (!problems.length) return null
  const cells = dropped.map((cell) => cell + 1).join(', ')
  return (
    <details class="nbdag-problems" open={problems.length <= MAX_OPEN}>
      <summary>
        {plural(problems.length, 'problem')}
        {dropped.length ? `; runs drop ${dropped.length > 1 ? 'cells' : 'cell'} ${cells}` : ''}
      </summary>
      <ProblemList problems={problems} explanations={explanations} />
    </details>
  )
}
