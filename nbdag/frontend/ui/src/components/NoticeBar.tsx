// A notice for the user, with a button that shows the notice's run. Also the progress of an action.
import { useConnection } from './state/hooks'
import type { Store } from './state/store'
import type { Pending } from './state/useActions'
import type { Notice } from './state/useRun'

interface Props {
  notice: Notice
  onRun: (run: string) => void
  onClose: () => void
}

export function NoticeBar({ notice, onRun, onClose }: Props) {
  const { level, text, run } = notice
  return (
    <div class={`nbdag-notice nbdag-${level}`} role={level === 'error' ? 'alert' : 'status'}>
      <span>{text}</span>
      {run === undefined ? null : (
        <button
          type="button"
          onClick={() => {
            onRun(run)
            onClose()
          }}
        >
          Show it
        </button>
      )}
      <button type="button" class="nbdag-close" aria-label="Dismiss" onClick={onClose}>
        ×
      </button>
    </div>
  )
}

/** Show the progress of an action until its first visible effect. */
export function ProgressBar({ store, pending }: { store: Store; pending: Pending | undefined }) {
  const { open, busy } = useConnection(store)
  if (!pending || !open) return null
  return (
    <div class="nbdag-notice nbdag-info nbdag-progress" role="status">
      <span>
        {pending.text}
        {busy ? ' The kernel executes a cell and answers after it.' : ''}
      </span>
    </div>
  )
}
