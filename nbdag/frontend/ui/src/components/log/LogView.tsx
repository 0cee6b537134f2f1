// The log of an attempt: live, searchable, folded. Only the lines in view are in the document.
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import { bytes } from '../format'
import { equalHeights, type Heights, useVisible, variedHeights } from '../virtual'
import { type Fold, findFolds } from './folds'
import { LogBar } from './LogBar'
import { LogRow } from './LogRow'
import { rowOf, visibleLines, wrappedRows } from './rows'
import { patternOf, useMatches } from './search'
import { type LoadedLog, type LogSource, useLog } from './useLog'

const ROW = 18 // height of a line in pixels
const AT_END = 24 // a view at most this many pixels above the end counts as at the end
const PROBE = 100 // characters whose width is measured

interface Props {
  source: LogSource
  live: boolean // whether the attempt is running
  label: string
}

export function LogView({ source, live, label }: Props) {
  const log = useLog(source, live)
  const { lines, before } = log
  const [query, setQuery] = useState('')
  const [onlyMatches, setOnlyMatches] = useState(false)
  const [wraps, setWraps] = useState(true)
  const [unfolded, setUnfolded] = useState<ReadonlySet<number>>(NONE) // `first - before` of each opened fold
  const [follows, setFollows] = useState(true)
  const [frame, setFrame] = useState<HTMLDivElement | null>(null)
  const field = useRef<HTMLInputElement>(null)
  const columns = useColumns(frame)

  const pattern = useMemo(() => patternOf(query), [query])
  const { matches, searching } = useMatches(lines, pattern)
  const matching = useMemo(() => new Set(matches), [matches])
  const [current, setCurrent] = useState(-1) // index in `matches`
  const filtered = onlyMatches && pattern !== undefined

  const folds = useMemo(() => findFolds(lines), [lines])
  const folded = useMemo(() => {
    const sorted = Int32Array.from(matches)
    const holdsMatch = ({ first, end }: Fold) => {
      const next = sorted[rowOf(sorted, first + 1)]
      return next !== undefined && next > first && next < end
    }
    return folds.filter((fold) => !unfolded.has(fold.first - before) && !holdsMatch(fold))
  }, [folds, unfolded, before, matches])
  // With this key, a search that opens no fold does not compute the rows again.
  const foldedKey = useMemo(() => folded.map(({ first }) => first).join(), [folded])
  const rows = useMemo(
    () => (filtered ? Int32Array.from(matches) : visibleLines(lines.length, folded)),
    [lines, foldedKey, filtered, filtered && matches],
  )
  const foldAt = useMemo(() => new Map(folds.map((fold) => [fold.first, fold])), [folds])
  const isFolded = useMemo(() => new Set(folded.map(({ first }) => first)), [folded])
  const heights = useMemo<Heights>(() => {
    if (!wraps || !columns) return equalHeights(rows.length, ROW)
    return variedHeights(rows.length, (row) => ROW * wrappedRows(lines[rows[row] ?? 0] ?? '', columns))
  }, [rows, wraps, columns, lines])
  const visible = useVisible(frame, heights)

  // Stay at the end while lines are added there; keep the lines in view in place while lines are added above.
  const drawnBefore = useRef({ before: 0, total: 0 })
  useLayoutEffect(() => {
    const [added, grown] = [before - drawnBefore.current.before, heights.total - drawnBefore.current.total]
    drawnBefore.current = { before, total: heights.total }
    if (!frame) return
    if (follows) frame.scrollTop = frame.scrollHeight
    else if (added > 0) frame.scrollTop += grown
  }, [frame, heights, before, follows])

  const show = useCallback(
    (match: number) => {
      if (!matches.length) return
      const n = (match + matches.length) % matches.length
      setCurrent(n)
      setFollows(false)
      visible.reveal(rowOf(rows, matches[n] ?? 0))
    },
    [matches, visible.reveal, rows],
  )
  // After a new search, show the first match at or below the first line in view.
  const answered = useRef<RegExp | undefined>(undefined)
  useEffect(() => {
    if (answered.current === pattern || (pattern && !matches.length)) return
    answered.current = pattern
    setCurrent(-1)
    const top = rows[visible.first] ?? 0
    if (pattern)
      show(
        Math.max(
          0,
          matches.findIndex((line) => line >= top),
        ),
      )
  }, [pattern, matches])

  function toggle(key: number): void {
    setFollows(false)
    setUnfolded((all) => (all.has(key) ? new Set([...all].filter((each) => each !== key)) : new Set([...all, key])))
  }

  const drawn = []
  for (let row = visible.first; row < Math.min(visible.last, rows.length); row++) {
    const n = rows[row] ?? 0
    const fold = filtered ? undefined : foldAt.get(n)
    drawn.push(
      <LogRow
        key={n - before}
        line={lines[n] ?? ''}
        number={log.complete ? n + 1 : undefined}
        pattern={matching.has(n) ? pattern : undefined}
        current={n === matches[current]}
        fold={fold}
        folded={isFolded.has(n)}
        onToggle={() => toggle(n - before)}
      />,
    )
  }

  const count = (number: number) => number.toLocaleString('en')
  const position = searching
    ? 'searching…'
    : matches.length
      ? `${count(current + 1)} of ${count(matches.length)}`
      : 'no match'
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the keys of the search work from any element in it
    <div
      class="nbdag-log"
      onKeyDown={(event) => {
        if ((event.ctrlKey || event.metaKey) && event.key === 'f') {
          event.preventDefault() // the browser's own search finds only the lines in view
          field.current?.focus()
          field.current?.select()
        }
      }}
    >
      <LogBar
        field={field}
        query={query}
        onQuery={setQuery}
        position={pattern ? position : ''}
        found={matches.length > 0}
        onShow={(direction) => show(current + direction)}
        onlyMatches={onlyMatches}
        onOnlyMatches={setOnlyMatches}
        follows={live && lines.length ? follows : undefined}
        onFollow={setFollows}
        wraps={wraps}
        onWrap={setWraps}
        address={log.opened ? source.address : ''}
      />
      {lines.length ? (
        <div
          ref={setFrame}
          class={`nbdag-log-lines${wraps ? ' nbdag-log-wraps' : ''}`}
          style={{
            '--nbdag-digits': `${Math.max(3, String(lines.length).length)}ch`,
            '--nbdag-log-height': `${heights.total + 16}px`,
          }}
          role="region"
          aria-label={label}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard
          tabIndex={0}
          onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) =>
            setFollows(scrollHeight - scrollTop - clientHeight < AT_END)
          }
        >
          <span class="nbdag-log-probe" aria-hidden="true">
            {'0'.repeat(PROBE)}
          </span>
          <div class="nbdag-log-space" style={{ height: `${visible.height}px` }}>
            <div class="nbdag-log-window" style={{ transform: `translateY(${visible.top}px)` }}>
              {drawn}
            </div>
          </div>
        </div>
      ) : (
        <Absent log={log} live={live} />
      )}
      {log.opened ? <Foot log={log} /> : null}
    </div>
  )
}

