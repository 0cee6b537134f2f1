// The events of a run, in order.
import { useMemo, useState } from 'preact/hooks'
import type { RunDetails, RunEvent, RunEventList } from '../../api'
import { localText, SECONDS, seconds } from '../../components/format'
import { Sign, stateStyle } from '../../components/Sign'
import { type DisplayState, STATE_STYLES } from '../../messages'
import { Link } from '../router'
import { Empty, Loaded } from '../states'
import { bothZones } from '../Time'
import { runAddress } from '../transport'
import { useResource } from '../useResource'
import { List } from './List'
import { instanceName, taskPlace } from './links'

const COLUMNS = [
  { name: 'Time', class: 'run-when' },
  { name: 'After', class: 'pg-number run-after' },
  { name: 'What', class: 'run-what' },
  { name: 'State' },
  { name: 'Why', class: 'run-why' },
]

export function Events({ details }: { details: RunDetails }) {
  const { dag, id } = details.run
  const events = useResource<RunEventList>(
    runAddress(dag, id, 'events'),
    (change) => change.dag === dag && change.run === id,
  )
  return <Loaded of={events}>{({ items }) => <EventList details={details} items={items} />}</Loaded>
}

function EventList({ details, items }: { details: RunDetails; items: readonly RunEvent[] }) {
  const { dag, id } = details.run
  const [query, setQuery] = useState('')
  const shown = useMemo(() => {
    const text = query.trim().toLowerCase()
    if (!text) return items
    return items.filter((each) => `${each.task || 'run'} ${wordOf(each)} ${each.text}`.toLowerCase().includes(text))
  }, [items, query])
  if (!items.length) return <Empty title="Nothing has happened yet" />
  const begin = details.run.started ?? details.run.created
  return (
    <>
      <div class="run-bar">
        <input
          type="search"
          placeholder="Filter by task, state or text"
          aria-label="Filter the events"
          value={query}
          onInput={(event) => setQuery(event.currentTarget.value)}
        />
        <span class="nbdag-muted" role="status">
          {query ? `${shown.length} of ${items.length}` : `${items.length} events`}
        </span>
      </div>
      <List
        label="Events"
        columns={COLUMNS}
        rows={shown}
        height={28}
        keyOf={({ at, kind, task, map_index, try_number }, n) =>
          `${at} ${kind} ${task} ${map_index} ${try_number} ${n}`
        }
      >
        {(event) => {
          const { at, kind, task, map_index, try_number, text } = event
          const state = stateOf(event)
          return (
            <>
              <td class="run-when">
                <time dateTime={new Date(at * 1000).toISOString()} title={bothZones(at)}>
                  {localText(new Date(at * 1000), { ...SECONDS, fractionalSecondDigits: 1 })}
                </time>
              </td>
              <td class="pg-number run-after nbdag-muted">{at < begin ? '' : `+${seconds(at - begin)}`}</td>
              <td class="run-what">
                {task === '' ? (
                  <b>run</b>
                ) : (
                  <>
                    <Link
                      to={taskPlace(dag, id, task, try_number ? { index: map_index, number: try_number } : undefined)}
                    >
                      {instanceName(task, map_index)}
                    </Link>
                    {try_number > 1 ? <span class="nbdag-muted"> try {try_number}</span> : null}
                  </>
                )}
              </td>
              <td class="run-to">
                {state ? <Sign state={state} /> : null} {wordOf(event)}
              </td>
              <td class="run-why" title={text}>
                {kind === 'created' ? '' : text}
              </td>
            </>
          )
        }}
      </List>
    </>
  )
}

const WORDS: Partial<Record<RunEvent['kind'], string>> = {
  created: 'created',
  started: 'started',
  cancel: 'cancel requested',
  attempt: 'started',
  question: 'asks',
  answer: 'answered',
  warning: 'warning',
}

function stateOf({ state }: RunEvent): DisplayState | undefined {
  return state !== null && Object.hasOwn(STATE_STYLES, state) ? (state as DisplayState) : undefined
}

/** Return what has happened, in words. */
function wordOf(event: RunEvent): string {
  const state = stateOf(event)
  return WORDS[event.kind] ?? (state ? stateStyle(state).word : event.kind)
}
