// What the view shows of a picture: fitted, moved, brought nearer. Moving draws nothing anew but what comes into view.
import type { RefObject } from 'preact'
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import { type Camera, opening, reveal, type Size, whole, within, zoom } from './geometry'
import type { Picture } from './messages'

export const SMALL = 0.42 // the scale below which words are left out

export interface View {
  seen: ReadonlySet<string> // boxes that are in view, or were: those that have words
  size: RefObject<Size>
  camera: RefObject<Camera>
  /** Be told when it has moved, until the returned function is called. */
  follow(call: () => void): () => void
  /** Have this place of the picture in the middle. */
  centre(x: number, y: number): void
  all(): void
  nearer(by: number): void
  show(id: string): void
  /** Where a place on the page is in the picture, and how large a pixel is there. */
  under(event: MouseEvent): { x: number; y: number; pixel: number }
  /** Take hold of it, move it; whether it has moved since it was taken hold of. */
  grasp(event: PointerEvent): void
  drag(event: PointerEvent): void
  release(): boolean
}

export function useCamera(
  frame: RefObject<HTMLElement | null>,
  scene: RefObject<SVGElement | null>,
  picture: Picture,
  first: string, // the box that is in view to begin with
): View {
  const camera = useRef<Camera>({ x: 0, y: 0, scale: 1 })
  const size = useRef<Size>({ width: 600, height: 300 })
  const touched = useRef(false) // the reader has moved the view, so it is theirs
  const [seen, setSeen] = useState<{ picture: Picture; boxes: ReadonlySet<string> }>({ picture, boxes: NONE })
  const due = useRef(0)
  const followers = useRef(new Set<() => void>())

  // Words are dear to lay out, so boxes have them once they are in view.
  const review = useCallback(() => {
    cancelAnimationFrame(due.current)
    due.current = 0
    if (camera.current.scale < SMALL) return
    const found = within(picture.nodes, camera.current, size.current)
    setSeen((before) => {
      const known = before.picture === picture ? before.boxes : NONE
      if (before.picture === picture && found.every(({ id }) => known.has(id))) return before
      return { picture, boxes: new Set([...known, ...found.map(({ id }) => id)]) }
    })
  }, [picture])

  const look = useCallback(
    (to: Camera) => {
      camera.current = to
      scene.current?.setAttribute('transform', `translate(${to.x} ${to.y}) scale(${to.scale})`)
      frame.current?.classList.toggle('nbdag-small', to.scale < SMALL)
      if (!due.current) due.current = requestAnimationFrame(review)
      for (const call of followers.current) call()
    },
    [review],
  )

  useLayoutEffect(() => {
    const watched = frame.current
    if (!watched) return
    touched.current = false
    const begin = ({ width, height }: Size) => {
      size.current = { width: width || 600, height: height || 300 }
      if (touched.current) return
      const box = picture.nodes.find(({ id }) => id === first)
      look(opening(picture, size.current, box))
      review()
    }
    begin({ width: watched.clientWidth, height: watched.clientHeight })
    // It may be drawn before it is on the page, or while it is hidden; then its size comes later.
    const observer = new ResizeObserver(([entry]) => entry?.contentRect.width && begin(entry.contentRect))
    observer.observe(watched)
    return () => {
      observer.disconnect()
      cancelAnimationFrame(due.current)
      due.current = 0
    }
  }, [picture, look, review])

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

  const held = useRef<{ x: number; y: number; camera: Camera; moved: boolean } | undefined>(undefined)
  const moves = useMemo(
    () => ({
      follow(call: () => void) {
        followers.current.add(call)
        return () => {
          followers.current.delete(call)
        }
      },
      centre(x: number, y: number) {
        const { scale } = camera.current
        touched.current = true
        look({ scale, x: size.current.width / 2 - x * scale, y: size.current.height / 2 - y * scale })
      },
      all() {
        touched.current = false
        look(whole(picture, size.current))
      },
      nearer(by: number) {
        touched.current = true
        look(zoom(camera.current, by, size.current.width / 2, size.current.height / 2))
      },
      show(id: string) {
        const box = picture.nodes.find((node) => node.id === id)
        if (!box) return
        const { scale } = camera.current
        const readable = scale < SMALL ? zoom(camera.current, 0.8 / scale, 0, 0) : camera.current
        look(reveal(readable, box, size.current))
      },
      under(event: MouseEvent) {
        const box = frame.current?.getBoundingClientRect()
        const { x, y, scale } = camera.current
        return {
          x: (event.clientX - (box?.left ?? 0) - x) / scale,
          y: (event.clientY - (box?.top ?? 0) - y) / scale,
          pixel: 1 / scale,
        }
      },
      grasp(event: PointerEvent) {
        held.current = { x: event.clientX, y: event.clientY, camera: camera.current, moved: false }
      },
      drag(event: PointerEvent) {
        const from = held.current
        if (!from) return
        const [x, y] = [event.clientX - from.x, event.clientY - from.y]
        if (!from.moved && Math.hypot(x, y) < 4) return
        if (!from.moved) {
          from.moved = true
          frame.current?.setPointerCapture(event.pointerId)
        }
        touched.current = true
        look({ ...from.camera, x: from.camera.x + x, y: from.camera.y + y })
      },
      release() {
        const moved = held.current?.moved ?? false
        held.current = undefined
        return moved
      },
    }),
    [picture, look],
  )
  return { ...moves, seen: seen.picture === picture ? seen.boxes : NONE, size, camera }
}

const NONE: ReadonlySet<string> = new Set()
