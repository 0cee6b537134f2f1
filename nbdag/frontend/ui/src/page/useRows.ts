// A long list in the page. Only the rows in view are in the document; all rows have the same height.
import type { RefObject } from 'preact'
import { useLayoutEffect, useState } from 'preact/hooks'

const OVERSCAN = 8 // rows above and below the view

export interface Rows {
  first: number // the first row to draw
  last: number // the row after the last one to draw
  above: number // total height in pixels of the rows above the first drawn row
  below: number
}

/** Return which rows of a list are in the window; redraw when the window is scrolled or resized. */
export function useRows(list: RefObject<HTMLElement | null>, count: number, height: number): Rows {
  const [view, setView] = useState({ first: 0, last: 40 })
  useLayoutEffect(() => {
    const measure = () => {
      const top = list.current?.getBoundingClientRect().top ?? 0
      const first = Math.max(0, Math.floor(-top / height) - OVERSCAN)
      const last = Math.ceil((window.innerHeight - top) / height) + OVERSCAN
      setView((before) => (before.first === first && before.last === last ? before : { first, last }))
    }
    measure()
    window.addEventListener('scroll', measure, { passive: true })
    window.addEventListener('resize', measure)
    return () => {
      window.removeEventListener('scroll', measure)
      window.removeEventListener('resize', measure)
    }
  }, [height, count])
  const first = Math.min(view.first, count)
  const last = Math.min(Math.max(view.last, first), count)
  return { first, last, above: first * height, below: (count - last) * height }
}

/** Return whether the window is at most this wide; redraw when that changes. */
export function useNarrow(width: number): boolean {
  const query = `(max-width: ${width}px)`
  const [narrow, setNarrow] = useState(() => window.matchMedia(query).matches)
  useLayoutEffect(() => {
    const list = window.matchMedia(query)
    const change = () => setNarrow(list.matches)
    change()
    list.addEventListener('change', change)
    return () => list.removeEventListener('change', change)
  }, [query])
  return narrow
}
