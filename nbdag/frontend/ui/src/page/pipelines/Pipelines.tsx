// All deployed pipelines.
import { path } from '../location'
import { Link } from '../router'
import { Empty, Loaded } from '../states'
import { useResource } from '../useResource'

interface Listed {
  items: { id: string }[]
}

export default function Pipelines() {
  const dags = useResource<Listed>('dags', ({ kind }) => kind === 'dag')
  return (
    <Loaded of={dags}>
      {({ items }) =>
        items.length ? (
          <ul>
            {items.map(({ id }) => (
              <li key={id}>
                <Link to={path`/dags/${id}`}>{id}</Link>
              </li>
            ))}
          </ul>
        ) : (
          <Empty title="No pipelines yet" />
        )
      }
    </Loaded>
  )
}
