// The router: finds the view of a place in the table of routes, loads its module, and shows it.
import type { ComponentChildren, ComponentType } from 'preact'
import { useCallback, useEffect, useReducer, useRef, useState } from 'preact/hooks'
import { currentPlace, href, navigate, onPlace } from './location'
import { ErrorState, Loading } from './states'

export type Params = Readonly<Record<string, string>>
export interface ViewProps {
  params: Params
}
export type Section = 'pipelines' | 'scheduler' | 'assets'

/** One kind of place. `:name` in the path is a parameter, `:name?` at the end is an optional one. */
export interface Route {
  path: string
  section: Section
  title: (params: Params) => string
  load: () => Promise<{ default: ComponentType<ViewProps> }>
}

/** Return the parameters of a path that a pattern matches, or undefined. */
export function match(pattern: string, path: string): Params | undefined {
  const wanted = pattern.split('/').filter(Boolean)
  const given = path.split('/').filter(Boolean)
  if (given.length > wanted.length) return undefined
  const params: Record<string, string> = {}
  for (const [n, each] of wanted.entries()) {
    const part = given[n]
    if (part === undefined) {
      if (each.endsWith('?')) continue
      return undefined
    }
    if (!each.startsWith(':')) {
      if (each !== part) return undefined
      continue
    }
    try {
      params[each.slice(1).replace('?', '')] = decodeURIComponent(part)
    } catch {
      return undefined // a malformed escape
    }
  }
  return params
}

/** Return the first route that matches a place, with its parameters. */
export function resolve(routes: readonly Route[], place: string): { route: Route; params: Params } | undefined {
  const path = place.split(/[?#]/, 1)[0] ?? ''
  for (const route of routes) {
    const params = match(route.path, path)
    if (params) return { route, params }
  }
  return undefined
}

/** Return the current place; redraw when it changes. */
export function usePlace(): string {
  const [, redraw] = useReducer((count: number) => count + 1, 0)
  useEffect(() => onPlace(() => redraw(undefined)), [])
  return currentPlace()
}

/** Return a parameter of the query, and a function that sets it in place. "" removes it. */
export function useQuery(name: string, missing = ''): [string, (value: string) => void] {
  const place = usePlace()
  const value = new URLSearchParams(place.split('?')[1] ?? '').get(name) ?? missing
  const set = useCallback(
    (next: string) => {
      const [path = '/', search = ''] = currentPlace().split('?')
      const query = new URLSearchParams(search)
      if (next === missing) query.delete(name)
      else query.set(name, next)
      const text = query.toString()
      navigate(text ? `${path}?${text}` : path, { replace: true })
    },
    [name, missing],
  )
  return [value, set]
}

interface LinkProps {
  to: string
  class?: string | undefined
  title?: string | undefined
  'aria-label'?: string | undefined
  'aria-current'?: 'page' | 'true' | undefined
  children: ComponentChildren
}

/** A link to a place of this page. A click with Ctrl or another modifier key is left to the browser. */
export function Link({ to, ...rest }: LinkProps) {
  return (
    <a
      {...rest}
      href={href(to)}
      onClick={(event) => {
        if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
          return
        event.preventDefault()
        navigate(to)
        window.scrollTo(0, 0)
      }}
    />
  )
}

const loadedViews = new Map<Route, ComponentType<ViewProps>>()

/** The view of a route. Its module is loaded once. */
export function RouteView({ route, params }: { route: Route; params: Params }) {
  const [, redraw] = useReducer((count: number) => count + 1, 0)
  const [error, setError] = useState<Error>()
  const shown = useRef(route)
  shown.current = route
  const View = loadedViews.get(route)
  useEffect(() => {
    if (loadedViews.has(route)) return
    setError(undefined)
    route.load().then(
      (loaded) => {
        loadedViews.set(route, loaded.default)
        if (shown.current === route) redraw(undefined)
      },
      () => {
        if (shown.current === route) setError(new Error('This part of the page could not be loaded.'))
      },
    )
  }, [route])
  if (error) return <ErrorState error={error} onRetry={() => window.location.reload()} />
  return View ? <View params={params} /> : <Loading />
}
