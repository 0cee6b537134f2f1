// The picture that a view shows: the picture of all views, or one with the layout that this view has requested.
import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import type { Direction, Picture } from '../../messages'
import { useTopics } from '../state/hooks'
import { PICTURE, type Store } from '../state/store'

export interface Arrangement {
  direction?: Direction
  collapsed?: boolean
  folded?: string[]
  width?: number // size of the view in pixels; it decides the direction if none is given
  height?: number
}

let views = 0

export function usePicture(store: Store): { picture: Picture; arrange: (change: Arrangement) => void } {
  const [view] = useState(() => `view${++views}`)
  const [own, setOwn] = useState<Picture>()
  const arrangement = useRef<Arrangement>({})
  useTopics(store, [PICTURE])
  const base = store.picture

  const request = useCallback(() => {
    const { direction = 'auto', collapsed = false, folded = [], ...space } = arrangement.current
    store.transport.send({ kind: 'layout', view, direction, collapsed, folded, ...space })
  }, [store, view])
  const arrange = useCallback(
    (change: Arrangement) => {
      Object.assign(arrangement.current, change)
      request()
    },
    [request],
  )
  // The requested picture does not follow changes of the notebook, so request a new picture when the notebook changes.
  const previousBase = useRef(base)
  useEffect(() => {
    if (previousBase.current === base) return
    previousBase.current = base
    const { direction, collapsed, folded, width } = arrangement.current
    if (direction || collapsed || folded?.length || width) request()
    else setOwn(undefined)
  }, [base, request])
  useEffect(
    () =>
      store.onMessage((message) => {
        if (message.kind === 'picture' && message.view === view) setOwn(message.picture)
      }),
    [store, view],
  )
  return { picture: own ?? base, arrange }
}
