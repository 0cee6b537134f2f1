// Messages of a view: data is loading, there is no data, an error occurred, or the shown data is outdated.
import type { ComponentChildren } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { loginAddress, OfflineError, ProblemError, SignedOutError } from './api'
import { href } from './location'
import { Time } from './Time'
import type { Resource } from './useResource'

const PATIENCE = 150 // milliseconds before anything shows that data is loading; most answers come sooner

/** Grey lines in the place of data that is loading. They appear only if loading takes a while. */
export function Loading({ lines = 6, what = 'Loading' }: { lines?: number; what?: string }) {
  const [shows, setShows] = useState(false)
  useEffect(() => {
    const timer = setTimeout(() => setShows(true), PATIENCE)
    return () => clearTimeout(timer)
  }, [])
  return (
    <div class={`pg-loading${shows ? ' pg-shown' : ''}`} role="status">
      <span class="nbdag-screen-reader">{what}…</span>
      {Array.from({ length: lines }, (_, n) => (
        <i key={n} aria-hidden="true" />
      ))}
    </div>
  )
}

/** Nothing to show yet, and what to do about it. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="pg-empty">
      <h2>{title}</h2>
      {children}
    </div>
  )
}

/** The sentence of an error, and its next step. */
export function ErrorState({ error, onRetry }: { error: Error; onRetry?: () => void }) {
  if (error instanceof SignedOutError)
    return (
      <div class="pg-empty" role="alert">
        <h2>You are signed out</h2>
        <p>{error.message}</p>
        <p>
          <a class="pg-button" href={loginAddress()}>
            Sign in
          </a>
        </p>
      </div>
    )
  const missing = error instanceof ProblemError && error.status === 404
  const title = missing ? 'Not found' : error instanceof OfflineError ? 'No connection' : 'That did not work'
  return (
    <div class="pg-empty" role="alert">
      <h2>{title}</h2>
      <p>
        <Sentence text={error.message} />
      </p>
      {missing ? (
        <p>
          <a href={href('/')}>Go to the pipelines</a>
        </p>
      ) : null}
      {onRetry && !missing ? (
        <p>
          <button type="button" onClick={onRetry}>
            Try again
          </button>
        </p>
      ) : null}
    </div>
  )
}

/** Show an error as a sentence: with a capital letter, a full stop, and commands as code. */
export function Sentence({ text }: { text: string }) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?:]$/.test(text) ? '' : '.')
  return <>{whole.split('`').map((part, n) => (n % 2 ? <code key={n}>{part}</code> : part))}</>
}

interface LoadedProps<T> {
  of: Resource<T>
  lines?: number
  children: (data: T) => ComponentChildren
}

/** The data of a resource; a note if the data is loading or outdated; the error if it cannot be loaded. */
export function Loaded<T>({ of, lines, children }: LoadedProps<T>) {
  if (of.data === undefined) {
    if (of.error) return <ErrorState error={of.error} onRetry={of.reload} />
    return <Loading {...(lines === undefined ? {} : { lines })} />
  }
  return (
    <>
      {of.stale && of.error && !(of.error instanceof OfflineError) ? <StaleNote of={of} /> : null}
      {children(of.data)}
    </>
  )
}

function StaleNote({ of }: { of: Resource<unknown> }) {
  return (
    <p class="pg-stale" role="status">
      <span>
        From <Time at={of.at} />; it could not be updated: {of.error?.message}
      </span>
      <button type="button" onClick={of.reload}>
        Try again
      </button>
    </p>
  )
}
