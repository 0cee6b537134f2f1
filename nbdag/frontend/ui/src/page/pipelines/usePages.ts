// A list of the API that is loaded page by page, as far as the user scrolls. If few items change, only they are loaded
// again; if many change at once, the list is.
import { useCallback, useEffect, useReducer, useRef } from 'preact/hooks'
import { api, ProblemError } from '../api'
import { type Change, live } from '../live'

interface Page<T> {
  items: T[]
  total: number
  next: string | null
}

export interface Pages<T> {
  items: readonly T[]
  total: number // number of items of all pages
  complete: boolean // whether all pages are loaded
  loading: boolean
  loaded: boolean // whether the first page has been received
  error: Error | undefined
  more(): void
  reload(): void
  reloadItem(id: string): void
}

interface Listing<T> {
  items: T[]
  total: number
  next: string | null
  loaded: boolean
}

const SETTLE = 400 // milliseconds to wait for further changes, which one request then covers
const FEW = 8 // maximum number of changed items that are loaded one by one
const PAGE = 50 // minimum number of items of a page
const MOST = 200 // maximum number of items of a page, used when a long list is loaded again
const kept = new Map<string, Listing<unknown>>() // key: URL; shows a list immediately when the user returns to it

function withQuery(address: string, words: string): string {
  return `${address}${address.includes('?') ? '&' : '?'}${words}`
}

/** `itemOf` names the item that a change affects; "" means the whole list; undefined means no item. */
export function usePages<T extends { id: string }>(
  address: string,
  itemAddress: (id: string) => string,
  itemOf: (change: Change) => string | undefined,
): Pages<T> {
  const [, redraw] = useReducer((count: number) => count + 1, 0)
  const state = useRef({ address, loading: false, error: undefined as Error | undefined, again: false })
  const current = (): Listing<T> => {
    const found = kept.get(state.current.address) as Listing<T> | undefined
    return found ?? { items: [], total: 0, next: null, loaded: false }
  }
  state.current.address = address

  const fetchPages = useCallback(async (from: string | null, atLeast: number) => {
    const of = state.current.address
    if (state.current.loading) {
      state.current.again ||= from === null
      return
    }
    state.current.loading = true
    redraw(undefined)
    try {
      let items = from === null ? [] : current().items
      let cursor: string | null = from
      let total = 0
      const limit = Math.min(MOST, Math.max(PAGE, atLeast))
      do {
        const words: string = `limit=${limit}${cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`}`
        const page: Page<T> = await api.get<Page<T>>(withQuery(of, words))
        items = [...items, ...page.items]
        cursor = page.next
        total = page.total
      } while (cursor !== null && items.length < atLeast)
      kept.delete(of)
      kept.set(of, { items, total, next: cursor, loaded: true })
      if (kept.size > 20) kept.delete(kept.keys().next().value as string)
      state.current.error = undefined
    } catch (error) {
      state.current.error = error as Error
    } finally {
      state.current.loading = false
      redraw(undefined)
      if (state.current.again || state.current.address !== of) {
        state.current.again = false
        void fetchPages(null, current().items.length)
      }
    }
  }, [])

  const more = useCallback(() => {
    const { next } = current()
    if (next !== null && !state.current.loading && !state.current.error) void fetchPages(next, 0)
  }, [fetchPages])
  const reload = useCallback(() => void fetchPages(null, current().items.length), [fetchPages])
  const reloadItem = useCallback((id: string) => {
    const of = state.current.address
    const replace = (change: (items: T[], at: number) => T[]) => {
      const listing = kept.get(of) as Listing<T> | undefined
      const at = listing?.items.findIndex((each) => each.id === id) ?? -1
      if (!listing || at < 0) return
      kept.set(of, { ...listing, items: change(listing.items, at) })
      redraw(undefined)
    }
    if (!current().items.some((each) => each.id === id)) return
    api.get<T>(itemAddress(id)).then(
      (item) => replace((items, at) => items.with(at, item)),
      (error) => {
        if (error instanceof ProblemError && error.status === 404) replace((items, at) => items.toSpliced(at, 1))
      },
    )
  }, [])

  useEffect(() => {
    void fetchPages(null, current().items.length)
    const changed = new Set<string>()
    let timer: ReturnType<typeof setTimeout> | undefined
    const stop = live.onChange((change) => {
      const id = change.kind === 'all' ? '' : itemOf(change)
      if (id === undefined) return
      changed.add(id)
      timer ??= setTimeout(() => {
        timer = undefined
        if (changed.has('') || changed.size > FEW) reload()
        else for (const each of changed) reloadItem(each)
        changed.clear()
      }, SETTLE)
    })
    return () => {
      stop()
      clearTimeout(timer)
    }
  }, [address])

  const { items, total, next, loaded } = current()
  const { loading, error } = state.current
  return { items, total, complete: loaded && next === null, loading, loaded, error, more, reload, reloadItem }
}
