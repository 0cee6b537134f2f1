// The versions of a pipeline's notebook, and the difference between any two.
import type { NotebookVersion, Pipeline, VersionList } from '../../api'
import type { NotebookDifference } from '../../messages'
import { NotebookDiff } from '../diff/NotebookDiff'
import { path } from '../location'
import { Link, useQuery } from '../router'
import { Empty, Loaded } from '../states'
import { Time } from '../Time'
import { useResource } from '../useResource'

export function Versions({ pipeline: { id: dag } }: { pipeline: Pipeline }) {
  const versions = useResource<VersionList>(
    path`dags/${dag}/versions`,
    (change) => change.dag === dag && (change.kind === 'dag' || change.kind === 'run'),
  )
  return (
    <Loaded of={versions}>
      {({ items }) =>
        items.length ? (
          <Compared dag={dag} items={items} />
        ) : (
          <Empty title="No versions yet">
            <p>Each deployment of an edited notebook adds a version.</p>
          </Empty>
        )
      }
    </Loaded>
  )
}

function Compared({ dag, items }: { dag: string; items: readonly NotebookVersion[] }) {
  const [newer, setNewer] = useQuery('version')
  const [older, setOlder] = useQuery('with')
  const find = (number: string) => items.find((each) => String(each.number) === number)
  const shown = find(newer) ?? items[0]
  const other = find(older) ?? items.find((each) => shown && each.number === shown.number - 1)
  return (
    <>
      <div class="pg-scroll">
        <table class="pg-table pg-fit pg-versions">
          <thead>
            <tr>
              <th scope="col">From</th>
              <th scope="col">To</th>
              <th scope="col">Version</th>
              <th scope="col">First used</th>
              <th scope="col" class="pg-number">
                Runs
              </th>
              <th scope="col">Latest run</th>
              <th scope="col">Digest</th>
            </tr>
          </thead>
          <tbody>
            {items.map((each) => (
              <tr key={each.number}>
                <td>
                  <input
                    type="radio"
                    name="pg-from"
                    aria-label={`Compare from version ${each.number}`}
                    checked={each === other}
                    onChange={() => setOlder(String(each.number))}
                  />
                </td>
                <td>
                  <input
                    type="radio"
                    name="pg-to"
                    aria-label={`Compare to version ${each.number}`}
                    checked={each === shown}
                    onChange={() => setNewer(String(each.number))}
                  />
                </td>
                <th scope="row">
                  {each.number} {each.deployed ? <span class="pg-tag pg-on">deployed</span> : null}
                </th>
                <td>
                  <Time at={each.created} exact />
                </td>
                <td class="pg-number">{each.runs}</td>
                <td>
                  {each.last_run ? <Link to={path`/dags/${dag}/runs/${each.last_run}`}>{each.last_run}</Link> : null}
                </td>
                <td>
                  <code title={each.digest}>{each.digest.slice(0, 10)}</code>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {shown && other && shown !== other ? (
        <Difference dag={dag} shown={shown} other={other} />
      ) : items.length > 1 ? (
        <p class="nbdag-muted">Choose two versions to see what differs.</p>
      ) : (
        <p class="nbdag-muted">There is only one version. Deploying an edited notebook adds another.</p>
      )}
    </>
  )
}

function Difference({ dag, shown, other }: { dag: string; shown: NotebookVersion; other: NotebookVersion }) {
  const difference = useResource<NotebookDifference>(
    path`dags/${dag}/versions/${shown.digest}/diff/${other.digest}`,
    () => false,
  )
  return (
    <section class="pg-section" aria-label="Difference">
      <h2>
        From version {other.number} to {shown.number}
      </h2>
      <Loaded of={difference}>{(data) => <NotebookDiff difference={data} />}</Loaded>
    </section>
  )
}
