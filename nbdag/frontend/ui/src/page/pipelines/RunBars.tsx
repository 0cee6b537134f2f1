// The latest runs as bars: the height is the duration, the colour is the state.

import type { RecentRun } from '../../api'
import { plural, seconds } from '../../components/format'
import { stateStyle } from '../../components/Sign'
import { navigate, path } from '../location'
import { bothZones } from '../Time'

const COUNT = 20
const STEP = 7 // pixels from bar to bar
const WIDTH = 5
const HEIGHT = 26
const LEAST = 3 // minimum height of a bar

/** Return the heights of bars. They grow with the root of the duration, so that short runs stay visible. */
export function heights(durations: readonly (number | undefined)[]): number[] {
  const longest = Math.max(...durations.map((each) => each ?? 0), 0.001)
  return durations.map((each) =>
    each === undefined ? LEAST : LEAST + (HEIGHT - LEAST) * Math.sqrt(Math.max(0, each) / longest),
  )
}

/** Return the outcomes in words, such as "18 done, 2 failed". */
export function outcomes(runs: readonly RecentRun[]): string {
  const counts = new Map<string, number>()
  for (const { state } of runs) counts.set(stateStyle(state).word, (counts.get(stateStyle(state).word) ?? 0) + 1)
  return [...counts].map(([word, count]) => `${count} ${word}`).join(', ')
}

export function RunBars({ dag, runs, now }: { dag: string; runs: readonly RecentRun[]; now: number }) {
  if (!runs.length) return <span class="pg-no-runs nbdag-muted">no runs yet</span>
  const shown = runs.slice(-COUNT)
  const durations = shown.map(({ started, ended }) => (started === null ? undefined : (ended ?? now) - started))
  const tall = heights(durations)
  const left = (COUNT - shown.length) * STEP // the newest run is always at the right end
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the runs are links in the view of the pipeline
    <svg
      class="pg-bars"
      role="img"
      aria-label={`Last ${plural(shown.length, 'run')}: ${outcomes(shown)}`}
      width={COUNT * STEP}
      height={HEIGHT}
      onClick={(event) => {
        const run = event.target instanceof Element ? event.target.closest<SVGElement>('[data-run]')?.dataset.run : ''
        if (run) navigate(path`/dags/${dag}/runs/${run}`)
      }}
    >
      {shown.map(({ id, state, created }, n) => {
        const duration = durations[n]
        const height = tall[n] ?? LEAST
        const style = stateStyle(state)
        return (
          <g key={id} data-run={id}>
            <title>{`${style.word}${duration === undefined ? '' : `, ${seconds(duration)}`}\n${bothZones(created)}`}</title>
            <rect x={left + n * STEP} y={0} width={STEP} height={HEIGHT} fill="transparent" />
            <rect
              class={`pg-bar nbdag-is-${state}`}
              x={left + n * STEP + 1}
              y={HEIGHT - height}
              width={WIDTH}
              height={height}
              rx={1}
              style={{ color: style.colour }}
            />
          </g>
        )
      })}
    </svg>
  )
}
