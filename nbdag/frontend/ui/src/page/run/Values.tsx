// The values that the tasks of a run have stored.
import { useMemo, useState } from 'preact/hooks'
import type { RunDetails } from '../../api'
import { bytes, plural } from '../../components/format'
import { Outputs } from '../../components/panel/Outputs'
import type { ValueList as Listed, ListedValue, ValueMessage } from '../../messages'
import { Dialog } from '../Dialog'
import { path } from '../location'
import { Link } from '../router'
import { Empty, Loaded } from '../states'
import { runAddress } from '../transport'
import { useResource } from '../useResource'
import { List } from './List'
import { instanceName, taskPlace } from './links'
import type { ShownRun } from './runStore'

const COLUMNS = [
  { name: 'Name' },
  { name: 'Task' },
  { name: 'Type', class: 'run-type' },
  { name: 'Size', class: 'pg-number' },
  { name: 'Value', class: 'run-why' },
  { name: 'Digest', class: 'run-digest' },
  { name: '', class: 'run-act' },
]

interface Props {
  details: RunDetails
  shown: ShownRun
}

export function Values({ details, shown }: Props) {
  const { dag, id } = details.run
  const values = useResource<Listed>(runAddress(dag, id, 'values'), (change) => change.dag === dag && change.run === id)
  return <Loaded of={values}>{({ items }) => <ValueList shown={shown} items={items} />}</Loaded>
}

function ValueList({ shown: { dag, run }, items }: { shown: ShownRun; items: readonly ListedValue[] }) {
  const [query, setQuery] = useState('')
  const [preview, setPreview] = useState<ListedValue>()
  const found = useMemo(() => {
    const text = query.trim().toLowerCase()
    if (!text) return items
    return items.filter(({ name, task, type, summary }) =>
      `${name} ${task} ${type} ${summary}`.toLowerCase().includes(text),
    )
  }, [items, query])
  if (!items.length)
    return (
      <Empty title="No values stored">
        <p class="nbdag-muted">
          A task stores the values that later tasks read, and those that are named by <code>--out</code>.
        </p>
      </Empty>
    )
  const total = items.reduce((sum, each) => sum + each.bytes, 0)
  return (
    <>
      <div class="run-bar">
        <input
          type="search"
          placeholder="Filter by name, task or type"
          aria-label="Filter the values"
          value={query}
          onInput={(event) => setQuery(event.currentTarget.value)}
        />
        <span class="nbdag-muted" role="status">
          {query
            ? `${found.length} of ${plural(items.length, 'value')}`
            : `${plural(items.length, 'value')}, ${bytes(total)}`}
        </span>
      </div>
      <List
        label="Values"
        columns={COLUMNS}
        rows={found}
        height={30}
        keyOf={({ task, map_index, name }) => `${task} ${map_index} ${name}`}
      >
        {(value) => (
          <>
            <td>
              <code>{value.name}</code>
            </td>
            <td>
              <Link to={taskPlace(dag, run, value.task)}>{instanceName(value.task, value.map_index)}</Link>
            </td>
            <td class="run-type nbdag-muted">{value.type}</td>
            <td class="pg-number">{bytes(value.bytes)}</td>
            <td class="run-why" title={value.summary}>
              {value.summary}
            </td>
            <td class="run-digest" title={value.digest}>
              <code>{value.digest.slice(0, 8)}</code>
            </td>
            <td class="run-act">
              <button type="button" class="nbdag-link" onClick={() => setPreview(value)}>
                Preview<span class="nbdag-screen-reader"> {value.name}</span>
              </button>
            </td>
          </>
        )}
      </List>
      {preview ? (
        <Dialog
          title={`${preview.name} of ${instanceName(preview.task, preview.map_index)}`}
          wide
          onClose={() => setPreview(undefined)}
        >
          <ValuePreview dag={dag} run={run} value={preview} />
        </Dialog>
      ) : null}
    </>
  )
}

interface PreviewProps {
  dag: string
  run: string
  value: ListedValue
}

function ValuePreview({ dag, run, value: { task, name, map_index } }: PreviewProps) {
  const address = runAddress(dag, run, path`values/${task}/${name}?map_index=${map_index}`)
  const found = useResource<ValueMessage>(address, NEVER)
  return (
    <Loaded of={found} lines={3}>
      {({ outputs }) => <Outputs outputs={outputs} label={`Value of ${name}`} />}
    </Loaded>
  )
}

const NEVER = () => false
