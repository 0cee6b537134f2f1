// Why a task is in its state: the conditions that it waits for, or what its outcome was.
import type { DisplayState } from '../../messages'
import { Loaded } from '../states'
import { runAddress } from '../transport'
import { useResource } from '../useResource'

interface WhyAnswer {
  task: string
  state: DisplayState
  reasons: string[]
}

interface Props {
  dag: string
  run: string
  name: string // name of the task, or of an instance
  state: DisplayState
}

export function Why({ dag, run, name, state }: Props) {
  const why = useResource<WhyAnswer>(
    runAddress(dag, run, `why/${encodeURIComponent(name)}?state=${state}`),
    (change) => change.dag === dag && change.run === run,
  )
  return (
    <details open>
      <summary>Why</summary>
      <Loaded of={why} lines={2}>
        {({ reasons }) => (
          <ul class="task-why">
            {reasons.map((each) => (
              <li key={each}>{each}</li>
            ))}
          </ul>
        )}
      </Loaded>
    </details>
  )
}
