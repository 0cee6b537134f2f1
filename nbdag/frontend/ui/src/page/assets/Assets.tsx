// The assets: the pieces of data that tasks produce and that schedules wait for.
import { useMemo, useState } from 'preact/hooks'
import type { AssetEventList, AssetList, AssetState, AssetTask, Emitted, LineageGraph } from '../../api'
import { plural } from '../../components/format'
import { api } from '../api'
import { Dialog } from '../Dialog'
import { path } from '../location'
import { ErrorLine } from '../pipelines/TriggerDialog'
import { Link, useQuery } from '../router'
import { Empty, Loaded } from '../states'
import { type Column, Table } from '../Table'
import { Time } from '../Time'
import { notify } from '../toasts'
import { useResource } from '../useResource'
import { Lineage } from './Lineage'

const affects = ({ kind }: { kind: string }) => kind === 'asset' || kind === 'dag'

const RUNS_OF = 'dag:' // `dag:ID` is the asset that each successful run of the pipeline ID produces

/** Return the displayed name of an asset: `dag:churn` stands for the runs of churn. */
function labelOf(name: string): string {
  return name.startsWith(RUNS_OF) ? `runs of ${name.slice(RUNS_OF.length)}` : name
}

export default function Assets() {
  const assets = useResource<AssetList>('assets', affects)
  const lineage = useResource<LineageGraph>('lineage', ({ kind }) => kind === 'dag')
  const [selected, setSelected] = useQuery('asset')
  const [search, setSearch] = useQuery('search')
  return (
    <>
      <div class="pg-head">
        <h1>Assets</h1>
        <span class="nbdag-spacer" />
        {assets.data?.items.length ? (
          <input
            type="search"
            class="pg-search"
            aria-label="Search assets"
            placeholder="Search  /"
            value={search}
            onInput={(event) => setSearch(event.currentTarget.value)}
          />
        ) : null}
      </div>
      <Loaded of={assets}>
        {({ items: all }) => {
          // Every pipeline produces the asset `dag:ID`, which is listed only if a schedule waits for it.
          const items = all.filter((each) => !each.name.startsWith(RUNS_OF) || each.consumers.length)
          return items.length ? (
            <>
              {lineage.data && lineage.data.assets.length <= 200 ? (
                <Lineage graph={lineage.data} selected={selected} />
              ) : null}
              <div class="pg-columns">
                <div>
                  <AssetTable items={items} search={search} selected={selected} onSelect={setSelected} />
                </div>
                {selected ? (
                  <div>
                    <Events
                      key={selected}
                      asset={selected}
                      state={items.find((each) => each.name === selected)}
                      onClose={() => setSelected('')}
                      onEmitted={assets.reload}
                    />
                  </div>
                ) : null}
              </div>
            </>
          ) : (
            <Empty title="No assets yet">
              <p>
                A task with <code>--produces lake/orders</code> produces an asset, and a pipeline with{' '}
                <code>--schedule "on lake/orders"</code> runs whenever there is a new version of it.
              </p>
            </Empty>
          )
        }}
      </Loaded>
    </>
  )
}

interface TableProps {
  items: readonly AssetState[]
  search: string
  selected: string
  onSelect: (asset: string) => void
}

const SHOWN = 500 // maximum number of assets in the table

function AssetTable({ items, search, selected, onSelect }: TableProps) {
  const found = useMemo(() => {
    const text = search.trim().toLowerCase()
    return text ? items.filter((each) => each.name.toLowerCase().includes(text)) : items
  }, [items, search])
  if (!found.length) return <p class="nbdag-muted">No asset matches.</p>
  const columns: readonly Column<AssetState>[] = [
    {
      name: 'Asset',
      isHeader: true,
      cell: ({ name }) => (
        <button
          type="button"
          class="nbdag-link"
          aria-pressed={name === selected}
          onClick={() => onSelect(name === selected ? '' : name)}
        >
          {labelOf(name)}
        </button>
      ),
    },
    {
      name: 'Latest version',
      cell: ({ latest }) => (latest === null ? <span class="nbdag-muted">none yet</span> : <Time at={latest} />),
    },
    { name: 'Versions', isNumber: true, cell: ({ versions }) => versions },
    { name: 'Produced by', cell: ({ producers }) => <Tasks tasks={producers} /> },
    {
      name: 'Starts',
      cell: ({ consumers }) =>
        consumers.map((dag, n) => (
          <span key={dag}>
            {n ? ', ' : ''}
            <Link to={path`/dags/${dag}`}>{dag}</Link>
          </span>
        )),
    },
    { name: 'Read by', cell: ({ readers }) => <Tasks tasks={readers} /> },
  ]
  return (
    <>
      <Table
        columns={columns}
        rows={found.slice(0, SHOWN)}
        keyOf={({ name }) => name}
        classOf={({ name }) => (name === selected ? 'pg-chosen' : '')}
      />
      {found.length > SHOWN ? <p class="nbdag-muted">and {found.length - SHOWN} more: search to see them</p> : null}
    </>
  )
}

