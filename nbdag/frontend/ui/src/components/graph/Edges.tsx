// The edges of the graph. For speed, all lines of a kind share one path element. So the distances from the curves
// decide which line is under the pointer.
import { memo } from 'preact/compat'
import type { Line, Node, Picture } from '../../messages'
import { type Curve, curve } from './geometry'

const MAX_REASONS = 6 // maximum number of reasons in a tooltip

export interface LineCurve {
  line: Line
  curve: Curve
}

/** Return the curve of each line. */
export function lineCurves(picture: Picture): LineCurve[] {
  return picture.lines.map((line) => ({ line, curve: curve(line.path) }))
}

function Paths({ lines }: { lines: readonly Line[] }) {
  const path = (some: readonly Line[]) => some.map((line) => line.path).join('')
  const declared = lines.filter((line) => line.declared)
  const files = lines.filter((line) => line.files.length)
  const inferred = lines.filter((line) => !line.declared && !line.files.length && line.names.length)
  // For these lines, the lower task needs no value of the upper task: it executes the imports itself.
  const imports = lines.filter((line) => !line.declared && !line.files.length && !line.names.length)
  return (
    <>
      {inferred.length ? <path class="nbdag-edge" d={path(inferred)} /> : null}
      {imports.length ? <path class="nbdag-edge nbdag-imports" d={path(imports)} /> : null}
      {declared.length ? <path class="nbdag-edge nbdag-declared" d={path(declared)} /> : null}
      {files.length ? <path class="nbdag-edge nbdag-files" d={path(files)} /> : null}
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
          <text class="nbdag-edge-label" key={`${line.source}\n${line.target}`} x={line.x} y={line.y + 3.8}>
            {line.label}
          </text>
        ))}
    </>
  )
}

export const Edges = memo(function Edges({ picture }: { picture: Picture }) {
  return (
    <g aria-hidden="true">
      <Paths lines={picture.lines} />
      <Labels lines={picture.lines} />
    </g>
  )
})

/** Draws the highlighted lines: the lines of the related boxes, or the line under the pointer. */
export const HighlightedEdges = memo(function HighlightedEdges({ lines }: { lines: readonly Line[] }) {
  return (
    <g class="nbdag-highlighted" aria-hidden="true">
      <Paths lines={lines} />
      <Labels lines={lines} />
    </g>
  )
})

export interface TipPosition {
  line: Line
  x: number // x position of the pointer in the frame, in pixels
  y: number
}

interface TipProps {
  tip: TipPosition
  boxes: ReadonlyMap<string, Node>
  width: number // width of the frame, in pixels
  height: number
}

/** The tooltip of a line: the variables that it carries, and the reasons for the edge. */
export function EdgeTip({ tip, boxes, width, height }: TipProps) {
  const { line, x, y } = tip
  const name = (id: string) => {
    const box = boxes.get(id)
    // Show the label of a chain's box, because its id is internal.
    return box && box.members.length > 1 ? box.label : id
  }
  // The tooltip is on the side of the pointer that has more space.
  const across = x > width / 2 ? { right: `${width - x + 10}px` } : { left: `${x + 10}px` }
  const down = y > height / 2 ? { bottom: `${height - y + 10}px` } : { top: `${y + 12}px` }
  return (
    <div class="nbdag-tip" role="tooltip" style={{ ...across, ...down }}>
      <strong>
        {name(line.source)} → {name(line.target)}
      </strong>
      <span>
        {line.files.length ? `both use ${line.files.join(', ')}` : line.declared ? 'declared' : 'inferred'}
        {line.names.length ? `; carries ${line.names.join(', ')}` : ''}
        {line.imports.length
          ? `; uses ${line.names.length ? 'also ' : 'only '}the imports ${line.imports.join(', ')}`
          : ''}
      </span>
      {line.why.slice(0, MAX_REASONS).map((why) => (
        <span key={why}>{why}</span>
      ))}
      {line.why.length > MAX_REASONS ? <span>and {line.why.length - MAX_REASONS} more</span> : null}
    </div>
  )
}
