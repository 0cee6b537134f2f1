// The lineage: pipelines and the assets between them.
import { useMemo } from 'preact/hooks'
import type { LineageGraph } from '../../api'
import { href, navigate, path } from '../location'
import { type Flow, layered } from './layout'

const WIDTH = 190 // width of a box in pixels
const HEIGHT = 32
const ACROSS = 250 // pixels from the left side of a box to that of the next box
const DOWN = 44

export function Lineage({ graph, selected }: { graph: LineageGraph; selected: string }) {
  const { boxes, flows, width, height } = useMemo(() => arranged(graph), [graph])
  const at = new Map(boxes.map((each) => [each.id, each]))
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard
    <div class="pg-lineage" tabIndex={0} role="region" aria-label="Pipelines and the assets between them">
      <svg width={width} height={height} role="group" aria-label="Lineage">
        {flows.map(({ source, target }) => {
          const [from, to] = [at.get(source), at.get(target)]
          if (!from || !to) return null
          const [x, y, end, goal] = [from.x + WIDTH, from.y + HEIGHT / 2, to.x, to.y + HEIGHT / 2]
          return (
            <path
              key={`${source} ${target}`}
              class="nbdag-edge"
              d={`M${x},${y}C${x + 30},${y} ${end - 30},${goal} ${end},${goal}`}
            />
          )
        })}
        {boxes.map(({ id, x, y }) => {
          const dag = id.startsWith('dag:') ? id.slice(4) : ''
          const name = dag || id
          const place = dag ? path`/dags/${dag}` : `/assets?asset=${encodeURIComponent(id)}`
          return (
            <a
              key={id}
              href={href(place)}
              class={`pg-node ${dag ? 'pg-dag' : 'pg-asset'}${id === selected ? ' pg-chosen' : ''}`}
              aria-label={dag ? `Pipeline ${name}` : `Asset ${name}`}
              onClick={(event) => {
                if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return
                event.preventDefault()
                navigate(place)
              }}
            >
              <title>{name}</title>
              <rect x={x} y={y} width={WIDTH} height={HEIGHT} rx={dag ? 6 : HEIGHT / 2} />
              <text x={x + WIDTH / 2} y={y + HEIGHT / 2 + 4}>
                {name.length > 26 ? `…${name.slice(-25)}` : name}
              </text>
            </a>
          )
        })}
      </svg>
    </div>
  )
}

function arranged({ dags, assets, edges }: LineageGraph) {
  const flows: Flow[] = edges
  const linked = new Set(flows.flatMap(({ source, target }) => [source, target]))
  const ids = [...dags.map((dag) => `dag:${dag}`).filter((id) => linked.has(id)), ...assets]
  const placed = layered(ids, flows)
  const boxes = placed.map(({ id, layer, row }) => ({ id, x: 8 + layer * ACROSS, y: 8 + row * DOWN }))
  const width = Math.max(0, ...boxes.map(({ x }) => x)) + WIDTH + 16
  const height = Math.max(0, ...boxes.map(({ y }) => y)) + HEIGHT + 16
  return { boxes, flows, width, height }
}
