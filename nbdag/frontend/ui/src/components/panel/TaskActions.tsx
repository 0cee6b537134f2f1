// The actions on a task: actions within the shown run, and actions that start a new run.
import type { Action, DisplayState } from '../../messages'
import { useConnection } from '../state/hooks'
import { STATE_RULES } from '../state/states'
import { LIVE, type Store } from '../state/store'
import type { Act } from '../state/useActions'

interface Offer {
  action: Action
  label: string
  title: string
}

const RETRIES: readonly Offer[] = [
  {
    action: 'retry',
    label: 'Clear and retry',
    title: 'Run this task and all tasks downstream again, in this run, with its version of the notebook',
  },
  {
    action: 'retry_only',
    label: 'Clear only this',
    title: 'Run only this task again, in this run; tasks downstream keep their state',
  },
]
const LOAD: Offer = {
  action: 'load',
  label: 'Load into kernel',
  title: 'Set the inputs and outputs of the task as variables of this kernel',
}
const NEW_RUNS: readonly Offer[] = [
  { action: 'only', label: 'Run this', title: 'Start a run of only this task, with the values of the latest run' },
  { action: 'upto', label: 'Run up to here', title: 'Start a run of this task and all tasks upstream' },
  {
    action: 'from',
    label: 'Run from here',
    title: 'Start a run of this task and all tasks downstream, with the values of the latest run',
  },
]

// A run keeps its version of the notebook, so only a new run executes a changed cell.
const FROM_FIRST = [...NEW_RUNS].sort((a, b) => Number(b.action === 'from') - Number(a.action === 'from'))

interface Props {
  store: Store
  run: string
  task: string
  act: Act
  state: DisplayState
  attempted: boolean // whether the task has an attempt whose values can be loaded
  changed: boolean // whether the cell's text has changed since the shown run
}

export function TaskActions({ store, run, task, act, state, attempted, changed }: Props) {
  const { open } = useConnection(store)
  const inRun = run !== LIVE && state !== 'none' ? [...RETRIES, ...(attempted ? [LOAD] : [])] : []
  const useful: Action = changed ? 'from' : 'retry'
  const primary = changed || STATE_RULES[state].failed ? useful : undefined
  const rows = (changed ? [FROM_FIRST, inRun] : [inRun, NEW_RUNS])
    .map((row) => row.filter(({ action }) => store.actions.has(action)))
    .filter((row) => row.length)
  return (
    <>
      {changed && inRun.length ? (
        <p class="nbdag-reason">
          The cell has changed since this run. Run from here executes the new text; this run keeps the old one.
        </p>
      ) : null}
      {rows.map((row) => (
        <div class="nbdag-actions" key={row[0]?.action}>
          {row.map(({ action, label, title }) => (
            <button
              type="button"
              key={action}
              class={action === primary ? 'nbdag-primary' : undefined}
              title={title}
              disabled={!open}
              onClick={() => act(action, task)}
            >
              {label}
            </button>
          ))}
        </div>
      ))}
    </>
  )
}