function Tasks({ tasks }: { tasks: readonly AssetTask[] }) {
  return (
    <>
      {tasks.map(({ dag, task }, n) => (
        <span key={`${dag} ${task}`}>
          {n ? ', ' : ''}
          <Link to={path`/dags/${dag}`}>{dag}</Link>
          <span class="nbdag-muted">.{task}</span>
        </span>
      ))}
    </>
  )
}

interface EventsProps {
  asset: string
  state: AssetState | undefined
  onClose: () => void
  onEmitted: () => void
}

function Events({ asset, state, onClose, onEmitted }: EventsProps) {
  const events = useResource<AssetEventList>(path`assets/${asset}/events`, affects)
  const [emits, setEmits] = useState(false)
  return (
    <section class="pg-section pg-side" aria-label={`Versions of ${labelOf(asset)}`}>
      <div class="pg-section-head">
        <h2>{labelOf(asset)}</h2>
        <span class="nbdag-spacer" />
        <button type="button" onClick={() => setEmits(true)}>
          Record a version…
        </button>
        <button type="button" class="nbdag-close" aria-label="Close" onClick={onClose}>
          ×
        </button>
      </div>
      <Loaded of={events} lines={3}>
        {({ items }) =>
          items.length ? (
            <ol class="pg-events">
              {items.map((each) => (
                <li key={`${each.at} ${each.run}`}>
                  <div>
                    <Time at={each.at} exact />{' '}
                    <span class="nbdag-muted">
                      {each.dag === null || each.run === null ? (
                        'recorded by hand or by a watched file'
                      ) : (
                        <>
                          by <Link to={path`/dags/${each.dag}/runs/${each.run}`}>{each.dag}</Link>
                          {each.task === null ? '' : `.${each.task}`}
                        </>
                      )}
                    </span>
                  </div>
                  {Object.keys(each.extra).length ? <code>{JSON.stringify(each.extra)}</code> : null}
                  {Object.entries(each.started).map(([dag, run]) => (
                    <div key={dag}>
                      started <Link to={path`/dags/${dag}/runs/${run}`}>{dag}</Link>
                    </div>
                  ))}
                </li>
              ))}
            </ol>
          ) : (
            <p class="nbdag-muted">No version has been recorded yet.</p>
          )
        }
      </Loaded>
      {emits ? (
        <EmitDialog
          asset={asset}
          consumers={state?.consumers ?? []}
          onClose={() => setEmits(false)}
          onDone={() => {
            events.reload()
            onEmitted()
          }}
        />
      ) : null}
    </section>
  )
}

interface EmitProps {
  asset: string
  consumers: readonly string[]
  onClose: () => void
  onDone: () => void
}

function EmitDialog({ asset, consumers, onClose, onDone }: EmitProps) {
  const [text, setText] = useState('{}')
  const [error, setError] = useState<Error>()
  async function submit(event: Event): Promise<void> {
    event.preventDefault()
    try {
      const extra: unknown = JSON.parse(text || '{}')
      const done = await api.post<Emitted>(path`assets/${asset}/events`, { extra })
      notify(
        done.consumers.length
          ? `A new version of ${asset} is recorded; it concerns ${done.consumers.join(', ')}.`
          : `A new version of ${asset} is recorded.`,
      )
      onDone()
      onClose()
    } catch (failed) {
      setError(
        failed instanceof SyntaxError ? new Error('The facts must be JSON, such as {"rows": 120}.') : (failed as Error),
      )
    }
  }
  return (
    <Dialog title={`Record a version of ${asset}`} onClose={onClose}>
      <form onSubmit={submit}>
        <p class="nbdag-muted">
          {consumers.length
            ? `It counts for the schedules of ${plural(consumers.length, 'pipeline')}: ${consumers.join(', ')}.`
            : 'No schedule waits for this asset.'}
        </p>
        <label class="pg-labelled">
          Facts about the version, as JSON
          <textarea
            class="nbdag-code"
            rows={3}
            spellcheck={false}
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </label>
        {error ? <ErrorLine error={error} /> : null}
        <footer class="pg-dialog-foot">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="nbdag-primary">
            Record
          </button>
        </footer>
      </form>
    </Dialog>
  )
}
