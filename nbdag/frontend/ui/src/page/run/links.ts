// Places of runs and tasks.
import { path } from '../location'

export type Tab = 'graph' | 'gantt' | 'report' | 'events' | 'values' | 'compare'

export function dagPlace(dag: string, tab = 'grid'): string {
  return path`/dags/${dag}/${tab}`
}

/** Return the place of a tab of a run, optionally with a selected task, or with the run to compare with. */
export function runPlace(
  dag: string,
  run: string,
  tab: Tab = 'graph',
  more: { task?: string; other?: string } = {},
): string {
  const below = more.other ? path`/${more.other}` : ''
  const query = more.task ? `?${new URLSearchParams({ task: more.task })}` : ''
  return path`/dags/${dag}/runs/${run}/${tab}` + below + query
}

/** Return the place of a task of a run, or of one of its attempts. */
export function taskPlace(dag: string, run: string, task: string, attempt?: { index: number; number: number }): string {
  const query = new URLSearchParams()
  if (attempt && attempt.index >= 0) query.set('index', String(attempt.index))
  if (attempt) query.set('try', String(attempt.number))
  const text = query.toString()
  return path`/dags/${dag}/runs/${run}/tasks/${task}` + (text && `?${text}`)
}

/** Return the task and the index of an instance's name: `train[3]` is instance 3 of train. */
export function instanceOf(name: string): { task: string; index: number } {
  const found = /^(.*)\[(\d+)\]$/.exec(name)
  return found?.[1] === undefined ? { task: name, index: -1 } : { task: found[1], index: Number(found[2]) }
}

/** Return the name of an instance. */
export function instanceName(task: string, index: number): string {
  return index < 0 ? task : `${task}[${index}]`
}
