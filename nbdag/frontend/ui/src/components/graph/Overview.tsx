// A small overview of a graph that is larger than the view, with a frame around the visible part. A click
// moves the view.
import type { RefObject } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import type { Picture } from '../../messages'
import { stateStyle } from '../Sign'
import { runTopic, type Store } from '../state/store'
import type { Camera, Size } from './geometry'

const [MAX_WIDTH, MAX_HEIGHT] = [150, 100] // pixels
// Delay of the first drawing in milliseconds, so that the graph itself is drawn before the overview.
const DELAY = 100

interface Props {
  store: Store
  picture: Picture
  run: string
  camera: RefObject<Camera>
  size: RefObject<Size>
  /** Call `call` after each move of the camera. The returned function ends this. */
  onMove: (call: () => void) => () => void
  centre: (x: number, y: number) => void
}

export function Overview({ store, picture, run, camera, size, onMove, centre }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const scale = Math.min(MAX_WIDTH / picture.width, MAX_HEIGHT / picture.height)
  const [width, height] = [Math.ceil(picture.width * scale), Math.ceil(picture.height * scale)]

  useEffect(() => {
    let request = 0
    function draw(): void {
      request = 0
      const element = canvas.current
      const context = element?.getContext('2d')
      if (!element || !context || !camera.current || !size.current) return
      const density = window.devicePixelRatio || 1
      element.width = width * density
      element.height = height * density
      context.scale(density * scale, density * scale)
      for (const node of picture.nodes) {
        const { state } = store.combinedStatus(run, node.members)
        context.globalAlpha = state === 'none' ? 0.45 : 1
        context.fillStyle = stateStyle(state).colour
        context.fillRect(node.x - node.width / 2, node.y - node.height / 2, node.width, node.height)
      }
      const view = camera.current
      context.globalAlpha = 1
      context.lineWidth = 1.5 / scale
      context.strokeStyle = getComputedStyle(element).color
      context.strokeRect(
        -view.x / view.scale,
        -view.y / view.scale,
        size.current.width / view.scale,
        size.current.height / view.scale,
      )
      const all = size.current.width / view.scale >= picture.width && size.current.height / view.scale >= picture.height
      element.classList.toggle('nbdag-hidden', all)
    }
    // All changes within one animation frame cause only one drawing.
    const schedule = () => {
      request ||= requestAnimationFrame(draw)
    }
    const first = setTimeout(schedule, DELAY)
    const stops = [onMove(schedule), store.subscribe(runTopic(run), schedule)]
    return () => {
      clearTimeout(first)
      cancelAnimationFrame(request)
      for (const stop of stops) stop()
    }
  }, [store, picture, run, width, height])

  function move(event: PointerEvent): void {
    if (!event.buttons) return
    const box = canvas.current?.getBoundingClientRect()
    if (box) centre((event.clientX - box.left) / scale, (event.clientY - box.top) / scale)
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
