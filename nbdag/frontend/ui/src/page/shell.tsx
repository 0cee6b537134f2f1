// The frame around every view: navigation, the state of the connection, the theme, shortcuts, notes.
import { Component, type ComponentChildren } from 'preact'
import { useEffect, useReducer, useRef, useState } from 'preact/hooks'
import { live } from './live'
import { navigate } from './location'
import { Link, RouteView, resolve, type Section, usePlace } from './router'
import { routes } from './routes'
import { listenForKeys, ShortcutHelp, useShortcuts } from './shortcuts'
import { Empty, ErrorState } from './states'
import { Time } from './Time'
import { savedTheme, setTheme, type Theme } from './theme'
import { Toasts } from './toasts'

const SECTIONS: readonly { section: Section; label: string; to: string; keys: string }[] = [
  { section: 'pipelines', label: 'Pipelines', to: '/', keys: 'g p' },
  { section: 'assets', label: 'Assets', to: '/assets', keys: 'g a' },
  { section: 'scheduler', label: 'Scheduler', to: '/scheduler', keys: 'g s' },
]

export function Shell() {
  const place = usePlace()
  const found = resolve(routes, place)
  const [helps, setHelps] = useState(false)
  const main = useRef<HTMLElement>(null)
  const search = () => main.current?.querySelector<HTMLElement>('input[type=search]')
  useEffect(listenForKeys, [])
  useShortcuts('Everywhere', [
    ...SECTIONS.map(({ keys, label, to }) => ({ keys, label: `Go to ${label}`, run: () => navigate(to) })),
    { keys: '/', label: 'Search', run: () => search()?.focus(), when: () => !!search() },
    { keys: '?', label: 'Show these shortcuts', run: () => setHelps(true) },
  ])

  const path = place.split('?', 1)[0]
  const title = found?.route.title(found.params) ?? 'Not found'
  const first = useRef(true)
  const previous = useRef(found?.route)
  useEffect(() => {
    document.title = `${title} · nbdag`
    // Screen readers and the Tab key go on from the new view, as after loading a page. A tab of the same view keeps the focus.
    if (!first.current && previous.current !== found?.route) main.current?.focus({ preventScroll: true })
    first.current = false
    previous.current = found?.route
  }, [path, title])

  return (
    <div class="nbdag-app pg">
      {/* biome-ignore lint/a11y/useValidAnchor: a link to a place in this page; the router would take its address */}
      <a class="pg-skip" href="#content" onClick={(event) => skip(event, main.current)}>
        Skip to content
      </a>
      <header class="pg-top">
        <Link class="pg-brand" to="/" aria-label="nbdag, pipelines">
          <Mark />
          <span>nbdag</span>
        </Link>
        <nav aria-label="Sections">
          {SECTIONS.map(({ section, label, to }) => (
            <Link key={section} to={to} aria-current={found?.route.section === section ? 'page' : undefined}>
              {label}
            </Link>
          ))}
        </nav>
        <span class="nbdag-spacer" />
        <ConnectionSign />
        <ThemeSwitch />
        <button
          type="button"
          class="pg-icon"
          aria-label="Keyboard shortcuts"
          title="Keyboard shortcuts (?)"
          onClick={() => setHelps(true)}
        >
          ?
        </button>
      </header>
      <OfflineBar />
      <main id="content" ref={main} tabIndex={-1}>
        {found ? (
          <Boundary path={path}>
            <RouteView route={found.route} params={found.params} />
          </Boundary>
        ) : (
          <Empty title="There is nothing here">
            <p>This address leads to no view of the page.</p>
            <p>
              <Link to="/">Go to the pipelines</Link>
            </p>
          </Empty>
        )}
      </main>
      <Toasts />
      {helps ? <ShortcutHelp onClose={() => setHelps(false)} /> : null}
    </div>
  )
}

function skip(event: Event, main: HTMLElement | null): void {
  event.preventDefault()
  main?.focus()
}

/** A graph of three tasks. */
function Mark() {
  return (
    <svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">
      <path d="M6 10h3.2M9 10c2 0 2-5 4-5M9 10c2 0 2 5 4 5" fill="none" stroke="currentColor" stroke-width="1.6" />
      <circle cx="4" cy="10" r="2.6" fill="currentColor" />
      <circle cx="15.5" cy="5" r="2.6" fill="currentColor" />
      <circle cx="15.5" cy="15" r="2.6" fill="currentColor" />
    </svg>
  )
}

function useConnection() {
  const [, redraw] = useReducer((n: number) => n + 1, 0)
  useEffect(() => live.onConnection(() => redraw(undefined)), [])
  return live.connection
}

const CONNECTIONS = {
  connecting: ['connecting', 'Connecting to the server'],
  live: ['live', 'Changes appear as they happen'],
  polling: ['every 4 s', 'The stream of changes is not available, so the page asks every four seconds'],
  offline: ['offline', 'The server does not answer'],
} as const

function ConnectionSign() {
  const connection = useConnection()
  const [word, meaning] = CONNECTIONS[connection]
  return (
    <span class={`pg-connection pg-${connection}`} title={meaning}>
      <i aria-hidden="true" />
      <span>{word}</span>
    </span>
  )
}

function OfflineBar() {
  if (useConnection() !== 'offline') return null
  return (
    <div class="pg-offline" role="alert">
      <span>
        No connection to the server since <Time at={live.since} exact />. What you see is from before.
      </span>
      <button type="button" onClick={() => live.reconnect()}>
        Try now
      </button>
    </div>
  )
}

const NEXT_THEME: Record<Theme, Theme> = { auto: 'light', light: 'dark', dark: 'auto' }
const THEME_SIGNS: Record<Theme, string> = { auto: '◐', light: '☀', dark: '☾' }
const THEME_WORDS: Record<Theme, string> = { auto: 'as the system', light: 'light', dark: 'dark' }

function ThemeSwitch() {
  const [theme, setShown] = useState(savedTheme)
  const label = `Colours: ${THEME_WORDS[theme]}`
  const change = () => {
    const next = NEXT_THEME[theme]
    setTheme(next)
    setShown(next)
  }
  useShortcuts('Everywhere', [{ keys: 'c', label: 'Light, dark, or as the system', run: change }])
  return (
    <button type="button" class="pg-icon" aria-label={label} title={`${label} (c)`} onClick={change}>
      <span aria-hidden="true">{THEME_SIGNS[theme]}</span>
    </button>
  )
}

/** Shows an error of a view in the view's place, so that the rest of the page keeps working. */
class Boundary extends Component<
  { path: string | undefined; children: ComponentChildren },
  { error: Error | undefined }
> {
  override state: { error: Error | undefined } = { error: undefined }

  override componentDidCatch(error: Error) {
    this.setState({ error })
  }

  override componentDidUpdate({ path }: { path: string | undefined }) {
    if (path !== this.props.path && this.state.error) this.setState({ error: undefined })
  }

  override render() {
    const { error } = this.state
    if (!error) return <>{this.props.children}</>
    return <ErrorState error={new Error(`This view has failed: ${error.message}`)} onRetry={() => location.reload()} />
  }
}
