// The charts of all metrics of a pipeline. Metrics that --metric does not name are below the others, folded.
import { useRef } from 'preact/hooks'
import type { MetricSeries, MetricsMessage } from '../../messages'
import { plural } from '../format'
import { useAnswer, useTopics } from '../state/hooks'
import { isActive } from '../state/states'
import { RUNS, type Store } from '../state/store'
import { Waiting } from '../Waiting'
import { MetricChart, type RunLinks } from './MetricChart'
import './metrics.css'

interface Props extends RunLinks {
  data: Pick<MetricsMessage, 'runs' | 'series'>
  selected?: string
}

export function Metrics({ data: { runs, series }, selected = '', href, onRun }: Props) {
  const marked = series.filter((each) => each.marked)
  const others = series.filter((each) => !each.marked)
  const charts = (shown: readonly MetricSeries[]) => (
    <div class="nbdag-metrics">
      {shown.map((each) => (
        <MetricChart
          key={`${each.task}.${each.name}`}
          runs={runs}
          series={each}
          selected={selected}
          href={href}
          onRun={onRun}
        />
      ))}
    </div>
  )
  if (!marked.length) return charts(others)
  return (
    <>
      {charts(marked)}
      {others.length ? (
        <details class="nbdag-more-metrics">
          <summary>{plural(others.length, 'other number')} that tasks stored</summary>
          {charts(others)}
        </details>
      ) : null}
    </>
  )
}

/** Explain how to add a metric; shown if the runs have none. */
export function NoMetrics() {
  return (
    <>
      Write <code>%%task NAME --metric accuracy</code> above a cell that sets <code>accuracy</code> to keep the value of
      every run.
    </>
  )
}

/** The charts of the widget, which ask for the metrics again when a run ends. */
export function StoreMetrics({ store, run, onRun }: { store: Store; run: string; onRun: (run: string) => void }) {
  useTopics(store, [RUNS])
  const ended = store.runs.filter((each) => !isActive(each)).map((each) => each.id + each.ended)
  const answer = useAnswer(
    store,
    'metrics',
    () => true,
    () => store.transport.send({ kind: 'metrics' }),
    ended.join('\n'),
  )
  const latest = useRef(answer)
  if (answer) latest.current = answer
  const data = latest.current
  if (!data) return <Waiting store={store} />
  if (!data.series.length) {
    return (
      <p class="nbdag-empty">
        <NoMetrics />
      </p>
    )
  }
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard
    <section class="nbdag-metrics-view" tabIndex={0} aria-label="Metrics of the latest runs">
      <Metrics data={data} selected={run} onRun={onRun} />
    </section>
  )
}
