// Why a task is in its state: the conditions that it waits for, or what its outcome was.
import type { WhyList } from '../../api'
import type { DisplayState } from '../../messages'
import { Loaded } from '../states'
import { runAddress } from '../transport'
import { useResource } from '../useResource'

interface Props {
  dag: string
  run: string
  name: string // name of the task, or of an instance
  state: DisplayState
}

export function Why({ dag, run, name, state }: Props) {
  const why = useResource<WhyList>(
    runAddress(dag, run, `why/${encodeURIComponent(name)}#${state}`),
    (change) => change.dag === dag && change.run === run,
  )
  return (
    <details open>
      <summary>Why</summary>
      <Loaded of={why} lines={2}>
        {({ items }) => (
          <ul class="task-why">
            {grouped(items).map(({ names, reasons }) => (
              <li key={reasons.join()}>
                {items.length > 1 ? <b>{names} </b> : null}
                {reasons.join('; ')}
              </li>
            ))}
          </ul>
        )}
      </Loaded>
    </details>
  )
}

const SHOWN = 3 // maximum number of instances that are named

/** Return the reasons, each once, with the instances that they hold for. */
function grouped(items: WhyList['items']): { names: string; reasons: readonly string[] }[] {
  const groups = new Map<string, { tasks: string[]; reasons: readonly string[] }>()
  for (const { task, reasons } of items) {
    const key = reasons.join('\n')
    const group = groups.get(key) ?? { tasks: [], reasons }
    group.tasks.push(task)
    groups.set(key, group)
  }
  return [...groups.values()].map(({ tasks, reasons }) => ({
    names:
      tasks.length > SHOWN ? `${tasks.slice(0, SHOWN).join(', ')} and ${tasks.length - SHOWN} more` : tasks.join(', '),
    reasons,
  }))
}
