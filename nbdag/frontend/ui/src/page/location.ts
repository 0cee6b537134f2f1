// Addresses of the page: the base path under which the server answers, and the current place below it.
//
// A place is a path below the base with an optional query, such as "/dags/churn/grid?state=failed". Segments that
// are ids are encoded, because an id of a run may contain ":" and "+".

/** The path of the Jupyter server's root, such as "/user/ada/". The server writes it into the HTML of each host. */
export const SERVER_BASE = document.body?.dataset.baseUrl ?? labBase() ?? '/'
/** The path of the page's root, such as "/user/ada/nbdag/". */
export const BASE = `${SERVER_BASE.replace(/\/$/, '')}/nbdag/`

/** Return the root that JupyterLab's HTML names. */
function labBase(): string | undefined {
  const config = document.getElementById('jupyter-config-data')?.textContent
  const url = config ? (JSON.parse(config) as { baseUrl?: string }).baseUrl : undefined
  return url ? new URL(url, window.location.href).pathname : undefined
}

/** Return a path with encoded parameters: path`/dags/${dag}/grid`. */
export function path(strings: TemplateStringsArray, ...values: (string | number)[]): string {
  return strings.reduce((text, each, n) => `${text}${n ? encodeURIComponent(String(values[n - 1])) : ''}${each}`, '')
}

/** Return the address of a place, for a link. */
export function href(place: string): string {
  return BASE + place.replace(/^\//, '')
}

/** Return the place of the window's address. */
export function currentPlace(): string {
  const { pathname, search } = window.location
  const below = pathname.startsWith(BASE) ? pathname.slice(BASE.length) : ''
  return `/${below}${search}`
}

type Listener = () => void
const listeners = new Set<Listener>()

/** Call `call` after each change of the place. The returned function ends this. */
export function onPlace(call: Listener): () => void {
  listeners.add(call)
  return () => {
    listeners.delete(call)
  }
}

function publish(): void {
  for (const call of [...listeners]) call()
}

window.addEventListener('popstate', publish)

/** Go to a place. With `replace`, the current place does not stay in the history. */
export function navigate(place: string, { replace = false }: { replace?: boolean } = {}): void {
  if (place === currentPlace()) return
  if (replace) window.history.replaceState(null, '', href(place))
  else window.history.pushState(null, '', href(place))
  publish()
}
