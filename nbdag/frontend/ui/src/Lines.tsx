// The graph's lines. All of a kind are one path, so that hundreds cost the page no more than a few; which of them is pointed
// at is worked out from the points of their curves.
import { memo } from 'preact/compat'
import { type Curve, curve } from './geometry'
import type { Line, Picture } from './messages'

export interface Traced {
  line: Line
  curve: Curve
}

/** Where each line goes. */
export function traced(picture: Picture): Traced[] {
  return picture.lines.map((line) => ({ line, curve: curve(line.path) }))
}

function Paths({ lines }: { lines: readonly Line[] }) {
  const path = (those: readonly Line[]) => those.map((line) => line.path).join('')
  const declared = lines.filter((line) => line.declared)
  const inferred = lines.filter((line) => !line.declared)
  return (
    <>
      {inferred.length ? <path class="nbdag-thin" d={path(inferred)} /> : null}
      {declared.length ? <path class="nbdag-thin nbdag-declared" d={path(declared)} /> : null}
      {lines.length ? <path class="nbdag-arrow" d={lines.map((line) => line.tip).join('')} /> : null}
    </>
  )
}

function Labels({ lines }: { lines: readonly Line[] }) {
  return (
    <>
      {lines
        .filter((line) => line.label)
        .map((line) => (
          <text class="nbdag-carried" key={`${line.source}\n${line.target}`} x={line.x} y={line.y + 3.8}>
            {line.label}
          </text>
        ))}
    </>
  )
}

export const Lines = memo(function Lines({ picture }: { picture: Picture }) {
  return (
    <g aria-hidden="true">
      <Paths lines={picture.lines} />
      <Labels lines={picture.lines} />
    </g>
  )
})

/** Those that stand out: of what is looked at, or the one that is pointed at. */
export const Lit = memo(function Lit({ lines }: { lines: readonly Line[] }) {
  return (
    <g class="nbdag-lit" aria-hidden="true">
      <Paths lines={lines} />
      <Labels lines={lines} />
    </g>
  )
})

export interface At {
  line: Line
  x: number // in the frame
  y: number
}

/** What a line carries, and why it is there. */
export function Tip({ at, width, height }: { at: At; width: number; height: number }) {
  const { line } = at
  const name = (id: string) => id.split(' #')[0]
  // On whichever side there is room.
  const across = at.x > width / 2 ? { right: `${width - at.x + 10}px` } : { left: `${at.x + 10}px` }
  const down = at.y > height / 2 ? { bottom: `${height - at.y + 10}px` } : { top: `${at.y + 12}px` }
  return (
    <div class="nbdag-tip" role="tooltip" style={{ ...across, ...down }}>
      <strong>
        {name(line.source)} → {name(line.target)}
      </strong>
      <span>
        {line.declared ? 'declared' : 'inferred'}
        {line.names.length ? `; carries ${line.names.join(', ')}` : ''}
      </span>
      {line.why.slice(0, 6).map((why) => (
        <span key={why}>{why}</span>
      ))}
      {line.why.length > 6 ? <span>and {line.why.length - 6} more</span> : null}
    </div>
  )
}
