// A long list. Only the rows in view are in the document, so that 300,000 rows scroll as fast as thirty.
import { useCallback, useLayoutEffect, useState } from 'preact/hooks'

const OVERSCAN = 12 // rows drawn above and below the view, so that a fast scroll shows no gap
const MAX_HEIGHT = 12_000_000 // pixels; browsers cut off taller elements, so a taller list is scrolled in proportion
const DEFAULT_VIEW = 800 // height of the view in pixels before the browser has measured it

/** The heights of a list's rows. */
export interface Heights {
  count: number
  total: number // height of all rows in pixels
  /** Return the distance from the top of the list to the top of a row. */
  top(row: number): number
  /** Return the row at this distance from the top of the list. */
  at(y: number): number
}

/** Return the heights of rows that all have the same height. */
export function equalHeights(count: number, height: number): Heights {
  return {
    count,
    total: count * height,
    top: (row) => row * height,
    at: (y) => Math.max(0, Math.min(count - 1, Math.floor(y / height))),
  }
}

/** Return the heights of rows of different heights. */
export function variedHeights(count: number, height: (row: number) => number): Heights {
  const tops = new Float64Array(count + 1)
  for (let row = 0; row < count; row++) tops[row + 1] = (tops[row] ?? 0) + height(row)
  return {
    count,
    total: tops[count] ?? 0,
    top: (row) => tops[row] ?? 0,
    at(y) {
      let [low, high] = [0, Math.max(0, count - 1)]
      while (low < high) {
        const middle = (low + high + 1) >> 1
        if ((tops[middle] ?? 0) <= y) low = middle
        else high = middle - 1
      }
      return low
    },
  }
}

export interface Visible {
  first: number // the first row to draw
  last: number // the row after the last row to draw
  height: number // height of the element that gives the list its scroll bar
  top: number // distance from the top of that element to the first drawn row
  /** Scroll until a row is in view: in the middle, or at the top. */
  reveal(row: number, where?: 'middle' | 'top'): void
}

/** Return the rows of a list that are in view, and redraw when the list is scrolled or resized. */
export function useVisible(frame: HTMLElement | null, heights: Heights): Visible {
  const [view, setView] = useState({ scroll: 0, height: DEFAULT_VIEW })
  useLayoutEffect(() => {
    if (!frame) return
    const measure = () => {
      const next = { scroll: frame.scrollTop, height: frame.clientHeight || DEFAULT_VIEW }
      setView((before) => (before.scroll === next.scroll && before.height === next.height ? before : next))
    }
    measure()
    const observer = new ResizeObserver(measure)
    observer.observe(frame)
    frame.addEventListener('scroll', measure, { passive: true })
    return () => {
      observer.disconnect()
      frame.removeEventListener('scroll', measure)
    }
  }, [frame])

  const height = Math.min(heights.total, MAX_HEIGHT)
  const scrolled = scrollRange(height, view.height)
  const range = scrollRange(heights.total, view.height)
  const ratio = scrolled > 0 ? range / scrolled : 1
  const y = Math.min(view.scroll * ratio, range)
  const first = heights.count ? Math.max(0, heights.at(y) - OVERSCAN) : 0
  const last = heights.count ? Math.min(heights.count, heights.at(y + view.height) + 1 + OVERSCAN) : 0
  const reveal = useCallback(
    (row: number, where: 'middle' | 'top' = 'middle') => {
      if (!frame) return
      const space = where === 'middle' ? frame.clientHeight / 2 : 0
      frame.scrollTop = Math.max(0, heights.top(row) - space) / ratio
    },
    [frame, heights, ratio],
  )
  return { first, last, height, top: Math.min(view.scroll, scrolled) + heights.top(first) - y, reveal }
}

function scrollRange(total: number, view: number): number {
  return Math.max(0, total - view)
}
