// One task on the graph, or a chain of them.
import { memo } from 'preact/compat'
import { seconds } from './format'
import { useNow, useStanding } from './hooks'
import type { Node, Standing } from './messages'
import { look, Strokes } from './Sign'
import type { Store } from './store'

const STACK = 3.5 // points between the sheets of a mapped task

/** The second line: how it stands, for how long, in how many tries. */
export function note(node: Node, standing: Standing, now: number): string {
  const { state, duration, started, tries, count, ended, failed } = standing
  const parts: string[] = []
  if (count !== undefined && node.mapped) parts.push(ended === undefined ? `× ${count}` : `${ended} of ${count}`)
  else if (count !== undefined && state !== 'none') parts.push(`${ended ?? 0} of ${count}`)
  if (failed && count !== failed) parts.push(`${failed} failed`)
  if (duration !== undefined) parts.push(seconds(duration))
  else if (started !== undefined && state === 'running') parts.push(seconds(now - started))
  else if (state !== 'none') parts.push(short(state))
  if (tries !== undefined) parts.push(`try ${tries}`)
  return parts.length ? parts.join(' · ') : node.note
}

function short(state: string): string {
  return (
    { up_for_retry: 'tried again soon', upstream_failed: 'not run', up_for_reschedule: 'looks again' }[state] ??
    look(state).word
  )
}

export function spoken(node: Node, standing: Standing, before: readonly string[]): string {
  const parts = [node.label, look(standing.state).word]
  if (standing.count !== undefined) parts.push(`${standing.count} instances`)
  if (standing.duration !== undefined) parts.push(seconds(standing.duration))
  if (standing.tries !== undefined) parts.push(`${standing.tries} tries`)
  if (standing.reason) parts.push(standing.reason)
  if (before.length) parts.push(`follows ${before.join(', ')}`)
  return parts.join(', ')
}

interface Props {
  node: Node
  store: Store
  run: string
  before: readonly string[]
  chosen: boolean
  entry: boolean // where Tab enters the graph
  seen: boolean // it is in view, so it has words
  aside: boolean // something else is looked at
}

export const Box = memo(function Box({ node, store, run, before, chosen, entry, seen, aside }: Props) {
  const standing = useStanding(store, run, node.members)
  const now = useNow(seen && standing.state === 'running' && standing.duration === undefined)
  const sheets = node.mapped || node.members.length > 1 ? [2, 1, 0] : [0]
  const room = STACK * (sheets.length - 1)
  const width = node.width - room
  const height = node.height - room
  const left = -node.width / 2
  const top = -node.height / 2 + room
  const words = seen ? note(node, standing, now) : ''
  return (
    <g
      class={`nbdag-box nbdag-is-${standing.state}${aside ? ' nbdag-aside' : ''}`}
      transform={`translate(${node.x} ${node.y})`}
      style={{ color: look(standing.state).colour }}
      data-id={node.id}
      data-state={standing.state}
      role="button"
      tabindex={entry ? 0 : -1} // in a drawing names of attributes keep their case, and tabIndex is none
      aria-label={spoken(node, standing, before)}
      aria-pressed={chosen}
    >
      {sheets.map((n) => (
        <rect key={n} x={left + STACK * n} y={top - STACK * n} width={width} height={height} rx="7" />
      ))}
      {seen ? (
        <>
          <g class="nbdag-glyph" transform={`translate(${left + 10} ${top + height / 2 - 6})`}>
            <Strokes state={standing.state} turn={now} />
          </g>
          <text class="nbdag-name" x={left + 29} y={top + height / 2 + (words ? -3 : 4.5)}>
            {node.label}
          </text>
          {words ? (
            <text class="nbdag-note" x={left + 29} y={top + height / 2 + 12}>
              {words}
            </text>
          ) : null}
        </>
      ) : null}
    </g>
  )
})
