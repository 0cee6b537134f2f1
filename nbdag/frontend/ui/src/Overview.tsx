// The whole of a graph that does not fit the view, small, with what is in view framed: a press moves there.
import type { RefObject } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import type { Camera, Size } from './geometry'
import type { Picture } from './messages'
import { look } from './Sign'
import { type Store, topic } from './store'

const [WIDEST, TALLEST] = [150, 100]
const LATER = 100 // milliseconds: the graph itself goes first

interface Props {
  store: Store
  picture: Picture
  run: string
  camera: RefObject<Camera>
  size: RefObject<Size>
  /** Be told when the view has moved. */
  follow: (call: () => void) => () => void
  onMove: (x: number, y: number) => void
}

export function Overview({ store, picture, run, camera, size, follow, onMove }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const scale = Math.min(WIDEST / picture.width, TALLEST / picture.height)
  const [width, height] = [Math.ceil(picture.width * scale), Math.ceil(picture.height * scale)]

  useEffect(() => {
    let due = 0
    function draw(): void {
      due = 0
      const element = canvas.current
      const pen = element?.getContext('2d')
      if (!element || !pen || !camera.current || !size.current) return
      const sharp = window.devicePixelRatio || 1
      element.width = width * sharp
      element.height = height * sharp
      pen.scale(sharp * scale, sharp * scale)
      for (const node of picture.nodes) {
        const { state } = store.together(run, node.members)
        pen.globalAlpha = state === 'none' ? 0.45 : 1
        pen.fillStyle = look(state).colour
        pen.fillRect(node.x - node.width / 2, node.y - node.height / 2, node.width, node.height)
      }
      const view = camera.current
      pen.globalAlpha = 1
      pen.lineWidth = 1.5 / scale
      pen.strokeStyle = getComputedStyle(element).color
      pen.strokeRect(
        -view.x / view.scale,
        -view.y / view.scale,
        size.current.width / view.scale,
        size.current.height / view.scale,
      )
      const all = size.current.width / view.scale >= picture.width && size.current.height / view.scale >= picture.height
      element.classList.toggle('nbdag-needless', all)
    }
    // However many tasks move at once, it is drawn once a frame.
    const soon = () => {
      due ||= requestAnimationFrame(draw)
    }
    const first = setTimeout(soon, LATER)
    const stops = [follow(soon), store.on(topic(run, ''), soon)]
    return () => {
      clearTimeout(first)
      cancelAnimationFrame(due)
      for (const stop of stops) stop()
    }
  }, [store, picture, run, width, height])

  function move(event: PointerEvent): void {
    if (!event.buttons) return
    const box = canvas.current?.getBoundingClientRect()
    if (box) onMove((event.clientX - box.left) / scale, (event.clientY - box.top) / scale)
  }

  return (
    <canvas
      class="nbdag-overview"
      ref={canvas}
      aria-hidden="true"
      style={{ width: `${width}px`, height: `${height}px` }}
      onPointerDown={move}
      onPointerMove={move}
    />
  )
}
