// Long content of a panel: its beginning, and a button that shows all of it. The panel has a scroll bar, so
// the content needs none.
import type { ComponentChildren } from 'preact'
import { useLayoutEffect, useRef, useState } from 'preact/hooks'

const SLACK = 60 // content that is higher by at most this many pixels gets no button

interface Props {
  height?: number // greatest height in pixels before the button is pressed
  children: ComponentChildren
}

export function Clip({ height = 320, children }: Props) {
  const content = useRef<HTMLDivElement>(null)
  const [open, setOpen] = useState(false)
  const [long, setLong] = useState(false)
  useLayoutEffect(() => {
    const element = content.current
    if (!element) return
    const measure = () => setLong(element.scrollHeight > height + SLACK)
    measure()
    // Images and frames get their height later.
    const observer = new ResizeObserver(measure)
    for (const child of element.children) observer.observe(child)
    return () => observer.disconnect()
  }, [height, children])
  const clipped = long && !open
  return (
    <>
      <div class={clipped ? 'nbdag-clip' : undefined} ref={content} style={clipped ? { maxHeight: `${height}px` } : {}}>
        {children}
      </div>
      {long ? (
        <button type="button" class="nbdag-link" aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? 'Show less' : 'Show all'}
        </button>
      ) : null}
    </>
  )
}
