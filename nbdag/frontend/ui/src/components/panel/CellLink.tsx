// A link to a line of a cell, or plain text if the page cannot show cells.
import type { Host } from '../state/transport'

export function CellLink({ host, cell, line }: { host: Host; cell: number; line: number }) {
  const text = `cell ${cell + 1}, line ${line}`
  const { jump } = host
  if (!jump) return <>{text}</>
  return (
    <button type="button" class="nbdag-link" title="Show it in the notebook" onClick={() => jump(cell, line)}>
      {text}
    </button>
  )
}
