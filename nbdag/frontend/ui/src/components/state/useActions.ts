// The actions of a view. A run or a deployment uses the notebook's file, so the notebook is saved first.
import { useCallback, useEffect, useState } from 'preact/hooks'
import type { Action } from '../../messages'
import { isActive } from './states'
import { RUNS, type Store } from './store'
import type { Host } from './transport'
import type { Notice, ShownRun } from './useRun'

interface ActionRules {
  saves: boolean // whether the action uses the notebook's file, so that the notebook is saved first
  startsRun: boolean
  progress: string // what happens until the action has a visible effect
}

const START: ActionRules = { saves: true, startsRun: true, progress: 'Starting the run…' }
const RETRY: ActionRules = { saves: false, startsRun: false, progress: 'Clearing the tasks…' }
const RULES: Record<Action, ActionRules> = {
  all: START,
  only: START,
  upto: START,
  from: START,
  retry: RETRY,
  retry_only: RETRY,
  retry_failed: RETRY,
  cancel: { saves: false, startsRun: false, progress: 'Cancelling the run…' },
  deploy: { saves: true, startsRun: false, progress: 'Deploying the notebook…' },
  load: { saves: false, startsRun: false, progress: 'Loading the values…' },
}

/** Perform an action on a task, or on the whole pipeline, in a run: the shown run unless another is given. */
export type Act = (action: Action, task?: string, of?: string, parameters?: Record<string, unknown>) => void

/** An action without a visible effect so far. */
export interface Pending {
  action: Action
  run: string
  text: string // what happens now, for the user
}

export function useActions(
  store: Store,
  host: Host,
  { run, expectRun }: ShownRun,
  setNotice: (notice: Notice | undefined) => void,
): { act: Act; pending: Pending | undefined } {
  const [pending, setPending] = useState<Pending>()
  const act = useCallback<Act>(
    async (action, task = '', of = run, parameters) => {
      const { saves, startsRun, progress } = RULES[action]
      setNotice(undefined)
      setPending({ action, run: of, text: saves && host.save ? 'Saving the notebook…' : progress })
      if (startsRun) expectRun()
      if (saves) {
        try {
          await host.save?.()
        } catch {
          setNotice({ level: 'error', text: 'The notebook could not be saved; the last saved version is used.' })
        }
      }
      setPending((now) => now && { ...now, text: progress })
      store.transport.send({ kind: 'action', action, task, run: of, ...(parameters ? { parameters } : {}) })
    },
    [store, host, run, expectRun, setNotice],
  )
  // A notice is the outcome of an action, or the reason why it failed. Other actions show in a run.
  useEffect(() => {
    if (!pending) return
    const { newestRun } = store
    const before = store.run(pending.run)
    const stops = [
      store.onMessage(({ kind }) => {
        if (kind === 'notice') setPending(undefined)
      }),
      store.subscribe(RUNS, () => {
        const now = store.run(pending.run)
        if (RULES[pending.action].startsRun) {
          if (store.newestRun !== newestRun) setPending(undefined)
        } else if (pending.action === 'cancel' ? !isActive(now) : now !== before) setPending(undefined)
      }),
    ]
    return () => {
      for (const stop of stops) stop()
    }
  }, [store, pending?.action, pending?.run])
  return { act, pending }
}
