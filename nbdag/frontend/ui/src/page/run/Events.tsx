// What has happened in a run, in order.
import { useMemo, useState } from 'preact/hooks'
import type { RunDetails } from '../../api'
import { seconds } from '../../components/format'
import { Sign, stateStyle } from '../../components/Sign'
import { Link } from '../router'
import { Empty, Loaded } from '../states'
import { bothZones } from '../Time'
import { runAddress } from '../transport'
import { useResource } from '../useResource'
import { List } from './List'
import { instanceName, taskPlace } from './links'
import type { RunEvent } from './types'

const COLUMNS = [
  { name: 'Time', class: 'run-when' },
  { name: 'After', class: 'pg-number' },
  { name: 'What', class: 'run-what' },
  { name: 'State' },
  { name: 'Why', class: 'run-why' },
]

export function Events({ details }: { details: RunDetails }) {
  const { dag, id } = details.run
  const events = useResource<{ items: RunEvent[] }>(
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
    return items.filter(({ task, state, message }) =>
      `${task ?? 'run'} ${stateStyle(state).word} ${message}`.toLowerCase().includes(text),
    )
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
        keyOf={({ at, task, map_index, try_number, state }) => `${at} ${task} ${map_index} ${try_number} ${state}`}
      >
        {({ at, task, map_index, try_number, state, message }) => (
          <>
            <td class="run-when">
              <time dateTime={new Date(at * 1000).toISOString()} title={bothZones(at)}>
                {new Date(at * 1000).toLocaleTimeString([], {
                  hour: '2-digit',
                  minute: '2-digit',
                  second: '2-digit',
                  fractionalSecondDigits: 1,
                  hour12: false,
                })}
              </time>
            </td>
            <td class="pg-number nbdag-muted">{at < begin ? '' : `+${seconds(at - begin)}`}</td>
            <td class="run-what">
              {task === null ? (
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
              <Sign state={state} /> {stateStyle(state).word}
            </td>
            <td class="run-why" title={message}>
              {message}
            </td>
          </>
        )}
      </List>
    </>
  )
}
