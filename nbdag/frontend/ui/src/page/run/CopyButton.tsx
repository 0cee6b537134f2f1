// A button that copies a text, and then shows that the text is copied.
import { useState } from 'preact/hooks'

const SHOWN = 1500 // milliseconds

export function CopyButton({ text, label }: { text: string; label: string }) {
  const [copied, setCopied] = useState(false)
  return (
    <button
      type="button"
      class="pg-icon run-copy"
      aria-label={copied ? 'Copied' : label}
      title={copied ? 'Copied' : label}
      onClick={() => {
        navigator.clipboard?.writeText(text).then(
          () => {
            setCopied(true)
            setTimeout(() => setCopied(false), SHOWN)
          },
          () => {}, // the browser does not allow copying
        )
      }}
    >
      <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
        <path
          d={copied ? 'M3 8.5l3.2 3.2L13 4.5' : 'M5.5 5.5h7v8h-7zM3.5 10.5v-8h7'}
          fill="none"
          stroke="currentColor"
          stroke-width="1.4"
        />
      </svg>
    </button>
  )
}
