// How components follow the store.
import { useEffect, useReducer, useState } from 'preact/hooks'
import type { Standing, Told } from './messages'
import { type Store, topic } from './store'

/** Draw again when any of these is called. */
export function useTopics(store: Store, topics: readonly string[]): void {
  const [, again] = useReducer((count: number) => count + 1, 0)
  const key = topics.join('\u0000')
  useEffect(() => {
    const stops = topics.map((each) => store.on(each, () => again(undefined)))
    return () => {
      for (const stop of stops) stop()
    }
  }, [store, key])
}

/** How a box stands in a run; draws again when one of its tasks moves. */
export function useStanding(store: Store, run: string, tasks: readonly string[]): Standing {
  useTopics(
    store,
    tasks.map((task) => topic(run, task)),
  )
  return store.together(run, tasks)
}

/** The last answer of a kind that fits, asked for anew when the question changes. */
export function useAnswer<Kind extends Told['kind']>(
  store: Store,
  kind: Kind,
  fits: (told: Extract<Told, { kind: Kind }>) => boolean,
  ask: () => void,
  question: string,
): Extract<Told, { kind: Kind }> | undefined {
  const [answer, setAnswer] = useState<{ question: string; told: Extract<Told, { kind: Kind }> }>()
  useEffect(() => {
    const stop = store.answers((told) => {
      if (told.kind === kind && fits(told as Extract<Told, { kind: Kind }>)) {
        setAnswer({ question, told: told as Extract<Told, { kind: Kind }> })
      }
    })
    ask()
    return stop
  }, [store, question])
  return answer?.question === question ? answer.told : undefined
}

// One clock for all that tell how long something has taken: they are drawn together, once a second.
const clock = new Set<(now: number) => void>()
let ticking: ReturnType<typeof setInterval> | undefined

/** Be told the time, in seconds, each second. */
export function everySecond(call: (now: number) => void): () => void {
  clock.add(call)
  ticking ??= setInterval(() => {
    const now = Date.now() / 1000
    for (const each of clock) each(now)
  }, 1000)
  return () => {
    clock.delete(call)
    if (clock.size) return
    clearInterval(ticking)
    ticking = undefined
  }
}

/** The time, each second, while it matters. */
export function useNow(ticks: boolean): number {
  const [now, setNow] = useState(() => Date.now() / 1000)
  useEffect(() => {
    if (!ticks) return
    setNow(Date.now() / 1000)
    return everySecond(setNow)
  }, [ticks])
  return now
}
