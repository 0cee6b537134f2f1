// The run that a view shows: the run that the user has selected or has just started.
import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import type { NoticeLevel } from '../../messages'
import { LIVE, RUNS, type Store } from './store'

export interface Notice {
  level: NoticeLevel
  text: string
  run?: string // a run that the notice offers to show
}

export interface ShownRun {
  run: string
  selectRun(id: string): void
  /** Show the next run that begins, because this view has requested a run. */
  expectRun(): void
}

/** When a run begins, show it if this view has requested it; otherwise announce it in a notice. */
export function useRun(store: Store, setNotice: (notice: Notice | undefined) => void): ShownRun {
  const [run, selectRun] = useState(() => takeRequested(store) || LIVE)
  const announced = useRef('')
  const expected = useRef(false)
  useEffect(
    () =>
      store.subscribe(RUNS, () => {
        const requested = takeRequested(store)
        if (requested) {
          announced.current = requested
          selectRun(requested)
          setNotice(undefined)
          return
        }
        const { newestRun } = store
        if (!newestRun || newestRun === announced.current) return
        announced.current = newestRun
        if (expected.current) {
          expected.current = false
          selectRun(newestRun)
          setNotice(undefined)
        } else setNotice({ level: 'info', text: `A run has begun elsewhere: ${newestRun}`, run: newestRun })
      }),
    [store, setNotice],
  )
  useEffect(() => store.load(run), [store, run])
  const expectRun = useCallback(() => {
    expected.current = true
  }, [])
  return { run, selectRun, expectRun }
}

function takeRequested(store: Store): string {
  const { requestedRun } = store
  store.requestedRun = ''
  return requestedRun
}
