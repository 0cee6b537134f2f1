// The problems of the notebook, one sentence each.
import { plural } from './format'

const MAX_OPEN = 3 // a longer list starts closed

export function Problems({ problems }: { problems: readonly string[] }) {
  if (!problems.length) return null
  return (
    <details class="nbdag-problems" open={problems.length <= MAX_OPEN}>
      <summary>{plural(problems.length, 'problem')}</summary>
      <ul>
        {problems.map((problem) => (
          <li key={problem}>{problem}</li>
        ))}
      </ul>
    </details>
  )
}
