// A notice for the user, with a button to show the run that it is about.
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
