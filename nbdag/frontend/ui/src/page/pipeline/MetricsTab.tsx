// The metrics of a pipeline over its latest runs.
import type { Pipeline } from '../../api'
import { Metrics, NoMetrics } from '../../components/metrics/Metrics'
import type { MetricsMessage } from '../../messages'
import { href, navigate, path } from '../location'
import { Empty, Loaded } from '../states'
import { useResource } from '../useResource'
import { useRunCount } from './useRunCount'

const COUNTS = ['20', '50', '200'] as const

export function MetricsTab({ pipeline: { id: dag } }: { pipeline: Pipeline }) {
  const [limit, countField] = useRunCount(COUNTS)
  const affects = (change: { dag?: string; kind: string }) => change.dag === dag && change.kind !== 'dag'
  const metrics = useResource<MetricsMessage>(`${path`dags/${dag}/metrics`}?limit=${limit}`, affects)
  const place = (run: string) => path`/dags/${dag}/runs/${run}`
  return (
    <Loaded of={metrics} lines={8}>
      {(data) =>
        data.series.length ? (
          <>
            <div class="pg-tab-tools">{countField}</div>
            <Metrics data={data} href={(run) => href(place(run))} onRun={(run) => navigate(place(run))} />
          </>
        ) : (
          <Empty title="No metrics yet">
            <p>
              <NoMetrics />
            </p>
          </Empty>
        )
      }
    </Loaded>
  )
}
