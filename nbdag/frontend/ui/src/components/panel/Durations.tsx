// A bar chart of a task's durations in the latest runs.
import type { PastDuration } from '../../messages'
import { plural, seconds } from '../format'
import { stateStyle } from '../Sign'

const [WIDTH, HEIGHT] = [14, 44] // width and height of a column, in pixels
const MIN_RUNS = 2 // minimum number of runs for a chart

export function Durations({ durations }: { durations: readonly PastDuration[] }) {
  const known = durations.flatMap(({ duration, ...rest }) => (duration === null ? [] : [{ ...rest, duration }]))
  if (known.length < MIN_RUNS) return null
  const longest = Math.max(...known.map((each) => each.duration), 0.001)
  const text = known.map((each) => seconds(each.duration)).join(', ')
  return (
    <details open>
      <summary>Durations</summary>
      <svg
        class="nbdag-durations"
        role="img"
        aria-label={`Durations in the last ${plural(known.length, 'run')}: ${text}`}
        width={known.length * WIDTH}
        height={HEIGHT + 2}
      >
        {known.map(({ run, state, duration }, n) => {
          const height = Math.max(2, (duration / longest) * HEIGHT)
          return (
            <rect
              key={run}
              x={n * WIDTH + 1}
              y={HEIGHT - height}
              width={WIDTH - 3}
              height={height}
              rx="1.5"
              fill={stateStyle(state).colour}
            >
              <title>{`${run}: ${seconds(duration)}, ${stateStyle(state).word}`}</title>
            </rect>
          )
        })}
      </svg>
      <span class="nbdag-muted"> up to {seconds(longest)}</span>
    </details>
  )
}
