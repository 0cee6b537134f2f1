// The critical path: the boxes that made the whole take as long as it took.
import { useEffect, useMemo, useReducer } from 'preact/hooks'
import type { Picture } from './messages'
import { Links } from './paths'
import { type Store, topic } from './store'

/** Its boxes and their tasks while it is wanted; the same sets until it takes another way. */
export function useCritical(
  store: Store,
  picture: Picture,
  run: string,
  wanted: boolean,
): { boxes: ReadonlySet<string>; tasks: ReadonlySet<string> } | undefined {
  const [, again] = useReducer((count: number) => count + 1, 0)
  useEffect(() => (wanted ? store.on(topic(run, ''), () => again(undefined)) : undefined), [store, run, wanted])
  const found = wanted ? criticalOf(store, picture, run) : []
  return useMemo(() => {
    if (!found.length) return undefined
    const boxes = new Set(found)
    return { boxes, tasks: new Set(picture.nodes.filter(({ id }) => boxes.has(id)).flatMap(({ members }) => members)) }
  }, [picture, found.join('\n')])
}

function criticalOf(store: Store, picture: Picture, run: string): string[] {
  const members = new Map(picture.nodes.map((node) => [node.id, node.members]))
  const position = new Map(picture.order.map((task, n) => [task, n]))
  const nodes = [...picture.nodes].sort(
    (a, b) => (position.get(a.members[0] ?? '') ?? 0) - (position.get(b.members[0] ?? '') ?? 0),
  )
  return new Links(picture.lines).critical(
    nodes.map((node) => node.id),
    (id) => store.together(run, members.get(id) ?? []).duration ?? 0,
  )
}
