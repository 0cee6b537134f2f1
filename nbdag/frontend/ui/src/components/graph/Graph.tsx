// The graph: boxes and lines at the positions from Graphviz, with pointer and keyboard control.
import type { Ref } from 'preact'
import { memo } from 'preact/compat'
import { useImperativeHandle, useMemo, useRef, useState } from 'preact/hooks'
import type { Line, Picture } from '../../messages'
import type { Store } from '../state/store'
import { Box } from './Box'
import { BoxTip } from './BoxTip'
import { Edges, EdgeTip, HighlightedEdges, type LineCurve, lineCurves, type TipPosition } from './Edges'
import { type Camera, type Heading, nearest, neighbourIn, type Size } from './geometry'
import { Links } from './links'
import { Overview } from './Overview'
import { useCamera } from './useCamera'

export const ZOOM_STEP = 1.3
const OVERVIEW_FROM = 40 // number of boxes from which the overview is shown
const POINTER_REACH = 7 // maximum distance in pixels between the pointer and the line to which it points
const ARROW_KEYS: ReadonlyMap<string, Heading> = new Map([
  ['ArrowLeft', { across: true, sign: -1 }],
  ['ArrowRight', { across: true, sign: 1 }],
  ['ArrowUp', { across: false, sign: -1 }],
  ['ArrowDown', { across: false, sign: 1 }],
])

export interface GraphHandle {
  fitAll(): void
  zoomBy(factor: number): void
  show(id: string): void
}

interface Props {
  store: Store
  picture: Picture
  run: string
  selected: string // id of the selected box, or ''
  highlighted: ReadonlySet<string> | undefined // the boxes of the critical path, or of a search
  onSelect: (id: string) => void
  handle: Ref<GraphHandle>
}

