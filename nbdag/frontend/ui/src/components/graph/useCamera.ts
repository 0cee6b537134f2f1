// The camera of the graph: fit, pan, zoom. When the camera moves, only boxes that come into view are drawn.
import type { RefObject } from 'preact'
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { Picture } from '../../messages'
import {
  type Camera,
  fitCamera,
  LEGIBLE,
  NAME_SIZE,
  nameSize,
  noteSize,
  opening,
  resized,
  reveal,
  type Size,
  visible,
  zoom,
} from './geometry'

export interface CameraControl {
  seen: ReadonlySet<string> // boxes that have been in view; only the text of these boxes is drawn
  font: number // font size of the names in the picture; 0 if boxes have no names
  size: RefObject<Size>
  camera: RefObject<Camera>
  /** Call `call` after each move of the camera. The returned function ends this. */
  onMove(call: () => void): () => void
  /** Move a point of the picture to the middle of the view. */
  centre(x: number, y: number): void
  fitAll(): void
  zoomBy(factor: number): void
  show(id: string): void
  /** Return the point of the picture under the pointer, and the size of a pixel in the picture. */
  pointAt(event: MouseEvent): { x: number; y: number; pixel: number }
  startDrag(event: PointerEvent): void
  drag(event: PointerEvent): void
  /** End the drag. Return whether the camera moved. */
  endDrag(): boolean
}

