// The last line: what is shown, how long it has taken, how many tasks stand how.
import { moment, seconds } from './format'
import { useNow, useTopics } from './hooks'
import { look, ofRun, Sign } from './Sign'
import { isActive, type Store, topic } from './store'

export function Status({ store, run, order }: { store: Store; run: string; order: readonly string[] }) {
  useTopics(store, ['runs', topic(run, '')])
  const brief = store.run(run)
  const going = isActive(brief)
  const now = useNow(going)
  const counts = new Map<string, number>()
  for (const task of order) {
    const { state } = store.standing(run, task)
    counts.set(state, (counts.get(state) ?? 0) + 1)
  }
  const why = brief?.error ? ` (${brief.error})` : ''
  const what = brief ? `Run of ${moment(brief.created)}: ${brief.state}${why}` : 'This session'
  const took = brief?.started ? seconds((brief.ended ?? now) - brief.started) : ''
  return (
    <div class="nbdag-status">
      <span class="nbdag-what" title={brief?.id}>
        {brief ? <Sign state={ofRun(brief.state)} /> : null} {what}
        {took ? `, ${took}` : ''}
      </span>
      <span class="nbdag-counts">
        {[...counts].map(([state, count]) => (
          <span key={state} title={look(state).word}>
            <Sign state={state} /> {count} {look(state).word}
          </span>
        ))}
      </span>
      {/* What changes is said once it has ended, not with every second. */}
      <span class="nbdag-unseen" role="status">
        {brief && !going ? `${what}` : ''}
      </span>
    </div>
  )
}
