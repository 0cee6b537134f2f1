// The graph's tools: zoom, fit, layout, chains, groups, and the critical path.
import type { RefObject } from 'preact'
import type { Picture } from '../../messages'
import { useConnection } from '../state/hooks'
import type { Store } from '../state/store'
import { type GraphHandle, ZOOM_STEP } from './Graph'
import type { Arrangement } from './usePicture'

interface Props {
  store: Store
  picture: Picture
  graph: RefObject<GraphHandle | null>
  arrange: (change: Arrangement) => void
  showsCritical: boolean
  onCritical: (shows: boolean) => void
}

export function GraphTools({ store, picture, graph, arrange, showsCritical, onCritical }: Props) {
  const { open } = useConnection(store)
  const across = picture.direction === 'LR'
  const rotate = across ? 'Lay out top to bottom' : 'Lay out left to right'
  return (
    <div class="nbdag-tools" role="group" aria-label="Graph">
      <button type="button" aria-label="Zoom in" title="Zoom in (+)" onClick={() => graph.current?.zoomBy(ZOOM_STEP)}>
        +
      </button>
      <button
        type="button"
        aria-label="Zoom out"
        title="Zoom out (−)"
        onClick={() => graph.current?.zoomBy(1 / ZOOM_STEP)}
      >
        −
      </button>
      <button type="button" title="Show the whole graph (0)" onClick={() => graph.current?.fitAll()}>
        Fit
      </button>
      <button
        type="button"
        aria-label={rotate}
        title={rotate}
        disabled={!open}
        onClick={() => arrange({ direction: across ? 'TB' : 'LR' })}
      >
        {across ? '↓' : '→'}
      </button>
      {picture.chains ? (
        <button
          type="button"
          aria-pressed={picture.collapsed}
          title="Draw long chains as one box"
          disabled={!open}
          onClick={() => arrange({ collapsed: !picture.collapsed })}
        >
          Chains
        </button>
      ) : null}
      {picture.groups.length ? (
        <button
          type="button"
          aria-pressed={picture.folded.length > 0}
          title="Draw each group of tasks as one box"
          disabled={!open}
          onClick={() => arrange({ folded: picture.folded.length ? [] : picture.groups })}
        >
          Groups
        </button>
      ) : null}
      <button
        type="button"
        aria-pressed={showsCritical}
        title="Highlight the tasks that determine the duration of the whole run"
        onClick={() => onCritical(!showsCritical)}
      >
        Critical path
      </button>
    </div>
  )
}
