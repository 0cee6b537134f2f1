// The status bar: the shown run, how long it has taken, and the number of tasks in each state.
import type { DisplayState } from '../messages'
import { moment, seconds, utc } from './format'
import { Sign, stateStyle } from './Sign'
import { useNow, useTopics } from './state/hooks'
import { isActive } from './state/states'
import { RUNS, runTopic, type Store } from './state/store'

export function StatusBar({ store, run, order }: { store: Store; run: string; order: readonly string[] }) {
  useTopics(store, [RUNS, runTopic(run)])
  const summary = store.run(run)
  const active = isActive(summary)
  const now = useNow(active)
  const counts = new Map<DisplayState, number>()
  for (const task of order) {
    const { state } = store.status(run, task)
    counts.set(state, (counts.get(state) ?? 0) + 1)
  }
  const error = summary?.error ? ` (${summary.error})` : ''
  const text = summary ? `Run of ${moment(summary.created)}: ${summary.state}${error}` : 'This session'
  const duration = summary?.started ? seconds((summary.ended ?? now) - summary.started) : ''
  return (
    <div class="nbdag-status">
      <span class="nbdag-shown-run" title={summary && `${summary.id}\n${utc(summary.created)}`}>
        {summary ? <Sign state={summary.state} /> : null} {text}
        {duration ? `, ${duration}` : ''}
      </span>
      <span class="nbdag-counts">
        {[...counts].map(([state, count]) => (
          <span key={state} title={stateStyle(state).word}>
            <Sign state={state} /> {count} {stateStyle(state).word}
          </span>
        ))}
      </span>
      {/* Screen readers announce the outcome once, instead of every second. */}
      <span class="nbdag-screen-reader" role="status">
        {summary && !active ? text : ''}
      </span>
    </div>
  )
}
