// The actions of a view. A run or a deployment uses the notebook's file, so the notebook is saved first.
import { useCallback } from 'preact/hooks'
import type { Action } from '../../messages'
import type { Store } from './store'
import type { Host } from './transport'
import type { Notice, ShownRun } from './useRun'

interface ActionRules {
  saves: boolean // whether the action uses the notebook's file, so that the notebook is saved first
  startsRun: boolean
}

const RULES: Record<Action, ActionRules> = {
  all: { saves: true, startsRun: true },
  only: { saves: true, startsRun: true },
  upto: { saves: true, startsRun: true },
  from: { saves: true, startsRun: true },
  retry: { saves: false, startsRun: false },
  retry_only: { saves: false, startsRun: false },
  retry_failed: { saves: false, startsRun: false },
  cancel: { saves: false, startsRun: false },
  deploy: { saves: true, startsRun: false },
  load: { saves: false, startsRun: false },
}

export type Act = (action: Action, task?: string) => void

export function useActions(
  store: Store,
  host: Host,
  { run, expectRun }: ShownRun,
  setNotice: (notice: Notice | undefined) => void,
): Act {
  return useCallback(
    async (action, task = '') => {
      setNotice(undefined)
      if (RULES[action].startsRun) expectRun()
      if (RULES[action].saves) {
        try {
          await host.save?.()
        } catch {
          setNotice({ level: 'error', text: 'The notebook could not be saved; the last saved version is used.' })
        }
      }
      store.transport.send({ kind: 'action', action, task, run })
    },
    [store, host, run, expectRun, setNotice],
  )
}
