// The sign of a state. Signs differ in shape as well as in colour, for readers who cannot distinguish red from green.
import { type DisplayState, STATE_STYLES, type StateStyle } from '../messages'

export function stateStyle(state: DisplayState): StateStyle {
  return STATE_STYLES[state]
}

/**
 * The sign in the current colour, to be drawn inside an svg element. The sign of a running task turns 90° each second.
 */
export function Strokes({ state, turn = 0 }: { state: DisplayState; turn?: number }) {
  const { path, filled } = stateStyle(state)
  const turned = { class: 'nbdag-turned', style: { '--nbdag-turn': `${Math.floor(turn % 4) * 90}deg` } }
  return (
    <g {...(state === 'running' ? turned : {})}>
      {filled ? <path d={filled} fill="currentColor" /> : null}
      <path class="nbdag-strokes" d={path} />
    </g>
  )
}

/** The sign as an image. Without the prop `word`, screen readers ignore the image. */
export function Sign({ state, word }: { state: DisplayState; word?: string }) {
  return (
    <svg
      class={`nbdag-sign nbdag-is-${state}`}
      viewBox="0 0 12 12"
      width="12"
      height="12"
      style={{ color: stateStyle(state).colour }}
      {...accessibility(word)}
    >
      <Strokes state={state} />
    </svg>
  )
}

function accessibility(word: string | undefined) {
  return word === undefined ? ({ 'aria-hidden': true } as const) : ({ role: 'img', 'aria-label': word } as const)
}
