// All deployed pipelines: search, schedule in words, the latest runs, pause and trigger. The list may be long:
// only the rows in view are in the document, and pages are loaded as the list is scrolled.
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Pipeline, RecentRun } from '../../api'
import { seconds } from '../../components/format'
import { Sign, stateStyle } from '../../components/Sign'
import { useNow } from '../../components/state/hooks'
import { isActive } from '../../components/state/states'
import type { Change } from '../live'
import { path } from '../location'
import { Link, useQuery } from '../router'
import { useScheduleWords } from '../schedule'
import { useShortcuts } from '../shortcuts'
import { Empty, ErrorState, Loading } from '../states'
import { Time } from '../Time'
import { useNarrow, useRows } from '../useRows'
import { DeployDialog } from './DeployDialog'
import { FirstPipeline } from './FirstPipeline'
import { Changed, NextRun } from './marks'
import { PauseSwitch } from './PauseSwitch'
import { RunBars } from './RunBars'
import { TriggerDialog } from './TriggerDialog'
import { type Pages, usePages } from './usePages'

const SHOWN = ['all', 'active', 'paused', 'failing'] as const
const ROW = 48 // height of a row in pixels
const CARD = 104 // height of a row of a narrow page
const TYPING = 200 // milliseconds after the last key before the list is searched
const AHEAD = 15 // rows from the end of the loaded rows at which the next page is loaded

function affected(change: Change): string | undefined {
  if (change.kind === 'dag') return ''
  return change.kind === 'run' ? change.dag : undefined
}

export default function Pipelines() {
  const [search, setSearch] = useQuery('search')
  const [tag, setTag] = useQuery('tag')
  const [shows, setShows] = useQuery('show', 'all')
  const words = new URLSearchParams()
  if (search) words.set('search', search)
  if (tag) words.set('tag', tag)
  if (shows === 'active' || shows === 'paused') words.set('paused', String(shows === 'paused'))
  if (shows === 'failing') words.set('state', 'failed')
  const query = words.toString()
  const pages = usePages<Pipeline>(query ? `dags?${query}` : 'dags', (id) => path`dags/${id}`, affected)
  const [deploys, setDeploys] = useState(false)
  const [triggered, setTriggered] = useState('')
  const narrow = useNarrow(760)
  useShortcuts('Pipelines', [{ keys: 'd', label: 'Deploy a notebook', run: () => setDeploys(true) }])

  const filtered = query !== ''
  const none = pages.loaded && !pages.items.length
  return (
    <>
      <div class="pg-head">
        <h1>Pipelines</h1>
        <Count pages={pages} />
        <span class="nbdag-spacer" />
        {none && !filtered ? null : (
          <>
            <SearchBox value={search} onValue={setSearch} />
            <div class="nbdag-views" role="group" aria-label="Show">
              {SHOWN.map((each) => (
                <button type="button" key={each} aria-pressed={shows === each} onClick={() => setShows(each)}>
                  {each.charAt(0).toUpperCase() + each.slice(1)}
                </button>
              ))}
            </div>
          </>
        )}
        {none && !filtered ? null : (
          <button type="button" class="pg-deploy" onClick={() => setDeploys(true)}>
            Deploy…
          </button>
        )}
      </div>
      {tag ? (
        <p class="pg-filters">
          Tagged
          <button type="button" class="pg-tag pg-on" onClick={() => setTag('')} aria-label={`Remove the filter ${tag}`}>
            {tag} <span aria-hidden="true">×</span>
          </button>
        </p>
      ) : null}
      {pages.error && pages.loaded ? (
        <p class="pg-stale" role="status">
          <span>The list could not be updated: {pages.error.message}</span>
          <button type="button" onClick={pages.reload}>
            Try again
          </button>
        </p>
      ) : null}
      {!pages.loaded ? (
        pages.error ? (
          <ErrorState error={pages.error} onRetry={pages.reload} />
        ) : (
          <Loading lines={8} what="Loading the pipelines" />
        )
      ) : none ? (
        filtered ? (
          <Empty title={shows === 'failing' && !search && !tag ? 'No pipeline fails' : 'No pipeline matches'}>
            <p>
              {shows === 'failing' && !search && !tag
                ? 'The latest run of every pipeline is in order.'
                : 'Names, owners, tags and descriptions are searched.'}
            </p>
            <p>
              <Link to="/">Show all pipelines</Link>
            </p>
          </Empty>
        ) : (
          <FirstPipeline onDeploy={() => setDeploys(true)} />
        )
      ) : (
        <List pages={pages} narrow={narrow} onTag={setTag} onTrigger={setTriggered} />
      )}
      {deploys ? <DeployDialog onClose={() => setDeploys(false)} onDeployed={pages.reload} /> : null}
      {triggered ? (
        <TriggerDialog
          dag={triggered}
          onClose={() => setTriggered('')}
          onTriggered={() => pages.reloadItem(triggered)}
        />
      ) : null}
    </>
  )
}

function Count({ pages }: { pages: Pages<Pipeline> }) {
  if (!pages.loaded || !pages.items.length) return null
  return (
    <span class="nbdag-muted" role="status">
      {pages.total.toLocaleString()}
    </span>
  )
}

