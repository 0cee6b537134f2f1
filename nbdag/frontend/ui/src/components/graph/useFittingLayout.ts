// The layout that fits the space of a view. If the given layout does not fit at full size, ask for the layout that
// fits best. If the names of a graph with many boxes would then be too small, ask for each chain as one box.
import type { RefObject } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import type { Picture } from '../../messages'
import { fitCamera, LEGIBLE, MANY, type Size } from './geometry'
import type { Arrangement } from './usePicture'

const DELAY = 250 // milliseconds without a change of the size before a layout is requested
const CHANGE = 0.15 // relative change of the width above which another layout is requested

/** Return whether to request a layout for this size. `before`: the size of the previous request, if any. */
export function needsLayout(picture: Size, view: Size, before: Size | undefined): boolean {
  if (before) return Math.abs(view.width - before.width) > CHANGE * before.width
  return fitCamera(picture, view).scale < 1
}

/** Return whether chains are drawn as one box at first, because a graph of many tasks has no room for names. */
export function foldsChains({ nodes, chains, width, height }: Picture, view: Size): boolean {
  return chains > 0 && nodes.length > MANY && fitCamera({ width, height }, view).scale < LEGIBLE
}

/** Arrange the picture for the space of an element. `height` returns the greatest height that the graph can have. */
export function useFittingLayout(
  element: RefObject<HTMLElement | null>,
  height: () => number,
  picture: Picture,
  arrange: (change: Arrangement) => void,
): void {
  const latest = useRef(picture)
  latest.current = picture
  useEffect(() => {
    const measured = element.current
    if (!measured) return
    let before: Size | undefined
    let timer: ReturnType<typeof setTimeout> | undefined
    const check = () => {
      const view = { width: measured.clientWidth, height: height() }
      if (!view.width || !needsLayout(latest.current, view, before)) return
      arrange(before || !foldsChains(latest.current, view) ? view : { ...view, collapsed: true })
      before = view
    }
    const observer = new ResizeObserver(() => {
      clearTimeout(timer)
      timer = setTimeout(check, before ? DELAY : 0)
    })
    observer.observe(measured)
    return () => {
      clearTimeout(timer)
      observer.disconnect()
    }
  }, [arrange])
}
