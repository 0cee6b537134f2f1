// The width of an element, which changes with the window and with panels beside it.
import { useLayoutEffect, useState } from 'preact/hooks'

/** Return the width of an element in pixels, or Infinity until it was measured. */
export function useWidth(element: HTMLElement | null): number {
  const [width, setWidth] = useState(Number.POSITIVE_INFINITY)
  useLayoutEffect(() => {
    if (!element) return
    const measure = () => element.clientWidth && setWidth(element.clientWidth)
    measure()
    const observer = new ResizeObserver(measure)
    observer.observe(element)
    return () => observer.disconnect()
  }, [element])
  return width
}
