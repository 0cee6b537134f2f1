// Hooks that redraw a component when the store changes, when a message arrives, or each second.
import { useEffect, useReducer, useState } from 'preact/hooks'
import type { Message, TaskStatus } from '../../messages'
import { type Store, type Topic, taskTopic } from './store'
import { type ConnectionStatus, OPEN } from './transport'

/** Redraw when any of these topics changes. */
export function useTopics(store: Store, topics: readonly Topic[]): void {
  const [, redraw] = useReducer((count: number) => count + 1, 0)
  const keys = topics.map(({ key }) => key).join('\u0000')
  const drawn = store.changes
  useEffect(() => {
    const stops = topics.map((each) => store.subscribe(each, () => redraw(undefined)))
    if (store.changes !== drawn) redraw(undefined) // a topic has changed between the drawing and this subscription
    return () => {
      for (const stop of stops) stop()
    }
  }, [store, keys])
}

/** Return the status of the connection; redraw when it changes. */
export function useConnection(store: Store): ConnectionStatus {
  const { connection } = store.transport
  const [status, setStatus] = useState(() => connection?.status() ?? OPEN)
  useEffect(() => {
    if (!connection) return
    const update = () => setStatus(connection.status())
    update()
    return connection.listen(update)
  }, [connection])
  return status
}

/** Return the combined status of a box's tasks in a run; redraw when the status changes. */
export function useStatus(store: Store, run: string, tasks: readonly string[]): TaskStatus {
  useTopics(
    store,
    tasks.map((task) => taskTopic(run, task)),
  )
  return store.combinedStatus(run, tasks)
}

/** Return the latest message of a kind that matches. When `key` changes, send a new request. */
export function useAnswer<Kind extends Message['kind']>(
  store: Store,
  kind: Kind,
  matches: (message: Extract<Message, { kind: Kind }>) => boolean,
  request: () => void,
  key: string,
): Extract<Message, { kind: Kind }> | undefined {
  const [answer, setAnswer] = useState<{ key: string; message: Extract<Message, { kind: Kind }> }>()
  useEffect(() => {
    const stop = store.onMessage((message) => {
      if (message.kind === kind && matches(message as Extract<Message, { kind: Kind }>)) {
        setAnswer({ key, message: message as Extract<Message, { kind: Kind }> })
      }
    })
    request()
    return stop
  }, [store, key])
  return answer?.key === key ? answer.message : undefined
}

// All components share one clock, so that they redraw together, once a second.
const clockListeners = new Set<(now: number) => void>()
let timer: ReturnType<typeof setInterval> | undefined

/** Call `call` each second with the time in seconds, until the returned function is called. */
export function everySecond(call: (now: number) => void): () => void {
  clockListeners.add(call)
  timer ??= setInterval(() => {
    const now = Date.now() / 1000
    for (const each of clockListeners) each(now)
  }, 1000)
  return () => {
    clockListeners.delete(call)
    if (clockListeners.size) return
    clearInterval(timer)
    timer = undefined
  }
}

/** Return the time in seconds; redraw each second while `ticks` is true. */
export function useNow(ticks: boolean): number {
  const [now, setNow] = useState(() => Date.now() / 1000)
  useEffect(() => {
    if (!ticks) return
    setNow(Date.now() / 1000)
    return everySecond(setNow)
  }, [ticks])
  return now
}
