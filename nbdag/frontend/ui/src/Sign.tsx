// A state's sign: its colour and its shape, so that nobody needs to tell red from green.
import { LOOKS, type Look } from './messages'

const UNKNOWN: Look = { word: '', colour: '#768390', path: 'M6 2a4 4 0 1 1 0 8a4 4 0 1 1 0-8', filled: '' }

export function look(state: string): Look {
  return LOOKS[state] ?? { ...UNKNOWN, word: state }
}

/** The state of a run, in the words of a task's. */
export function ofRun(state: string): string {
  return state === 'cancelled' ? 'removed' : state
}

/** The sign alone, in the colour of what it is part of. What runs is a quarter turn farther each second. */
export function Strokes({ state, turn = 0 }: { state: string; turn?: number }) {
  const { path, filled } = look(state)
  const turned = { class: 'nbdag-turned', style: { '--nbdag-turn': `${Math.floor(turn % 4) * 90}deg` } }
  return (
    <g {...(state === 'running' ? turned : {})}>
      {filled ? <path d={filled} fill="currentColor" /> : null}
      <path class="nbdag-strokes" d={path} />
    </g>
  )
}

export function Sign({ state, word }: { state: string; word?: string }) {
  return (
    <svg
      class={`nbdag-sign nbdag-is-${state}`}
      viewBox="0 0 12 12"
      width="12"
      height="12"
      style={{ color: look(state).colour }}
      {...said(word)}
    >
      <Strokes state={state} />
    </svg>
  )
}

function said(word: string | undefined) {
  return word === undefined ? ({ 'aria-hidden': true } as const) : ({ role: 'img', 'aria-label': word } as const)
}
