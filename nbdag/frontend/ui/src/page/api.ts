// The client of the REST API. Every call returns JSON or throws one of the errors below, whose texts are shown as they are.
import { BASE, SERVER_BASE } from './location'

/** The server refused a request and said why (problem+json). */
export class ProblemError extends Error {
  override readonly name = 'ProblemError'
  constructor(
    readonly status: number,
    detail: string,
    readonly code: string,
  ) {
    super(detail)
  }
}

/** The server did not answer. */
export class OfflineError extends Error {
  override readonly name = 'OfflineError'
  constructor() {
    super('The server does not answer.')
  }
}

/** The browser is not signed in, or not any more. */
export class SignedOutError extends Error {
  override readonly name = 'SignedOutError'
  constructor() {
    super('You are not signed in to this Jupyter server.')
  }
}

/** Return the address of Jupyter's own sign-in page, which leads back here. */
export function loginAddress(): string {
  const { pathname, search } = window.location
  return `${SERVER_BASE}login?next=${encodeURIComponent(pathname + search)}`
}

type Query = Record<string, string | number | boolean | null | undefined>

/** Return the address of a resource; empty parameters are left out. */
export function apiAddress(resource: string, query: Query = {}): string {
  const words = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== '' && value !== false) words.set(name, String(value))
  }
  const text = words.toString()
  return `${BASE}api/${resource.replace(/^\//, '')}${text ? `${resource.includes('?') ? '&' : '?'}${text}` : ''}`
}

type Watcher = (reached: boolean) => void
const watchers = new Set<Watcher>()

/** Call `call` after each request with whether the server answered. The returned function ends this. */
export function onReach(call: Watcher): () => void {
  watchers.add(call)
  return () => {
    watchers.delete(call)
  }
}

function xsrfToken(): string {
  // The cookie may be newer than the HTML, because a sign-in in another tab changes only the cookie.
  const cookie = /(?:^|; )_xsrf=([^;]*)/.exec(document.cookie)?.[1]
  return cookie === undefined ? (document.body.dataset.xsrf ?? '') : decodeURIComponent(cookie)
}

interface Options {
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE'
  body?: unknown
  query?: Query
  signal?: AbortSignal
}

/** Send a request and return the response, or throw. */
export async function request(resource: string, options: Options = {}): Promise<Response> {
  const { method = 'GET', body, query, signal } = options
  const headers: Record<string, string> = { Accept: 'application/json' }
  if (method !== 'GET') headers['X-XSRFToken'] = xsrfToken()
  if (body !== undefined) headers['Content-Type'] = 'application/json'
  let response: Response
  try {
    response = await fetch(apiAddress(resource, query), {
      method,
      headers,
      credentials: 'same-origin',
      cache: 'no-cache', // the browser sends the ETag, and the server answers 304 if nothing has changed
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal ? { signal } : {}),
    })
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    for (const call of watchers) call(false)
    throw new OfflineError()
  }
  const gone = response.status === 502 || response.status === 503 || response.status === 504 // reported by a proxy
  for (const call of watchers) call(!gone)
  if (gone) throw new OfflineError()
  if (response.redirected && new URL(response.url).pathname.startsWith(`${SERVER_BASE}login`))
    throw new SignedOutError()
  if (!response.ok) throw await problemOf(response)
  return response
}

async function problemOf(response: Response): Promise<Error> {
  const type = response.headers.get('Content-Type') ?? ''
  const problem: Record<string, unknown> = type.includes('json') ? await response.json().catch(() => ({})) : {}
  const text = (name: string): string | null => (typeof problem[name] === 'string' ? problem[name] : null)
  if ((response.status === 401 || response.status === 403) && text('code') === null) return new SignedOutError()
  const detail = text('detail') ?? text('message') ?? `The server answered ${response.status} ${response.statusText}.`
  return new ProblemError(response.status, detail, text('code') ?? '')
}

async function json<T>(resource: string, options: Options): Promise<T> {
  const response = await request(resource, options)
  return (response.status === 204 ? null : await response.json()) as T
}

export const api = {
  get: <T>(resource: string, query?: Query, signal?: AbortSignal): Promise<T> =>
    json<T>(resource, { ...(query ? { query } : {}), ...(signal ? { signal } : {}) }),
  post: <T>(resource: string, body: unknown = {}): Promise<T> => json<T>(resource, { method: 'POST', body }),
  put: <T>(resource: string, body: unknown = {}): Promise<T> => json<T>(resource, { method: 'PUT', body }),
  delete: <T>(resource: string): Promise<T> => json<T>(resource, { method: 'DELETE' }),
}
