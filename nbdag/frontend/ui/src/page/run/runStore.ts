// The store of a run, kept while a view shows it and for a few runs afterwards, so that the way back is immediate.
import { useEffect, useMemo } from 'preact/hooks'
import { noPicture, Store } from '../../components/state/store'
import { RestTransport } from '../transport'

const KEPT = 3 // number of stores that are kept for runs that no view shows

export interface ShownRun {
  dag: string
  run: string
  store: Store
  transport: RestTransport
}

interface Entry extends ShownRun {
  views: number
}

const entries = new Map<string, Entry>()

/** Return the store of a run, which follows the run while any view shows it. */
export function useRunStore(dag: string, run: string): ShownRun {
  const entry = useMemo(() => opened(dag, run), [dag, run])
  useEffect(() => {
    entry.views += 1
    entry.store.load(run)
    return () => {
      entry.views -= 1
      forget()
    }
  }, [entry])
  return entry
}

function opened(dag: string, run: string): Entry {
  const key = `${dag}\n${run}`
  const known = entries.get(key)
  entries.delete(key)
  const entry = known ?? created(dag, run)
  entries.set(key, entry) // the last entry is the latest
  return entry
}

function created(dag: string, run: string): Entry {
  const transport = new RestTransport(dag, run)
  const actions = ['retry', 'retry_only', 'retry_failed', 'cancel'] as const
  const state = { number: 0, session: {}, runs: [], actions: [...actions] }
  return { dag, run, transport, views: 0, store: new Store(transport, noPicture(dag), state) }
}

function forget(): void {
  const idle = [...entries].filter(([, { views }]) => views === 0)
  for (const [key, { store, transport }] of idle.slice(0, Math.max(0, idle.length - KEPT))) {
    entries.delete(key)
    store.close()
    transport.close()
  }
}
