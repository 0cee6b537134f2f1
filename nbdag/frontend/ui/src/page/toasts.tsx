// Short notes about what an action has done. An error stays until it is closed.
import type { ComponentChildren } from 'preact'
import { useEffect, useReducer } from 'preact/hooks'

interface Toast {
  id: number
  level: 'info' | 'error'
  text: ComponentChildren
}

const SHOWN = 7000 // milliseconds for which a note is shown, unless it is an error
let toasts: readonly Toast[] = []
let count = 0
const watchers = new Set<() => void>()

function change(to: readonly Toast[]): void {
  toasts = to
  for (const call of watchers) call()
}

function close(id: number): void {
  change(toasts.filter((each) => each.id !== id))
}

/** Show a note. */
export function notify(text: ComponentChildren, level: Toast['level'] = 'info'): void {
  const id = ++count
  change([...toasts.slice(-3), { id, level, text }])
  if (level === 'info') setTimeout(() => close(id), SHOWN)
}

/** Show the sentence of an error, which contains the next step. */
export function notifyError(error: unknown): void {
  notify(error instanceof Error ? error.message : String(error), 'error')
}

export function Toasts() {
  const [, redraw] = useReducer((n: number) => n + 1, 0)
  useEffect(() => {
    const call = () => redraw(undefined)
    watchers.add(call)
    return () => {
      watchers.delete(call)
    }
  }, [])
  return (
    <div class="pg-toasts" role="status" aria-live="polite">
      {toasts.map((each) => (
        <div key={each.id} class={`pg-toast pg-${each.level}`} role={each.level === 'error' ? 'alert' : undefined}>
          <span>{each.text}</span>
          <button type="button" class="nbdag-close" aria-label="Close" onClick={() => close(each.id)}>
            ×
          </button>
        </div>
      ))}
    </div>
  )
}
