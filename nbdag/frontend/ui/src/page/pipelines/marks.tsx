// Short marks about a pipeline, for the list and for its own view.
import type { Pipeline } from '../../api'
import { Time } from '../Time'

const OVERDUE = 60 // a run is called overdue this many seconds after its due time

/** When the next run is due. If a run is overdue, no scheduler has started it. */
export function NextRun({ pipeline: { paused, schedule, next_run } }: { pipeline: Pipeline }) {
  if (paused) return schedule === null ? null : <>paused</>
  if (next_run === null) return null
  const late = Date.now() / 1000 - next_run
  if (late >= 0 && late <= OVERDUE) return <>due now</>
  const overdue = late > 0
  return (
    <span class={overdue ? 'pg-warn' : ''} title={overdue ? 'No scheduler has started this run' : undefined}>
      {overdue ? 'overdue since ' : 'next '}
      <Time at={next_run} />
    </span>
  )
}

/** Whether the notebook's file differs from the deployed version. */
export function Changed({ how }: { how: 'changed' | 'gone' }) {
  return how === 'changed' ? (
    <span class="pg-badge" title="The notebook has changed since it was deployed; runs use the deployed version">
      edited
    </span>
  ) : (
    <span class="pg-badge" title="The notebook's file is gone; runs use the deployed version">
      file gone
    </span>
  )
}
