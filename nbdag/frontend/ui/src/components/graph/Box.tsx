// The box of one task, of a chain of tasks, or of a group.
import { memo } from 'preact/compat'
import type { Node, TaskStatus } from '../../messages'
import { seconds } from '../format'
import { Strokes, stateStyle } from '../Sign'
import { useNow, useStatus } from '../state/hooks'
import { STATE_RULES } from '../state/states'
import type { Store } from '../state/store'
import { NAME_SIZE } from './geometry'
import { textWidth } from './textWidth'

export const STACK_OFFSET = 3.5 // distance in points between the sheets of a stack

/**
 * Return the offsets of a box's sheets, the rearmost first: a box of several tasks or instances has three
 * sheets.
 */
export function sheetsOf(node: Node): readonly number[] {
  return node.mapped || node.group || node.members.length > 1 ? [2, 1, 0] : [0]
}

const NOTE_SIZE = 13 // greatest font size of a note, at the smallest scale with notes
const SIGN = 12 // size of a sign in points

/** Return the text, cut in the middle if it is wider than `width`: names differ at both ends. */
export function cut(text: string, width: number, widthOf: (text: string) => number): string {
  if (widthOf(text) <= width) return text
  for (let kept = text.length - 1; kept > 1; kept -= 1) {
    const tail = Math.floor(kept / 2)
    const found = `${text.slice(0, kept - tail)}…${text.slice(text.length - tail)}`
    if (widthOf(found) <= width) return found
  }
  return text.slice(0, 1)
}

/** Return the second line of a box: progress, duration or state, and the number of tries. */
export function noteOf(node: Node, status: TaskStatus, now: number): string {
  const { state, duration, started, tries, count, ended, failed } = status
  const parts: string[] = []
  if (count !== undefined && node.mapped) parts.push(ended === undefined ? `× ${count}` : `${ended} of ${count}`)
  else if (count !== undefined && state !== 'none') parts.push(`${ended ?? 0} of ${count}`)
  if (failed && count !== failed) parts.push(`${failed} failed`)
  if (duration !== undefined) parts.push(seconds(duration))
  else if (started !== undefined && state === 'running') parts.push(seconds(now - started))
  else if (state !== 'none') parts.push(STATE_RULES[state].note ?? stateStyle(state).word)
  if (tries !== undefined) parts.push(`try ${tries}`)
  return parts.length ? parts.join(' · ') : node.note
}

/** Return the text of a box for screen readers. */
export function accessibleLabel(node: Node, status: TaskStatus, upstream: readonly string[]): string {
  const parts = [node.label, stateStyle(status.state).word]
  if (status.count !== undefined) parts.push(`${status.count} instances`)
  if (status.duration !== undefined) parts.push(seconds(status.duration))
  if (status.tries !== undefined) parts.push(`${status.tries} tries`)
  if (status.reason) parts.push(status.reason)
  if (upstream.length) parts.push(`follows ${upstream.join(', ')}`)
  return parts.join(', ')
}

interface Props {
  node: Node
  store: Store
  run: string
  upstream: readonly string[]
  selected: boolean
  entry: boolean // whether the Tab key moves the focus to this box
  font: number // font size of the name, or 0 if the box is too small for text or has not been in view
  dimmed: boolean // whether other boxes are highlighted and this box is dimmed
}

export const Box = memo(function Box({ node, store, run, upstream, selected, entry, font, dimmed }: Props) {
  const status = useStatus(store, run, node.members)
  const now = useNow(font > 0 && status.state === 'running' && status.duration === undefined)
  const sheets = sheetsOf(node)
  const stack = STACK_OFFSET * (sheets.length - 1)
  const width = node.width - stack
  const height = node.height - stack
  const left = -node.width / 2
  const top = -node.height / 2 + stack
  const enlarged = font > NAME_SIZE // whether the scale is small: then the name is larger, and there is no note
  const note = font && !enlarged ? noteOf(node, status, now) : ''
  const middle = top + height / 2
  const text = left + (enlarged ? 7 + SIGN + 4 : 10 + SIGN + 7)
  const room = left + width - 3 - text
  return (
    <g
      class={`nbdag-box nbdag-is-${status.state}${dimmed ? ' nbdag-dimmed' : ''}`}
      transform={`translate(${node.x} ${node.y})`}
      style={{ color: stateStyle(status.state).colour }}
      data-id={node.id}
      data-state={status.state}
      role="button"
      // Lower case, because attributes of SVG are case-sensitive and tabIndex has no effect.
      tabindex={entry ? 0 : -1}
      aria-label={accessibleLabel(node, status, upstream)}
      aria-pressed={selected}
    >
      {sheets.map((n) => (
        <rect key={n} x={left + STACK_OFFSET * n} y={top - STACK_OFFSET * n} width={width} height={height} rx="7" />
      ))}
      {font ? (
        <>
          <g transform={`translate(${left + (enlarged ? 7 : 10)} ${middle - SIGN / 2})`}>
            <Strokes state={status.state} turn={now} />
          </g>
          <text class="nbdag-name" x={text} y={middle + (note ? -3 : 0.35 * font)} style={{ fontSize: `${font}px` }}>
            {cut(node.label, room, (part) => textWidth(part) * font)}
          </text>
          {note ? (
            <text class="nbdag-note" x={text} y={middle + 12.5}>
              {cut(note, room, (part) => textWidth(part) * NOTE_SIZE)}
            </text>
          ) : null}
        </>
      ) : null}
    </g>
  )
})
