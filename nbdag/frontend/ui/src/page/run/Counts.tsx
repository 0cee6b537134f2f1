// How many tasks of a run are in each state.
import type { ListedRun } from '../../api'
import { Sign, stateStyle } from '../../components/Sign'
import { useTopics } from '../../components/state/hooks'
import { runTopic } from '../../components/state/store'
import { type DisplayState, STATE_STYLES } from '../../messages'
import type { ShownRun } from './runStore'

export function Counts({ shown: { store, run }, tasks }: { shown: ShownRun; tasks: ListedRun['tasks'] }) {
  useTopics(store, [runTopic(run)])
  const counts = (Object.keys(STATE_STYLES) as DisplayState[]).filter((state) => tasks[state])
  return (
    <ul class="run-counts" aria-label="Tasks by state">
      {counts.map((state) => (
        <li key={state}>
          <Sign state={state} /> {tasks[state]} {stateStyle(state).word}
        </li>
      ))}
    </ul>
  )
}
