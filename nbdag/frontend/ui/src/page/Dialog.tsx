// A modal dialog. The browser keeps the focus inside the dialog. This code returns the focus to the element that had it
// before: the browser does that only for a dialog that is still in the document when it closes.
import type { ComponentChildren } from 'preact'
import { useEffect, useId, useRef } from 'preact/hooks'

interface Props {
  title: ComponentChildren
  wide?: boolean
  onClose: () => void
  children: ComponentChildren
}

export function Dialog({ title, wide = false, onClose, children }: Props) {
  const element = useRef<HTMLDialogElement>(null)
  const id = useId()
  useEffect(() => {
    const dialog = element.current
    const before = document.activeElement
    dialog?.showModal()
    dialog?.querySelector<HTMLElement>('form :is(input, select, textarea), [type=submit]')?.focus()
    return () => {
      dialog?.close()
      if (before instanceof HTMLElement && before.isConnected) before.focus({ preventScroll: true })
    }
  }, [])
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes a dialog in every browser
    <dialog
      ref={element}
      class={`pg-dialog${wide ? ' pg-wide' : ''}`}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault()
        onClose()
      }}
      onClick={(event) => {
        if (event.target === element.current) onClose() // the backdrop
      }}
    >
      <div class="pg-dialog-in">
        <header>
          <h2 id={id}>{title}</h2>
          <button type="button" class="nbdag-close" aria-label="Close" title="Close (Esc)" onClick={onClose}>
            ×
          </button>
        </header>
        {children}
      </div>
    </dialog>
  )
}
