// How the graph is looked at.
import type { RefObject } from 'preact'
import type { GraphHandle } from './Graph'
import type { Direction, Picture } from './messages'

interface Props {
  picture: Picture
  graph: RefObject<GraphHandle | null>
  arrange: (change: { direction?: Direction; collapsed?: boolean }) => void
  showsCritical: boolean
  onCritical: (shows: boolean) => void
}

export function Tools({ picture, graph, arrange, showsCritical, onCritical }: Props) {
  const across = picture.direction === 'LR'
  const turn = across ? 'Lay out top to bottom' : 'Lay out left to right'
  return (
    <div class="nbdag-tools" role="group" aria-label="Graph">
      <button type="button" aria-label="Zoom in" title="Zoom in (+)" onClick={() => graph.current?.nearer(1.3)}>
        +
      </button>
      <button type="button" aria-label="Zoom out" title="Zoom out (−)" onClick={() => graph.current?.nearer(1 / 1.3)}>
        −
      </button>
      <button type="button" title="Show all of it (0)" onClick={() => graph.current?.all()}>
        Fit
      </button>
      <button type="button" aria-label={turn} title={turn} onClick={() => arrange({ direction: across ? 'TB' : 'LR' })}>
        {across ? '↓' : '→'}
      </button>
      {picture.chains ? (
        <button
          type="button"
          aria-pressed={picture.collapsed}
          title="Draw long chains as one box"
          onClick={() => arrange({ collapsed: !picture.collapsed })}
        >
          Chains
        </button>
      ) : null}
      <button
        type="button"
        aria-pressed={showsCritical}
        title="The tasks that made it take as long as it took"
        onClick={() => onCritical(!showsCritical)}
      >
        Critical path
      </button>
    </div>
  )
}