const NONE: ReadonlySet<number> = new Set()

function Absent({ log, live }: { log: LoadedLog; live: boolean }) {
  if (log.error) {
    return (
      <p class="nbdag-empty" role="alert">
        {log.error.message}{' '}
        <button type="button" onClick={log.retry}>
          Try again
        </button>
      </p>
    )
  }
  const missing = log.opened ? 'The log is empty.' : 'This attempt has no log.'
  return (
    <p class="nbdag-empty" role="status">
      {live ? 'Nothing has been written yet.' : log.loading ? 'Loading the log…' : missing}
    </p>
  )
}

function Foot({ log }: { log: LoadedLog }) {
  const count = log.lines.length.toLocaleString('en')
  const lines = log.complete
    ? `${count} line${log.lines.length === 1 ? '' : 's'}`
    : log.loading
      ? 'loading earlier lines…'
      : `the last ${count} lines; download the log for the rest`
  return (
    <div class="nbdag-log-foot">
      <span>
        {lines}, {bytes(log.size)}
      </span>
      {log.error ? (
        <span role="alert">
          {log.error.message}{' '}
          <button type="button" class="nbdag-link" onClick={log.retry}>
            Try again
          </button>
        </span>
      ) : null}
    </div>
  )
}

/** Return how many characters fit into a line, or 0 before they are measured. */
function useColumns(frame: HTMLElement | null): number {
  const [columns, setColumns] = useState(0)
  useLayoutEffect(() => {
    if (!frame) return
    const measure = () => {
      const width = (frame.querySelector<HTMLElement>('.nbdag-log-probe')?.getBoundingClientRect().width ?? 0) / PROBE
      const text = frame.querySelector<HTMLElement>('.nbdag-log-text')
      const padding = text ? Number.parseFloat(getComputedStyle(text).paddingRight) || 0 : 0
      const room = (text?.parentElement?.clientWidth ?? 0) - (text?.offsetLeft ?? 0) - padding
      setColumns(width > 0 ? Math.max(20, Math.floor(room / width)) : 0)
    }
    measure()
    const observer = new ResizeObserver(measure)
    observer.observe(frame)
    return () => observer.disconnect()
  }, [frame])
  return columns
}
