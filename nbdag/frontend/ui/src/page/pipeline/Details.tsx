// Everything else about a pipeline: where it comes from, when it runs next, and addresses to share.
import type { ComponentChildren } from 'preact'
import type { Pipeline } from '../../api'
import { BASE, path } from '../location'
import { outcomes } from '../pipelines/RunBars'
import { Link } from '../router'
import { useScheduleWords } from '../schedule'
import { Time } from '../Time'
import { notify } from '../toasts'
import { useResource } from '../useResource'

interface Tick {
  at: number
  interval_start: number
  note: string
}

export function Details({ pipeline }: { pipeline: Pipeline }) {
  const { id, notebook, changed, version, digest, deployed, schedule, tz, paused, owner, tags, description } = pipeline
  const words = useScheduleWords(schedule, tz)
  const badge = `${location.origin}${BASE}api/${path`dags/${id}/badge.svg`}`
  return (
    <div class="pg-details">
      <section>
        <h2>Pipeline</h2>
        <dl>
          <Row label="Id">{id}</Row>
          <Row label="Description">{description}</Row>
          <Row label="Owner">{owner}</Row>
          <Row label="Tags">{tags.join(', ')}</Row>
          <Row label="Notebook">
            {notebook}
            {changed === 'changed' ? <span class="pg-warn"> (edited since it was deployed)</span> : null}
            {changed === 'gone' ? <span class="pg-warn"> (the file is gone)</span> : null}
          </Row>
          <Row label="Version">
            {version === null ? 'not deployed' : <Link to={path`/dags/${id}/versions`}>{version}</Link>}
          </Row>
          <Row label="Digest">{digest ? <code>{digest.slice(0, 16)}</code> : null}</Row>
          <Row label="Deployed since">{deployed === null ? null : <Time at={deployed} exact />}</Row>
          <Row label="Latest runs">{outcomes(pipeline.recent)}</Row>
        </dl>
      </section>
      <section>
        <h2>Schedule</h2>
        <dl>
          <Row label="In words">{deployed === null ? 'not deployed' : words}</Row>
          <Row label="As written">{schedule === null ? null : <code>{schedule}</code>}</Row>
          <Row label="Time zone">{tz}</Row>
          <Row label="State">{deployed === null ? null : paused ? 'paused' : 'active'}</Row>
        </dl>
        {schedule !== null && deployed !== null ? <Ticks dag={id} /> : null}
      </section>
      <section>
        <h2>Badge</h2>
        <p>
          <img src={badge} alt={`State of ${id}`} height={20} />
        </p>
        <p class="nbdag-muted">The state of the latest run as a picture, for a README or a wiki.</p>
        <p class="pg-copy">
          <code>{`[![${id}](${badge})](${location.origin}${BASE}${path`dags/${id}`})`}</code>
          <button
            type="button"
            onClick={async () => {
              await navigator.clipboard.writeText(`[![${id}](${badge})](${location.origin}${BASE}${path`dags/${id}`})`)
              notify('The Markdown of the badge is copied.')
            }}
          >
            Copy
          </button>
        </p>
      </section>
    </div>
  )
}

function Row({ label, children }: { label: string; children: ComponentChildren }) {
  if (children === null || children === undefined || children === '') return null
  return (
    <div>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  )
}

function Ticks({ dag }: { dag: string }) {
  const ticks = useResource<{ items: Tick[] }>(
    path`dags/${dag}/ticks`,
    (change) => change.dag === dag && change.kind === 'dag',
  )
  const { data } = ticks
  if (!data?.items.length) return null
  return (
    <>
      <h3>Next</h3>
      <ol class="pg-ticks">
        {data.items.map(({ at, note }) => (
          <li key={at}>
            <Time at={at} exact /> <span class="nbdag-muted">{note}</span>
          </li>
        ))}
      </ol>
    </>
  )
}
