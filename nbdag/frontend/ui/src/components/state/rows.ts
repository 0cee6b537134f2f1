// The rows of the grid and the timeline: a row for each task, or for each group that the graph draws as one box.
import type { DisplayState, Picture } from '../../messages'
import { STATE_PRECEDENCE } from '../../messages'

export interface TaskRow {
  id: string // id of the task, or name of the group
  members: readonly string[] // ids of the tasks of this row
}

/** Return the rows in run order. A group has the position of its first task. */
export function rowsOf(picture: Picture): TaskRow[] {
  const groups = new Map(
    picture.nodes.filter((node) => node.group).flatMap((node) => node.members.map((task) => [task, node] as const)),
  )
  const rows = new Map<string, TaskRow>()
  for (const task of picture.order) {
    const { id, members } = groups.get(task) ?? { id: task, members: [task] }
    if (!rows.has(id)) rows.set(id, { id, members })
  }
  return [...rows.values()]
}

/** Return the one state that is shown for several tasks. */
export function combinedState(states: readonly DisplayState[]): DisplayState {
  return STATE_PRECEDENCE.find((each) => states.includes(each)) ?? 'none'
}
