// The stale tasks of the notebook, and the execution of their cells in the notebook's kernel.
import { useCallback, useEffect, useRef } from 'preact/hooks'
import { useTopics } from './hooks'
import { LIVE, runTopic, type Store } from './store'
import type { Host } from './transport'
import type { Notice } from './useRun'

export interface Stale {
  tasks: readonly string[] // the stale tasks of the live session; empty if the page cannot execute cells
  run(): void
}

/** Return the stale tasks, and a function that executes cells until no task is stale. */
export function useStale(
  store: Store,
  host: Host,
  run: string,
  setNotice: (notice: Notice | undefined) => void,
): Stale {
  useTopics(store, [runTopic(LIVE)])
  const { execute } = host
  const asked = useRef(false) // whether to execute the cells of the next answer
  useEffect(
    () =>
      store.onMessage((message) => {
        if (message.kind !== 'stale' || !asked.current || !execute) return
        asked.current = false
        if (!message.cells.length) return
        execute(message.cells).then(
          (failed) => setNotice(failed ? { level: 'error', text: failed } : undefined),
          () => setNotice({ level: 'error', text: 'The cells could not be executed.' }),
        )
      }),
    [store, execute, setNotice],
  )
  const start = useCallback(() => {
    asked.current = true
    setNotice(undefined)
    store.transport.send({ kind: 'stale' })
  }, [store, setNotice])
  const isLive = run === LIVE && execute !== undefined
  return {
    tasks: isLive ? store.tasks(LIVE).filter((task) => store.status(LIVE, task).state === 'stale') : [],
    run: start,
  }
}
