// The critical path: the boxes that determine the duration of the whole run.
import { useEffect, useMemo, useReducer } from 'preact/hooks'
import type { Picture } from '../../messages'
import { runTopic, type Store } from '../state/store'
import { Links } from './links'

/**
 * While `enabled`, return the boxes and the tasks of the critical path. The sets are replaced only when the
 * path changes.
 */
export function useCriticalPath(
  store: Store,
  picture: Picture,
  run: string,
  enabled: boolean,
): { boxes: ReadonlySet<string>; tasks: ReadonlySet<string> } | undefined {
  const [, redraw] = useReducer((count: number) => count + 1, 0)
  useEffect(
    () => (enabled ? store.subscribe(runTopic(run), () => redraw(undefined)) : undefined),
    [store, run, enabled],
  )
  const found = enabled ? criticalBoxes(store, picture, run) : []
  return useMemo(() => {
    if (!found.length) return undefined
    const boxes = new Set(found)
    return { boxes, tasks: new Set(picture.nodes.filter(({ id }) => boxes.has(id)).flatMap(({ members }) => members)) }
  }, [picture, found.join('\n')])
}

function criticalBoxes(store: Store, picture: Picture, run: string): string[] {
  const members = new Map(picture.nodes.map((node) => [node.id, node.members]))
  const position = new Map(picture.order.map((task, n) => [task, n]))
  const nodes = [...picture.nodes].sort(
    (a, b) => (position.get(a.members[0] ?? '') ?? 0) - (position.get(b.members[0] ?? '') ?? 0),
  )
  return new Links(picture.lines).criticalPath(
    nodes.map((node) => node.id),
    (id) => store.combinedStatus(run, members.get(id) ?? []).duration ?? 0,
  )
}
