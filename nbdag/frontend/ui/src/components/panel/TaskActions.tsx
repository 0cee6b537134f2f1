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

interface Props {
  store: Store
  run: string
  task: string
  act: Act
  state: DisplayState
  attempted: boolean // whether the task has an attempt whose values can be loaded
}

export function TaskActions({ store, run, task, act, state, attempted }: Props) {
  const { open } = useConnection(store)
  const inRun = run !== LIVE && state !== 'none' ? [...RETRIES, ...(attempted ? [LOAD] : [])] : []
  const primary: Action | undefined = STATE_RULES[state].failed ? 'retry' : undefined
  const rows = [inRun, NEW_RUNS]
    .map((row) => row.filter(({ action }) => store.actions.has(action)))
    .filter((row) => row.length)
  return (
    <>
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
