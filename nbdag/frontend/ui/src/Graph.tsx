// The graph: boxes and lines where Graphviz put them; pointing, keys, and what comes before and after.

import type { Ref } from 'preact'
import { memo } from 'preact/compat'
import { useImperativeHandle, useMemo, useRef, useState } from 'preact/hooks'
import { Box } from './Box'
import { nearest, towards } from './geometry'
import { type At, Lines, Lit, Tip, type Traced, traced } from './Lines'
import type { Line, Picture } from './messages'
import { Overview } from './Overview'
import { Links } from './paths'
import type { Store } from './store'
import { useCamera } from './useCamera'

const STEP = 1.3
const MANY = 40 // boxes from which an overview helps
const REACH = 7 // pixels from a line at which it is pointed at

export interface GraphHandle {
  all(): void
  nearer(by: number): void
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

export const Graph = memo(function Graph({ store, picture, run, chosen, marked, onChoose, handle }: Props) {
  const frame = useRef<HTMLDivElement>(null)
  const scene = useRef<SVGGElement>(null)
  const [tip, setTip] = useState<At>()
  const [entry, setEntry] = useState('')
  const [hovered, setHovered] = useState('')
  const links = useMemo(() => new Links(picture.lines), [picture])
  const boxes = useMemo(() => new Map(picture.nodes.map((node) => [node.id, node])), [picture])
  const lines = useMemo(() => {
    let found: Traced[] | undefined // once somebody points
    return () => {
      found ??= traced(picture)
      return found
    }
  }, [picture])
  const beginning = useMemo(
    () => picture.nodes.find((node) => node.members[0] === picture.order[0])?.id ?? picture.nodes[0]?.id ?? '',
    [picture],
  )
  const view = useCamera(frame, scene, picture, beginning)
  useImperativeHandle(handle, () => view, [view.all])

  // What is not before, after or part of what is looked at steps back; pointing at a box only lights its lines.
  const near = useMemo(
    () => marked ?? (chosen && boxes.has(chosen) ? links.around(chosen) : undefined),
    [marked, chosen, boxes, links],
  )
  const lit = useMemo(() => {
    if (tip) return [tip.line]
    const those = near ?? (boxes.has(hovered) ? links.around(hovered) : undefined)
    return those ? picture.lines.filter((line) => those.has(line.source) && those.has(line.target)) : NO_LINES
  }, [tip?.line, near, hovered, boxes, links, picture])

  const first = entry && boxes.has(entry) ? entry : beginning

  function go(id: string): void {
    view.show(id)
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
    else if (event.key === '+' || event.key === '=') view.nearer(STEP)
    else if (event.key === '-') view.nearer(1 / STEP)
    else if (event.key === '0') view.all()
    else return
    event.preventDefault()
    event.stopPropagation()
  }

  const dragged = useRef(false) // a click that ends a drag chooses nothing
  function onClick(event: MouseEvent): void {
    if (dragged.current || event.target instanceof HTMLCanvasElement) return
    const id = idOf(event.target)
    // So that keys go on from here; JupyterLab gives the cell the focus first.
    if (id !== undefined) setTimeout(() => focus(id))
    onChoose(id ?? '')
  }

  function leave(): void {
    setTip(undefined)
    setHovered('')
  }

  function onPointerMove(event: PointerEvent): void {
    view.drag(event)
    if (event.target instanceof HTMLCanvasElement) {
      leave()
      return
    }
    const id = event.buttons ? undefined : idOf(event.target)
    setHovered(id ?? '')
    const at = view.under(event)
    const found = id === undefined && !event.buttons ? nearest(lines(), at.x, at.y, REACH * at.pixel) : undefined
    if (found?.line === tip?.line) return
    const box = frame.current?.getBoundingClientRect()
    setTip(found && box ? { line: found.line, x: event.clientX - box.left, y: event.clientY - box.top } : undefined)
  }

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it hears what its boxes, which are buttons, pass on
    <div
      class="nbdag-frame"
      ref={frame}
      onKeyDown={onKeyDown}
      onClick={onClick}
      onPointerDown={(event) => {
        if (event.button === 0 && !(event.target instanceof HTMLCanvasElement)) view.grasp(event)
      }}
      onPointerMove={onPointerMove}
      onPointerUp={() => {
        dragged.current = view.release()
      }}
      onPointerCancel={() => view.release()}
      onPointerLeave={leave}
    >
      <svg
        class="nbdag-graph"
        role="group"
        aria-label={`Graph of ${picture.dag}: ${picture.order.length} tasks. Arrow keys move between tasks, Enter opens one.`}
      >
        <g ref={scene} class={near ? 'nbdag-stepping' : ''}>
          <Lines picture={picture} />
          <Lit lines={lit} />
          {picture.nodes.map((node) => (
            <Box
              key={node.id}
              node={node}
              store={store}
              run={run}
              before={links.before.get(node.id) ?? NOTHING}
              chosen={node.id === chosen}
              entry={node.id === first}
              seen={view.seen.has(node.id)}
              aside={near !== undefined && !near.has(node.id)}
            />
          ))}
        </g>
      </svg>
      {picture.nodes.length >= MANY ? (
        <Overview
          store={store}
          picture={picture}
          run={run}
          camera={view.camera}
          size={view.size}
          follow={view.follow}
          onMove={view.centre}
        />
      ) : null}
      {tip ? <Tip at={tip} width={view.size.current?.width ?? 0} height={view.size.current?.height ?? 0} /> : null}
    </div>
  )
})

const NOTHING: readonly string[] = []
const NO_LINES: readonly Line[] = []

function idOf(target: EventTarget | null): string | undefined {
  return target instanceof Element ? target.closest<SVGElement>('[data-id]')?.dataset.id : undefined
}
