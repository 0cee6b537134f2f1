// The source of a task, with its syntax highlighted by the kernel.
import type { TaskDetails } from '../../messages'
import type { Host } from '../state/transport'
import { CellLink } from './CellLink'
import { Clip } from './Clip'

export function SourceCode({ details, host }: { details: TaskDetails; host: Host }) {
  return (
    <details open>
      <summary>Source</summary>
      <div class="nbdag-source-link">
        <CellLink host={host} cell={details.cell} line={1} />
      </div>
      <Clip>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard */}
        <pre class="nbdag-source" tabIndex={0}>
          {details.source.map((line, n) => (
            <span class="nbdag-code-line" key={n}>
              {line.map(([colour, text], at) => (
                <span key={at} class={colour ? `nbdag-c-${colour}` : undefined}>
                  {text}
                </span>
              ))}
              {'\n'}
            </span>
          ))}
        </pre>
      </Clip>
    </details>
  )
}
