// Data of the API in components. It is loaded once, shown immediately when a view is opened again, and
// reloaded after changes.
import { useCallback, useEffect, useReducer, useRef } from 'preact/hooks'
import { api } from './api'
import { type Change, live } from './live'

export interface Resource<T> {
  data: T | undefined // the latest answer; it is kept while a newer answer is loaded, and if loading fails
  error: Error | undefined // why the latest request failed
  loading: boolean
  stale: boolean // whether the data is older than a request that failed
  at: number // when the data was received, in seconds since the epoch
  reload(): void
}

interface Entry {
  data: unknown
  error: Error | undefined
  at: number
}

const CACHE_SIZE = 200 // number of answers that are kept
const SETTLE = 250 // milliseconds in which further changes do not cause further requests
const cache = new Map<string, Entry>()

/** Forget all answers, for the tests. */
export function clearCache(): void {
  cache.clear()
}

function keep(key: string, entry: Entry): void {
  cache.delete(key)
  cache.set(key, entry)
  if (cache.size > CACHE_SIZE) cache.delete(cache.keys().next().value as string)
}

/**
 * Return a resource of the API, or nothing without an address. It is loaded again after each change for which
 * `affects` returns true, at most about four times a second.
 */
export function useResource<T>(
  address: string | undefined,
  affects: (change: Change) => boolean = ALWAYS,
): Resource<T> {
  const [, redraw] = useReducer((count: number) => count + 1, 0)
  const abort = useRef<AbortController | undefined>(undefined)
  const loading = useRef(false)
  const again = useRef(false)
  const wanted = useRef(address)
  const matters = useRef(affects)
  const sent = useRef(0) // when the latest request was sent, by the clock of `performance`
  wanted.current = address
  matters.current = affects

  const load = useCallback(() => {
    const key = wanted.current
    if (key === undefined) return
    if (loading.current) {
      again.current = true // send one more request after this one, even if several changes arrive
      return
    }
    const control = new AbortController()
    abort.current = control
    loading.current = true
    sent.current = performance.now()
    redraw(undefined)
    api
      .get<T>(key, undefined, control.signal)
      .then(
        (data) => keep(key, { data, error: undefined, at: Date.now() / 1000 }),
        (error: Error) => {
          if (control.signal.aborted) return
          const before = cache.get(key)
          keep(key, { data: before?.data, error, at: before?.at ?? 0 })
        },
      )
      .finally(() => {
        if (control.signal.aborted) return
        loading.current = false
        redraw(undefined)
        if (again.current) {
          again.current = false
          setTimeout(load, SETTLE)
        }
      })
  }, [])

  useEffect(() => {
    load()
    let timer: ReturnType<typeof setTimeout> | undefined
    const stop = live.onChange((change) => {
      if (
        change.kind === 'all' ? sent.current >= (change.before ?? Number.POSITIVE_INFINITY) : !matters.current(change)
      )
        return
      timer ??= setTimeout(() => {
        timer = undefined
        load()
      }, SETTLE)
    })
    return () => {
      stop()
      clearTimeout(timer)
      abort.current?.abort()
      loading.current = false
      again.current = false
    }
  }, [address, load])

  const entry = address === undefined ? undefined : cache.get(address)
  return {
    data: entry?.data as T | undefined,
    error: entry?.error,
    loading: loading.current || (address !== undefined && !entry),
    stale: entry?.error !== undefined && entry.data !== undefined,
    at: entry?.at ?? 0,
    reload: load,
  }
}

const ALWAYS = () => true
