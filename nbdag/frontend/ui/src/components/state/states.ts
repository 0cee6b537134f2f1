// Rules for states. Each table must have an entry for every state: a new state without an entry is a type error.
import type { DisplayState, RunState, RunSummary } from '../../messages'

interface StateRules {
  note: string | null // the text on a task's box; null means the state's name
  failed: boolean // whether "Retry" is the first action that is offered for the task
  done: boolean // whether the task counts as ended in the progress of a chain
}

export const STATE_RULES: Record<DisplayState, StateRules> = {
  none: { note: null, failed: false, done: false },
  scheduled: { note: null, failed: false, done: false },
  queued: { note: null, failed: false, done: false },
  running: { note: null, failed: false, done: false },
  success: { note: null, failed: false, done: true },
  failed: { note: null, failed: true, done: false },
  skipped: { note: null, failed: false, done: true },
  upstream_failed: { note: 'not run', failed: true, done: false },
  up_for_retry: { note: 'retry pending', failed: false, done: false },
  up_for_reschedule: { note: 'waiting', failed: false, done: false },
  restarting: { note: null, failed: false, done: false },
  removed: { note: null, failed: false, done: false },
  cancelled: { note: null, failed: true, done: false },
  stale: { note: null, failed: false, done: false },
}

const RUN_IS_ACTIVE: Record<RunState, boolean> = {
  queued: true,
  running: true,
  success: false,
  failed: false,
  cancelled: false,
}

export function isActive(run: Pick<RunSummary, 'state'> | undefined): boolean {
  return run !== undefined && RUN_IS_ACTIVE[run.state]
}
