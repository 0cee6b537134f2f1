// A run: what it is, what can be done with it, and its graph, timeline, report, events, values, comparison.
import { useEffect, useMemo, useRef } from 'preact/hooks'
import type { RunDetails } from '../../api'
import { isActive } from '../../components/state/states'
import type { Change } from '../live'
import { navigate } from '../location'
import { Link, type ViewProps } from '../router'
import { useShortcuts } from '../shortcuts'
import { Loaded, Loading } from '../states'
import { notify } from '../toasts'
import { runAddress } from '../transport'
import { type Resource, useResource } from '../useResource'
import { Compare } from './Compare'
import { Events } from './Events'
import { GraphOrGantt } from './GraphOrGantt'
import { dagPlace, runPlace, type Tab } from './links'
import { Report } from './Report'
import { RunHeader } from './RunHeader'
import { useRunStore } from './runStore'
import { Values } from './Values'

export const TABS: Record<Tab, string> = {
  graph: 'Graph',
  gantt: 'Gantt',
  report: 'Report',
  events: 'Events',
  values: 'Values',
  compare: 'Compare',
}
const LARGE = 400 // a run with more tasks opens with its timeline, because its graph is too large to be seen as a whole

/** Return the details of a run, which are read again whenever the run changes. */
export function useRunDetails(dag: string, run: string): Resource<RunDetails> {
  const affects = ({ kind, dag: ofDag, run: ofRun }: Change) =>
    (kind === 'run' || kind === 'task') && ofDag === dag && ofRun === run
  return useResource<RunDetails>(runAddress(dag, run), affects)
}

export default function Run({ params }: ViewProps) {
  const { dag = '', run = '', tab: named, other } = params
  const details = useRunDetails(dag, run)
  const shown = useRunStore(dag, run)
  const size = details.data ? taskCount(details.data) : undefined
  const tab: Tab | undefined =
    named !== undefined && Object.hasOwn(TABS, named)
      ? (named as Tab)
      : size === undefined
        ? undefined
        : size > LARGE
          ? 'gantt'
          : 'graph'

  useEffect(
    () =>
      shown.store.onMessage((message) => {
        if (message.kind === 'notice') notify(message.text, message.level)
      }),
    [shown],
  )
  // In a narrow window the row of tabs is scrolled to the tab that is shown.
  const tabs = useRef<HTMLElement>(null)
  const isLoaded = details.data !== undefined
  useEffect(() => {
    tabs.current?.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' })
  }, [tab, isLoaded])
  const keys = useMemo(
    () =>
      (Object.keys(TABS) as Tab[]).map((each, n) => ({
        keys: String(n + 1),
        label: TABS[each],
        run: () => navigate(runPlace(dag, run, each)),
      })),
    [dag, run],
  )
  useShortcuts('Run', [...keys, { keys: 'u', label: 'Up to the pipeline', run: () => navigate(dagPlace(dag)) }])

  return (
    <Loaded of={details}>
      {(found) => (
        <div class="run">
          <RunHeader details={found} shown={shown} reload={details.reload} />
          <nav class="run-tabs" ref={tabs} aria-label="Views of the run">
            {(Object.keys(TABS) as Tab[]).map((each) => (
              <Link key={each} to={runPlace(dag, run, each)} aria-current={each === tab ? 'page' : undefined}>
                {TABS[each]}
              </Link>
            ))}
          </nav>
          <div class={`run-body run-${tab}`}>
            {tab === 'graph' || tab === 'gantt' ? (
              <GraphOrGantt details={found} shown={shown} tab={tab} />
            ) : tab === 'report' ? (
              <Report dag={dag} run={run} active={isActive(found.run)} />
            ) : tab === 'events' ? (
              <Events details={found} />
            ) : tab === 'compare' ? (
              <Compare details={found} other={other} />
            ) : tab === 'values' ? (
              <Values details={found} shown={shown} />
            ) : (
              <Loading />
            )}
          </div>
        </div>
      )}
    </Loaded>
  )
}

function taskCount({ run: { tasks } }: RunDetails): number {
  return Object.values(tasks).reduce((sum, count) => sum + count, 0)
}
