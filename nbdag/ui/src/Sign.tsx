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

export function Strokes({ state }: { state: string }) {
  const { colour, path, filled } = look(state)
  return (
    <>
      {filled ? <path d={filled} fill={colour} /> : null}
      <path class="nbdag-strokes" d={path} stroke={colour} />
    </>
  )
}

export function Sign({ state, word }: { state: string; word?: string }) {
  return (
    <svg class={`nbdag-sign nbdag-is-${state}`} viewBox="0 0 12 12" width="12" height="12" {...said(word)}>
      <Strokes state={state} />
    </svg>
  )
}

function said(word: string | undefined) {
  return word === undefined ? ({ 'aria-hidden': true } as const) : ({ role: 'img', 'aria-label': word } as const)
}