export function useCamera(
  frame: RefObject<HTMLElement | null>,
  scene: RefObject<SVGElement | null>,
  picture: Picture,
  first: string, // the box that the initial camera shows
  selected: string, // the box that stays in view when the size of the view changes, or ''
): CameraControl {
  const camera = useRef<Camera>({ x: 0, y: 0, scale: 1 })
  const size = useRef<Size>({ width: 600, height: 300 })
  const touched = useRef(false) // whether the user has moved the camera, so that a resize does not move it
  const [font, setFont] = useState(NAME_SIZE)
  const [seen, setSeen] = useState<{ picture: Picture; boxes: ReadonlySet<string> }>({ picture, boxes: NONE })
  const frameRequest = useRef(0)
  const moveListeners = useRef(new Set<() => void>())

  // The browser lays out text slowly, so a box has no text before it comes into view.
  const updateSeen = useCallback(() => {
    cancelAnimationFrame(frameRequest.current)
    frameRequest.current = 0
    if (!nameSize(camera.current.scale)) return
    const found = visible(picture.nodes, camera.current, size.current)
    setSeen((before) => {
      const known = before.picture === picture ? before.boxes : NONE
      if (before.picture === picture && found.every(({ id }) => known.has(id))) return before
      return { picture, boxes: new Set([...known, ...found.map(({ id }) => id)]) }
    })
  }, [picture])

  const moveTo = useCallback(
    (to: Camera) => {
      const from = camera.current
      camera.current = to
      scene.current?.setAttribute('transform', `translate(${to.x} ${to.y}) scale(${to.scale})`)
      if (to.scale !== from.scale || !frame.current?.style.getPropertyValue('--nbdag-note-size')) {
        const size = nameSize(to.scale)
        setFont(size)
        frame.current?.style.setProperty('--nbdag-note-size', `${noteSize(to.scale).toFixed(2)}px`)
        frame.current?.classList.toggle('nbdag-small', !size)
        frame.current?.classList.toggle('nbdag-names', size > NAME_SIZE)
      }
      if (!frameRequest.current) frameRequest.current = requestAnimationFrame(updateSeen)
      for (const call of moveListeners.current) call()
    },
    [updateSeen],
  )

  const anchor = useRef(selected)
  anchor.current = selected
  useLayoutEffect(() => {
    const element = frame.current
    if (!element) return
    touched.current = false
    let opened = false // whether the camera has been set for a known size
    const place = ({ width, height }: Size) => {
      size.current = { width: width || 600, height: height || 300 }
      const box = (id: string) => picture.nodes.find((node) => node.id === id)
      const chosen = box(anchor.current)
      if (!opened) moveTo(opening(picture, size.current, chosen ?? box(first), picture.nodes.length))
      else if (!touched.current) moveTo(resized(camera.current, picture, size.current, chosen, picture.nodes.length))
      else if (chosen) moveTo(reveal(camera.current, chosen, size.current))
      opened ||= width > 0
      updateSeen()
    }
    place({ width: element.clientWidth, height: element.clientHeight })
    // The frame has no size yet if it is rendered before it is added to the page, or while it is hidden.
    const observer = new ResizeObserver(([entry]) => entry?.contentRect.width && place(entry.contentRect))
    observer.observe(element)
    return () => {
      observer.disconnect()
      cancelAnimationFrame(frameRequest.current)
      frameRequest.current = 0
    }
  }, [picture, moveTo, updateSeen])

  useEffect(() => {
    const element = frame.current
    if (!element) return
    // The wheel scrolls the page. The wheel with Ctrl zooms the graph; browsers report a pinch on a touchpad
    // in the same way.
    const onWheel = (event: WheelEvent) => {
      if (!event.ctrlKey && !event.metaKey) return
      event.preventDefault()
      const box = element.getBoundingClientRect()
      touched.current = true
      moveTo(zoom(camera.current, Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top))
    }
    element.addEventListener('wheel', onWheel, { passive: false })
    return () => element.removeEventListener('wheel', onWheel)
  }, [moveTo])

  const dragStart = useRef<{ x: number; y: number; camera: Camera; moved: boolean } | undefined>(undefined)
  const control = useMemo(
    () => ({
      onMove(call: () => void) {
        moveListeners.current.add(call)
        return () => {
          moveListeners.current.delete(call)
        }
      },
      centre(x: number, y: number) {
        const { scale } = camera.current
        touched.current = true
        moveTo({ scale, x: size.current.width / 2 - x * scale, y: size.current.height / 2 - y * scale })
      },
      fitAll() {
        touched.current = false
        moveTo(fitCamera(picture, size.current))
      },
      zoomBy(factor: number) {
        touched.current = true
        moveTo(zoom(camera.current, factor, size.current.width / 2, size.current.height / 2))
      },
      show(id: string) {
        const box = picture.nodes.find((node) => node.id === id)
        if (!box) return
        const { scale } = camera.current
        const readable = nameSize(scale) ? camera.current : zoom(camera.current, LEGIBLE / scale, 0, 0)
        moveTo(reveal(readable, box, size.current, CLEAR))
      },
      pointAt(event: MouseEvent) {
        const box = frame.current?.getBoundingClientRect()
        const { x, y, scale } = camera.current
        return {
          x: (event.clientX - (box?.left ?? 0) - x) / scale,
          y: (event.clientY - (box?.top ?? 0) - y) / scale,
          pixel: 1 / scale,
        }
      },
      startDrag(event: PointerEvent) {
        dragStart.current = { x: event.clientX, y: event.clientY, camera: camera.current, moved: false }
      },
      drag(event: PointerEvent) {
        const from = dragStart.current
        if (!from) return
        const [x, y] = [event.clientX - from.x, event.clientY - from.y]
        if (!from.moved && Math.hypot(x, y) < 4) return
        if (!from.moved) {
          from.moved = true
          frame.current?.setPointerCapture(event.pointerId)
        }
        touched.current = true
        moveTo({ ...from.camera, x: from.camera.x + x, y: from.camera.y + y })
      },
      endDrag() {
        const moved = dragStart.current?.moved ?? false
        dragStart.current = undefined
        return moved
      },
    }),
    [picture, moveTo],
  )
  return { ...control, seen: seen.picture === picture ? seen.boxes : NONE, font, size, camera }
}

const NONE: ReadonlySet<string> = new Set()
const CLEAR = 150 // pixels between a box that is shown and the edge of the view, so that the overview does not cover it
