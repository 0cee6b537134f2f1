// The toolbar of a log: search, wrapping, following, download.
import type { RefObject } from 'preact'

interface Props {
  field: RefObject<HTMLInputElement | null>
  query: string
  onQuery: (query: string) => void
  position: string // which match is shown, in words; '' without a search
  found: boolean // whether any line matches
  onShow: (direction: 1 | -1) => void
  onlyMatches: boolean
  onOnlyMatches: (only: boolean) => void
  follows: boolean | undefined // undefined if nothing more will be written
  onFollow: (follows: boolean) => void
  wraps: boolean
  onWrap: (wraps: boolean) => void
  address: string // address of the whole log; '' if there is no log yet
}

export function LogBar(props: Props) {
  const { field, query, onQuery, position, found, onShow, onlyMatches, onOnlyMatches, wraps, onWrap, address } = props
  const { follows, onFollow } = props
  return (
    <div class="nbdag-log-bar" role="toolbar" aria-label="Log">
      <input
        ref={field}
        type="search"
        placeholder="Search the log"
        aria-label="Search the log"
        title="Text, or /regular expression/. Enter shows the next match, Shift+Enter the previous one"
        value={query}
        onInput={(event) => onQuery(event.currentTarget.value)}
        onKeyDown={(event) => {
          event.stopPropagation()
          if (event.key === 'Enter') onShow(event.shiftKey ? -1 : 1)
          if (event.key === 'Escape') onQuery('')
        }}
      />
      {position ? (
        <>
          <span class="nbdag-muted nbdag-log-count" role="status">
            {position}
          </span>
          <button type="button" aria-label="Previous match" disabled={!found} onClick={() => onShow(-1)}>
            ↑
          </button>
          <button type="button" aria-label="Next match" disabled={!found} onClick={() => onShow(1)}>
            ↓
          </button>
          <button type="button" aria-pressed={onlyMatches} onClick={() => onOnlyMatches(!onlyMatches)}>
            Only matches
          </button>
        </>
      ) : null}
      <span class="nbdag-spacer" />
      {follows === undefined ? null : (
        <button
          type="button"
          aria-pressed={follows}
          title="Stay at the end while lines are written"
          onClick={() => onFollow(!follows)}
        >
          <i class="nbdag-log-live" aria-hidden="true" /> Follow
        </button>
      )}
      <button type="button" aria-pressed={wraps} title="Break long lines" onClick={() => onWrap(!wraps)}>
        Wrap
      </button>
      {address ? (
        <a class="nbdag-log-download" href={address} download title="Download the whole log">
          Download
        </a>
      ) : null}
    </div>
  )
}
