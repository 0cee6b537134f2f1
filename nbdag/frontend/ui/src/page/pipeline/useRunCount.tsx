// The number of latest runs that a view of a pipeline shows; it is part of the view's address.
import type { JSX } from 'preact'
import { useQuery } from '../router'

/** Return the chosen number and the field that changes it. The first number is the default. */
export function useRunCount(counts: readonly [string, ...string[]]): [string, JSX.Element] {
  const [count, setCount] = useQuery('runs', counts[0])
  const chosen = counts.includes(count) ? count : counts[0]
  const field = (
    <label>
      Runs{' '}
      <select value={chosen} onChange={(event) => setCount(event.currentTarget.value)}>
        {counts.map((each) => (
          <option key={each}>{each}</option>
        ))}
      </select>
    </label>
  )
  return [chosen, field]
}
