// The tasks directly upstream or downstream of a task, with the reasons.
import type { Neighbour } from '../../messages'
import type { Host } from '../state/transport'
import { CellLink } from './CellLink'

interface Props {
  title: string
  neighbours: readonly Neighbour[]
  host: Host
  onSelect: (task: string) => void
}

export function Dependencies({ title, neighbours, host, onSelect }: Props) {
  if (!neighbours.length) return null
  return (
    <details open>
      <summary>
        {title} <span class="nbdag-muted">{neighbours.length}</span>
      </summary>
      <ul class="nbdag-reasons">
        {neighbours.map((each) => (
          <li key={each.task}>
            <button type="button" class="nbdag-link" onClick={() => onSelect(each.task)}>
              {each.task}
            </button>
            {each.declared ? <span class="nbdag-muted"> declared</span> : null}
            {each.uses.map((use) => (
              <div key={`${use.name} ${use.read_cell} ${use.read_line}`}>
                <code>{use.name}</code>, written in{' '}
                <CellLink host={host} cell={use.written_cell} line={use.written_line} />, read in{' '}
                <CellLink host={host} cell={use.read_cell} line={use.read_line} />
              </div>
            ))}
          </li>
        ))}
      </ul>
    </details>
  )
}
