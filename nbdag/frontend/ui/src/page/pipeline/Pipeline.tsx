// One pipeline: its schedule, its actions, and a tab for each view.
import type { ComponentType } from 'preact'
import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { Pipeline as Data } from '../../api'
import { api } from '../api'
import { Dialog } from '../Dialog'
import { navigate, path } from '../location'
import { DeployDialog } from '../pipelines/DeployDialog'
import { Changed, NextRun } from '../pipelines/marks'
import { PauseSwitch } from '../pipelines/PauseSwitch'
import { ErrorLine, TriggerDialog } from '../pipelines/TriggerDialog'
import { Link, type ViewProps } from '../router'
import { useScheduleWords } from '../schedule'
import { useShortcuts } from '../shortcuts'
import { Empty, Loaded } from '../states'
import { notify } from '../toasts'
import { useResource } from '../useResource'
import { BackfillDialog } from './BackfillDialog'
import { Calendar } from './Calendar'
import { Details } from './Details'
import { GanttTab, GraphTab } from './GraphTab'
import { MetricsTab } from './MetricsTab'
import { Notebook } from './Notebook'
import { Parameters } from './Parameters'
import { RunGrid } from './RunGrid'
import { Versions } from './Versions'

export interface TabProps {
  pipeline: Data
}

const TABS: Record<string, { label: string; view: ComponentType<TabProps> }> = {
  grid: { label: 'Grid', view: RunGrid },
  graph: { label: 'Graph', view: GraphTab },
  gantt: { label: 'Gantt', view: GanttTab },
  calendar: { label: 'Calendar', view: Calendar },
  metrics: { label: 'Metrics', view: MetricsTab },
  notebook: { label: 'Notebook', view: Notebook },
  versions: { label: 'Versions', view: Versions },
  parameters: { label: 'Parameters', view: Parameters },
  details: { label: 'Details', view: Details },
}

export default function Pipeline({ params: { dag = '', tab = 'grid' } }: ViewProps) {
  const pipeline = useResource<Data>(
    path`dags/${dag}`,
    (change) => change.dag === dag && (change.kind === 'dag' || change.kind === 'run'),
  )
  return (
    <Loaded of={pipeline}>
      {(data) => (
        <>
          <Head pipeline={data} reload={pipeline.reload} />
          <Tabs dag={dag} tab={tab} />
          <Tab pipeline={data} tab={tab} />
        </>
      )}
    </Loaded>
  )
}

function Tab({ pipeline, tab }: { pipeline: Data; tab: string }) {
  const View = Object.hasOwn(TABS, tab) ? TABS[tab]?.view : undefined
  if (View) return <View pipeline={pipeline} />
  return (
    <Empty title={`There is no tab ${tab}`}>
      <p>
        <Link to={path`/dags/${pipeline.id}/grid`}>Go to the grid</Link>
      </p>
    </Empty>
  )
}

function Tabs({ dag, tab }: { dag: string; tab: string }) {
  const shortcuts = useMemo(
    () =>
      Object.entries(TABS).map(([name, { label }], n) => ({
        keys: String(n + 1),
        label,
        run: () => navigate(path`/dags/${dag}/${name}`),
      })),
    [dag],
  )
  useShortcuts('Pipeline', shortcuts)
  const bar = useRef<HTMLElement>(null)
  useLayoutEffect(() => {
    bar.current?.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' })
  }, [tab])
  return (
    <nav class="pg-tabs" aria-label="Views of the pipeline" ref={bar}>
      {Object.entries(TABS).map(([name, { label }]) => (
        <Link key={name} to={path`/dags/${dag}/${name}`} aria-current={name === tab ? 'page' : undefined}>
          {label}
        </Link>
      ))}
    </nav>
  )
}

function Head({ pipeline, reload }: { pipeline: Data; reload: () => void }) {
  const { id, paused, schedule, tz, owner, tags, changed, description, deployed, notebook } = pipeline
  const words = useScheduleWords(schedule, tz)
  const [shown, setShown] = useState<'trigger' | 'backfill' | 'deploy' | 'remove'>()
  const close = () => setShown(undefined)
  const isDeployed = deployed !== null
  useShortcuts('Actions', [
    { keys: 't', label: 'Start a run', run: () => setShown('trigger'), when: () => isDeployed },
    { keys: 'b', label: 'Backfill', run: () => setShown('backfill'), when: () => isDeployed },
  ])
  return (
    <>
      <p class="pg-crumbs">
        <Link to="/">Pipelines</Link>
      </p>
      <div class="pg-head pg-pipeline-head">
        <h1 title={notebook}>{id}</h1>
        {changed ? <Changed how={changed} /> : null}
        {isDeployed ? <PauseSwitch dag={id} paused={paused} onChanged={reload} labelled /> : null}
        <span class="pg-facts">
          <span title={schedule === null ? undefined : `${schedule} (${tz})`}>
            {isDeployed ? words : 'not deployed'}
          </span>
          <NextRun pipeline={pipeline} />
          {owner ? <span>{owner}</span> : null}
          {tags.map((each) => (
            <Link key={each} class="pg-tag" to={`/?tag=${encodeURIComponent(each)}`} title={`Pipelines tagged ${each}`}>
              {each}
            </Link>
          ))}
        </span>
        <span class="nbdag-spacer" />
        <span class="pg-buttons">
          {isDeployed ? (
            <>
              <button type="button" class="nbdag-primary" onClick={() => setShown('trigger')}>
                <span aria-hidden="true">▶</span> Run
              </button>
              <button type="button" onClick={() => setShown('backfill')}>
                Backfill…
              </button>
            </>
          ) : null}
          <button type="button" onClick={() => setShown('deploy')}>
            {isDeployed ? 'Deploy again…' : 'Deploy…'}
          </button>
          {isDeployed ? (
            <button type="button" onClick={() => setShown('remove')}>
              Remove…
            </button>
          ) : null}
        </span>
        {description ? <p class="pg-description">{description}</p> : null}
      </div>
      {shown === 'trigger' ? <TriggerDialog dag={id} onClose={close} onTriggered={reload} /> : null}
      {shown === 'backfill' ? <BackfillDialog pipeline={pipeline} onClose={close} onDone={reload} /> : null}
      {shown === 'deploy' ? <DeployDialog notebook={notebook} onClose={close} onDeployed={reload} /> : null}
      {shown === 'remove' ? <RemoveDialog dag={id} onClose={close} /> : null}
    </>
  )
}

function RemoveDialog({ dag, onClose }: { dag: string; onClose: () => void }) {
  const [error, setError] = useState<Error>()
  const [sending, setSending] = useState(false)
  const remove = async () => {
    setSending(true)
    try {
      await api.delete(path`dags/${dag}`)
      notify(`${dag} is removed. Its runs are kept.`)
      onClose()
      navigate('/')
    } catch (failed) {
      setError(failed as Error)
      setSending(false)
    }
  }
  return (
    <Dialog title={`Remove ${dag}?`} onClose={onClose}>
      <p>Its schedule starts no more runs. Its runs, their values and the notebook's file are kept.</p>
      {error ? <ErrorLine error={error} /> : null}
      <footer class="pg-dialog-foot">
        <button type="button" onClick={onClose}>
          Cancel
        </button>
        <button type="button" class="nbdag-danger" disabled={sending} onClick={remove}>
          <span aria-hidden="true">■</span> Remove
        </button>
      </footer>
    </Dialog>
  )
}
