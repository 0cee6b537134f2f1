// The graph: boxes and lines where Graphviz put them; zoom, pan, keys, and what comes before and after.

import type { Ref } from 'preact'
import { memo } from 'preact/compat'
import { useCallback, useEffect, useImperativeHandle, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import { Box } from './Box'
import { type Camera, opening, reveal, towards, whole, zoom } from './geometry'
import type { Line, Picture } from './messages'
import { Links } from './paths'
import type { Store } from './store'

const SMALL = 0.42 // the scale below which words are left out
const STEP = 1.3

export interface GraphHandle {
  all(): void
  zoom(by: number): void
  show(id: string): void
}

interface Props {
  store: Store
  picture: Picture
  run: string
  chosen: string // a box, or ''
  marked: ReadonlySet<string> | undefined // the critical path, or what was searched for
  onChoose: (id: string) => void
  handle: Ref<GraphHandle>
}

interface Tip {
  line: Line
  x: number
  y: number
}

export function Graph({ store, picture, run, chosen, marked, onChoose, handle }: Props) {
  const frame = useRef<HTMLDivElement>(null)
  const scene = useRef<SVGGElement>(null)
  const camera = useRef<Camera>({ x: 0, y: 0, scale: 1 })
  const touched = useRef(false) // the reader has moved the view, so it is theirs
  const [tip, setTip] = useState<Tip>()
  const [entry, setEntry] = useState('')
  const links = useMemo(() => new Links(picture.lines), [picture])
  const boxes = useMemo(() => new Map(picture.nodes.map((node) => [node.id, node])), [picture])

  const look = useCallback((to: Camera) => {
    camera.current = to
    scene.current?.setAttribute('transform', `translate(${to.x} ${to.y}) scale(${to.scale})`)
    frame.current?.classList.toggle('nbdag-small', to.scale < SMALL)
  }, [])
  const size = useCallback(() => {
    const box = frame.current?.getBoundingClientRect()
    return { width: box?.width || 600, height: box?.height || 300 }
  }, [])
  const nearer = useCallback(
    (by: number) => {
      const { width, height } = size()
      touched.current = true
      look(zoom(camera.current, by, width / 2, height / 2))
    },
    [look, size],
  )
  const show = useCallback(
    (id: string) => {
      const box = boxes.get(id)
      if (!box) return
      const readable =
        camera.current.scale < SMALL ? zoom(camera.current, 0.8 / camera.current.scale, 0, 0) : camera.current
      look(reveal(readable, box, size()))
    },
    [boxes, look, size],
  )
  useImperativeHandle(
    handle,
    () => ({
      all: () => {
        touched.current = false
        look(whole(picture, size()))
      },
      zoom: nearer,
      show,
    }),
    [picture, look, size, nearer, show],
  )

  useLayoutEffect(() => {
    const watched = frame.current
    if (!watched) return
    touched.current = false
    const begin = () => {
      const camera = opening(picture, size())
      const first = boxes.get(picture.nodes.find((node) => node.members[0] === picture.order[0])?.id ?? '')
      look(first ? reveal(camera, first, size()) : camera)
    }
    begin()
    // It may be drawn before it is on the page, or while it is hidden; then its size comes later.
    const observer = new ResizeObserver(() => {
      if (!touched.current && watched.clientWidth) begin()
    })
    observer.observe(watched)
    return () => observer.disconnect()
  }, [picture, boxes, look, size])

  // What is not before, after or part of what is looked at steps back. Boxes are not drawn anew for that.
  const step = useCallback((near: ReadonlySet<string> | undefined) => {
    const drawn = scene.current
    if (!drawn) return
    drawn.classList.toggle('nbdag-stepping', near !== undefined)
    for (const element of drawn.querySelectorAll<SVGElement>('[data-id],[data-source]')) {
      const { id, source = '', target = '' } = element.dataset
      const isNear = near && (id === undefined ? near.has(source) && near.has(target) : near.has(id))
      element.classList.toggle('nbdag-near', Boolean(isNear))
    }
  }, [])
  const resting = useMemo(
    () => marked ?? (chosen && boxes.has(chosen) ? links.around(chosen) : undefined),
    [marked, chosen, boxes, links],
  )
  useEffect(() => step(resting), [step, resting, picture])

  const first = entry && boxes.has(entry) ? entry : (picture.nodes[0]?.id ?? '')

  function go(id: string): void {
    show(id)
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
    if (event.key.startsWith('Arrow') && from) {
      const next = towards(from, picture.nodes, event.key)
      if (next) go(next.id)
    } else if ((event.key === 'Enter' || event.key === ' ') && id !== undefined) onChoose(id)
    else if (event.key === 'Escape') onChoose('')
    else if (event.key === 'Home') go(picture.nodes[0]?.id ?? '')
    else if (event.key === 'End') go(picture.nodes.at(-1)?.id ?? '')
    else if (event.key === '+' || event.key === '=') nearer(STEP)
    else if (event.key === '-') nearer(1 / STEP)
    else if (event.key === '0') look(whole(picture, size()))
    else return
    event.preventDefault()
    event.stopPropagation()
  }

  useEffect(() => {
    const element = frame.current
    if (!element) return
    // The page scrolls with the wheel; with Ctrl, as with a pinch, the graph comes nearer.
    const onWheel = (event: WheelEvent) => {
      if (!event.ctrlKey && !event.metaKey) return
      event.preventDefault()
      const box = element.getBoundingClientRect()
      touched.current = true
      look(zoom(camera.current, Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top))
    }
    element.addEventListener('wheel', onWheel, { passive: false })
    return () => element.removeEventListener('wheel', onWheel)
  }, [look])

  const drag = useRef<{ x: number; y: number; camera: Camera; moved: boolean } | undefined>(undefined)
  function onPointerDown(event: PointerEvent): void {
    if (event.button !== 0) return
    drag.current = { x: event.clientX, y: event.clientY, camera: camera.current, moved: false }
  }
  function onPointerMove(event: PointerEvent): void {
    const from = drag.current
    if (!from) return
    const [x, y] = [event.clientX - from.x, event.clientY - from.y]
    if (!from.moved && Math.hypot(x, y) < 4) return
    if (!from.moved) {
      from.moved = true
      frame.current?.setPointerCapture(event.pointerId)
    }
    touched.current = true
    look({ ...from.camera, x: from.camera.x + x, y: from.camera.y + y })
  }
  const dragged = useRef(false) // a click that ends a drag chooses nothing
  function onPointerUp(): void {
    dragged.current = drag.current?.moved ?? false
    drag.current = undefined
  }
  function onClick(event: MouseEvent): void {
    if (dragged.current) return
    const id = idOf(event.target)
    // So that keys go on from here; JupyterLab gives the cell the focus first.
    if (id !== undefined) setTimeout(() => focus(id))
    onChoose(id ?? '')
  }

  function onPointerOver(event: PointerEvent): void {
    const element = event.target as Element
    const line = element.closest<SVGElement>('[data-source]')
    if (line) {
      const box = frame.current?.getBoundingClientRect()
      const found = picture.lines.find(
        (each) => each.source === line.dataset.source && each.target === line.dataset.target,
      )
      if (found && box) setTip({ line: found, x: event.clientX - box.left, y: event.clientY - box.top })
      return
    }
    if (tip) setTip(undefined)
    const id = idOf(event.target)
    if (id !== undefined && !marked && !chosen) step(links.around(id))
    else step(resting)
  }

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it hears what its boxes, which are buttons, pass on
    <div
      class="nbdag-frame"
      ref={frame}
      onKeyDown={onKeyDown}
      onPointerDown={onPointerDown}
      onPointerMove={onPointerMove}
      onPointerUp={onPointerUp}
      onClick={onClick}
      onPointerCancel={() => {
        drag.current = undefined
      }}
      onPointerOver={onPointerOver}
      onPointerLeave={() => {
        setTip(undefined)
        step(resting)
      }}
    >
      <svg
        class="nbdag-graph"
        role="group"
        aria-label={`Graph of ${picture.dag}: ${picture.order.length} tasks. Arrow keys move between tasks, Enter opens one.`}
      >
        <g ref={scene}>
          <Lines picture={picture} />
          {picture.nodes.map((node) => (
            <Box
              key={node.id}
              node={node}
              store={store}
              run={run}
              before={links.before.get(node.id) ?? NOTHING}
              chosen={node.id === chosen}
              entry={node.id === first}
            />
          ))}
        </g>
      </svg>
      {tip ? (
        <div class="nbdag-tip" role="tooltip" style={{ left: `${tip.x}px`, top: `${tip.y}px` }}>
          <strong>
            {tip.line.source.split(' #')[0]} → {tip.line.target.split(' #')[0]}
          </strong>
          <span>
            {tip.line.declared ? 'declared' : 'inferred'}
            {tip.line.names.length ? `; carries ${tip.line.names.join(', ')}` : ''}
          </span>
          {tip.line.why.slice(0, 6).map((why) => (
            <span key={why}>{why}</span>
          ))}
        </div>
      ) : null}
    </div>
  )
}

const NOTHING: readonly string[] = []

function idOf(target: EventTarget | null): string | undefined {
  return target instanceof Element ? target.closest<SVGElement>('[data-id]')?.dataset.id : undefined
}

const Lines = memo(function Lines({ picture }: { picture: Picture }) {
  return (
    <g aria-hidden="true">
      {picture.lines.map((line) => (
        <g
          key={`${line.source}\n${line.target}`}
          class={`nbdag-line${line.declared ? ' nbdag-declared' : ''}`}
          data-source={line.source}
          data-target={line.target}
        >
          <path class="nbdag-wide" d={line.path} />
          <path class="nbdag-thin" d={line.path} />
          {line.tip ? <path class="nbdag-arrow" d={line.tip} /> : null}
          {line.label ? (
            <text x={line.x} y={line.y + 3.8}>
              {line.label}
            </text>
          ) : null}
        </g>
      ))}
    </g>
  )
})