export const Graph = memo(function Graph({ store, picture, run, selected, highlighted, onSelect, handle }: Props) {
  const frame = useRef<HTMLDivElement>(null)
  const scene = useRef<SVGGElement>(null)
  const [tip, setTip] = useState<TipPosition>()
  const [entry, setEntry] = useState('')
  const [hovered, setHovered] = useState('')
  const links = useMemo(() => new Links(picture.lines), [picture])
  const boxes = useMemo(() => new Map(picture.nodes.map((node) => [node.id, node])), [picture])
  const curves = useMemo(() => {
    let found: LineCurve[] | undefined // computed when the pointer first moves over the graph
    return () => {
      found ??= lineCurves(picture)
      return found
    }
  }, [picture])
  const firstBox = useMemo(
    () => picture.nodes.find((node) => node.members[0] === picture.order[0])?.id ?? picture.nodes[0]?.id ?? '',
    [picture],
  )
  const camera = useCamera(frame, scene, picture, firstBox, selected)
  useImperativeHandle(handle, () => camera, [camera.fitAll])

  // A highlight or a selection dims every unrelated box. While the pointer is over a box, only the box's
  // lines are highlighted.
  const related = useMemo(
    () => highlighted ?? (selected && boxes.has(selected) ? links.connected(selected) : undefined),
    [highlighted, selected, boxes, links],
  )
  const highlightedLines = useMemo(() => {
    if (tip) return [tip.line]
    const ends = related ?? (boxes.has(hovered) ? links.connected(hovered) : undefined)
    return ends ? picture.lines.filter((line) => ends.has(line.source) && ends.has(line.target)) : NO_LINES
  }, [tip?.line, related, hovered, boxes, links, picture])

  const named = camera.font ? undefined : boxes.get(hovered) // the tooltip shows the name of a box without text
  const entryBox = entry && boxes.has(entry) ? entry : firstBox

  function moveTo(id: string): void {
    camera.show(id)
    focus(id)
  }

  function focus(id: string): void {
    setEntry(id)
    scene.current?.querySelector<SVGElement>(`[data-id="${CSS.escape(id)}"]`)?.focus({ preventScroll: true })
  }

  function onKeyDown(event: KeyboardEvent): void {
    const id = idOf(event.target)
    const from = id === undefined ? undefined : boxes.get(id)
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const heading = ARROW_KEYS.get(event.key)
    if (heading && from) {
      const next = neighbourIn(from, picture.nodes, heading)
      if (next) moveTo(next.id)
    } else if ((event.key === 'Enter' || event.key === ' ') && id !== undefined) onSelect(id)
    else if (event.key === 'Escape') onSelect('')
    else if (event.key === 'Home') moveTo(picture.nodes[0]?.id ?? '')
    else if (event.key === 'End') moveTo(picture.nodes.at(-1)?.id ?? '')
    else if (event.key === '+' || event.key === '=') camera.zoomBy(ZOOM_STEP)
    else if (event.key === '-') camera.zoomBy(1 / ZOOM_STEP)
    else if (event.key === '0') camera.fitAll()
    else return
    event.preventDefault()
    event.stopPropagation()
  }

  const dragged = useRef(false) // ignore the click that ends a drag
  function onClick(event: MouseEvent): void {
    if (dragged.current || event.target instanceof HTMLCanvasElement) return
    const id = idOf(event.target)
    // Arrow keys start from the clicked box. On a click, JupyterLab focuses the cell, so the box takes the
    // focus after that.
    if (id !== undefined) setTimeout(() => focus(id))
    onSelect(id ?? '')
  }

  function onPointerLeave(): void {
    setTip(undefined)
    setHovered('')
  }

  function onPointerMove(event: PointerEvent): void {
    camera.drag(event)
    if (event.target instanceof HTMLCanvasElement) {
      onPointerLeave()
      return
    }
    const id = event.buttons ? undefined : idOf(event.target)
    setHovered(id ?? '')
    const at = camera.pointAt(event)
    const found =
      id === undefined && !event.buttons ? nearest(curves(), at.x, at.y, POINTER_REACH * at.pixel) : undefined
    if (found?.line === tip?.line) return
    const box = frame.current?.getBoundingClientRect()
    setTip(found && box ? { line: found.line, x: event.clientX - box.left, y: event.clientY - box.top } : undefined)
  }

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it handles the events of its boxes, which are buttons
    <div
      class="nbdag-frame"
      ref={frame}
      onKeyDown={onKeyDown}
      onClick={onClick}
      onPointerDown={(event) => {
        if (event.button === 0 && !(event.target instanceof HTMLCanvasElement)) camera.startDrag(event)
      }}
      onPointerMove={onPointerMove}
      onPointerUp={() => {
        dragged.current = camera.endDrag()
      }}
      onPointerCancel={() => camera.endDrag()}
      onPointerLeave={onPointerLeave}
    >
      <svg
        class="nbdag-graph"
        role="group"
        aria-label={`Graph of ${picture.dag}: ${picture.order.length} tasks. Arrow keys move between tasks; Enter opens one.`}
      >
        <g ref={scene} class={related ? 'nbdag-dimming' : ''}>
          <Edges picture={picture} />
          <HighlightedEdges lines={highlightedLines} />
          {picture.nodes.map((node) => (
            <Box
              key={node.id}
              node={node}
              store={store}
              run={run}
              upstream={links.upstream.get(node.id) ?? NO_BOXES}
              selected={node.id === selected}
              entry={node.id === entryBox}
              font={camera.seen.has(node.id) ? camera.font : 0}
              dimmed={related !== undefined && !related.has(node.id)}
            />
          ))}
        </g>
      </svg>
      {picture.nodes.length >= OVERVIEW_FROM ? (
        <Overview
          store={store}
          picture={picture}
          run={run}
          camera={camera.camera}
          size={camera.size}
          onMove={camera.onMove}
          centre={camera.centre}
        />
      ) : null}
      {named && !tip ? (
        <BoxTip
          node={named}
          state={store.combinedStatus(run, named.members).state}
          camera={camera.camera.current ?? NOWHERE}
          size={camera.size.current ?? NO_SIZE}
        />
      ) : null}
      {tip ? (
        <EdgeTip
          tip={tip}
          boxes={boxes}
          width={camera.size.current?.width ?? 0}
          height={camera.size.current?.height ?? 0}
        />
      ) : null}
    </div>
  )
})

const NO_BOXES: readonly string[] = []
const NOWHERE: Camera = { x: 0, y: 0, scale: 1 }
const NO_SIZE: Size = { width: 0, height: 0 }
const NO_LINES: readonly Line[] = []

function idOf(target: EventTarget | null): string | undefined {
  return target instanceof Element ? target.closest<SVGElement>('[data-id]')?.dataset.id : undefined
}
