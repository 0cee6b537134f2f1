// One line of a log: its number, its text with colours and matches, and the button of the fold that begins here.
import type { JSX } from 'preact'
import { memo } from 'preact/compat'
import { plain, spans } from './ansi'
import type { Fold } from './folds'
import { placesIn } from './search'

const ERROR = /^(?:[\w.]*(?:Error|Exception|Interrupt|Exit)\b(?:\s*[:(]|$))|\b(?:ERROR|CRITICAL|FATAL)\b/
const WARNING = /\bWARN(?:ING)?\b|^\S*Warning: |: \w*Warning: /

interface Props {
  line: string
  number: number | undefined // undefined while the beginning of the log is unknown
  pattern: RegExp | undefined // the search, if the line matches
  current: boolean // whether the line is the match that is shown
  fold: Fold | undefined // the fold that begins here
  folded: boolean
  onToggle: (() => void) | undefined
}

export const LogRow = memo(LineOfLog, (a, b) => {
  const same = a.line === b.line && a.number === b.number && a.pattern === b.pattern && a.current === b.current
  return same && a.folded === b.folded && a.fold?.note === b.fold?.note
})

function LineOfLog({ line, number, pattern, current, fold, folded, onToggle }: Props) {
  const text = plain(line)
  const level = ERROR.test(text) ? ' nbdag-log-error' : WARNING.test(text) ? ' nbdag-log-warning' : ''
  return (
    <div class={`nbdag-log-row${level}${current ? ' nbdag-log-current' : ''}`}>
      <span class="nbdag-log-number">{number}</span>
      <span class="nbdag-log-text">
        {fold?.label && folded ? <b>{fold.label}</b> : <Text line={line} text={text} pattern={pattern} />}
        {fold ? (
          <button type="button" class="nbdag-log-fold" aria-expanded={!folded} onClick={onToggle}>
            {folded ? `▸ ${fold.note}` : '▾ fold'}
          </button>
        ) : null}
      </span>
    </div>
  )
}

function Text({ line, text, pattern }: { line: string; text: string; pattern: RegExp | undefined }) {
  const places = pattern ? placesIn(text, pattern) : []
  if (!places.length && text === line) return <>{line || ' '}</>
  const parts: JSX.Element[] = []
  let at = 0
  for (const { text: own, style } of spans(line)) {
    const names = style.replace(/\S+/g, 'nbdag-ansi-$&')
    let from = 0
    const add = (to: number, Part: 'span' | 'mark') => {
      const key = `${at + from} ${Part}`
      if (to > from)
        parts.push(
          <Part class={names} key={key}>
            {own.slice(from, to)}
          </Part>,
        )
      from = Math.max(from, to)
    }
    for (const [start, end] of places) {
      if (end <= at || start >= at + own.length) continue
      add(start - at, 'span')
      add(Math.min(own.length, end - at), 'mark')
    }
    add(own.length, 'span')
    at += own.length
  }
  return <>{parts}</>
}
