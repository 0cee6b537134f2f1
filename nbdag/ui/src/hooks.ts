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

/** The time, each second, while it matters. */
export function useNow(ticks: boolean): number {
  const [now, setNow] = useState(() => Date.now() / 1000)
  useEffect(() => {
    if (!ticks) return
    setNow(Date.now() / 1000)
    const timer = setInterval(() => setNow(Date.now() / 1000), 1000)
    return () => clearInterval(timer)
  }, [ticks])
  return now
}