function SearchBox({ value, onValue }: { value: string; onValue: (value: string) => void }) {
  const [text, setText] = useState(value)
  const sent = useRef(value)
  useEffect(() => {
    if (value !== sent.current) setText(value) // the address has changed, such as by the back button
    sent.current = value
  }, [value])
  useEffect(() => {
    if (text === sent.current) return
    const timer = setTimeout(() => {
      sent.current = text.trim()
      onValue(text.trim())
    }, TYPING)
    return () => clearTimeout(timer)
  }, [text])
  return (
    <input
      type="search"
      class="pg-search"
      placeholder="Search  /"
      aria-label="Search pipelines"
      value={text}
      onInput={(event) => setText(event.currentTarget.value)}
    />
  )
}

interface ListProps {
  pages: Pages<Pipeline>
  narrow: boolean
  onTag: (tag: string) => void
  onTrigger: (dag: string) => void
}

function List({ pages, narrow, onTag, onTrigger }: ListProps) {
  const body = useRef<HTMLElement>(null)
  const { items, loading, more } = pages
  const { first, last, above, below } = useRows(body, items.length, narrow ? CARD : ROW)
  const running = items.slice(first, last).some((each) => each.recent.some(({ state }) => isActive({ state })))
  const now = useNow(running)
  const needsMore = !pages.complete && last >= items.length - AHEAD
  useEffect(() => {
    if (needsMore && !loading) more()
  }, [needsMore, items.length, loading, more]) // `loading`: no page can be added while the list is reloaded
  const rows = items
    .slice(first, last)
    .map((each) => (
      <Row
        key={each.id}
        pipeline={each}
        now={now}
        onTag={onTag}
        onTrigger={onTrigger}
        onChanged={() => pages.reloadItem(each.id)}
      />
    ))
  return (
    <table class="pg-table pg-pipelines" aria-rowcount={pages.total + 1}>
      <thead>
        <tr>
          <th scope="col" class="pg-c-switch">
            <span class="nbdag-screen-reader">Active</span>
          </th>
          <th scope="col" class="pg-c-name">
            Pipeline
          </th>
          <th scope="col" class="pg-c-schedule">
            Schedule
          </th>
          <th scope="col" class="pg-c-bars">
            Latest runs
          </th>
          <th scope="col" class="pg-c-last">
            Last run
          </th>
          <th scope="col" class="pg-c-about">
            About
          </th>
          <th scope="col" class="pg-c-act">
            <span class="nbdag-screen-reader">Actions</span>
          </th>
        </tr>
      </thead>
      <tbody
        ref={(element) => {
          body.current = element
        }}
      >
        {above ? <Spacer height={above} /> : null}
        {rows}
        {below ? <Spacer height={below} /> : null}
      </tbody>
    </table>
  )
}

function Spacer({ height }: { height: number }) {
  return (
    <tr class="pg-spacer" aria-hidden="true">
      <td colSpan={7} style={{ height: `${height}px` }} />
    </tr>
  )
}

interface RowProps {
  pipeline: Pipeline
  now: number
  onTag: (tag: string) => void
  onTrigger: (dag: string) => void
  onChanged: () => void
}

function Row({ pipeline, now, onTag, onTrigger, onChanged }: RowProps) {
  const { id, deployed, schedule, tz, paused, owner, tags, description, recent, changed } = pipeline
  const words = useScheduleWords(schedule, tz)
  return (
    <tr class={paused ? 'pg-paused' : ''} data-dag={id}>
      <td class="pg-c-switch">
        {deployed === null ? null : <PauseSwitch dag={id} paused={paused} onChanged={onChanged} />}
      </td>
      <th scope="row" class="pg-c-name">
        <div class="pg-line">
          <Link class="pg-plain pg-strong" to={path`/dags/${id}`} title={id}>
            {id}
          </Link>
          {changed ? <Changed how={changed} /> : null}
        </div>
        <div class="pg-line pg-second">
          {owner ? <span class="pg-owner">{owner}</span> : null}
          {tags.map((each) => (
            <button
              type="button"
              key={each}
              class="pg-tag"
              title={`Show pipelines tagged ${each}`}
              onClick={() => onTag(each)}
            >
              {each}
            </button>
          ))}
        </div>
      </th>
      <td class="pg-c-schedule">
        <div class="pg-line" title={schedule === null ? '' : `${schedule} (${tz})`}>
          {deployed === null ? <span class="nbdag-muted">not deployed</span> : words}
        </div>
        <div class="pg-line pg-second">
          <NextRun pipeline={pipeline} />
        </div>
      </td>
      <td class="pg-c-bars">
        <RunBars dag={id} runs={recent} now={now} />
      </td>
      <td class="pg-c-last">
        <LastRun dag={id} run={recent.at(-1)} now={now} />
      </td>
      <td class="pg-c-about">
        <div class="pg-about" title={description ?? ''}>
          {description}
        </div>
      </td>
      <td class="pg-c-act">
        {deployed === null ? null : (
          <button type="button" aria-label={`Run ${id}`} title="Start a run now" onClick={() => onTrigger(id)}>
            <span aria-hidden="true">▶</span>
            <span> Run</span>
          </button>
        )}
      </td>
    </tr>
  )
}

function LastRun({ dag, run, now }: { dag: string; run: RecentRun | undefined; now: number }) {
  if (!run) return null
  const duration = run.started === null ? undefined : (run.ended ?? now) - run.started
  return (
    <>
      <div class="pg-line">
        <Link class="pg-plain pg-state" to={path`/dags/${dag}/runs/${run.id}`} title={run.id}>
          <Sign state={run.state} /> {stateStyle(run.state).word}
        </Link>
      </div>
      <div class="pg-line pg-second">
        <span>
          <Time at={run.started ?? run.created} />
          {duration === undefined ? '' : ` · ${seconds(duration)}`}
        </span>
      </div>
    </>
  )
}
