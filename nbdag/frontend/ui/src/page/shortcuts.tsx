// Keyboard shortcuts. A view registers the keys that it offers; "?" lists the keys of the current view.
import { useEffect, useReducer, useRef } from 'preact/hooks'
import { Dialog } from './Dialog'

export interface Shortcut {
  keys: string // one key, such as "/", or two in sequence, such as "g p"
  label: string
  run?: () => void // without it, the focused element handles the keys, and the list only describes them
  when?: () => boolean // whether the view offers the shortcut now; without it, always
}

/** The keys that a graph handles, for the list of shortcuts. */
export const GRAPH_KEYS: readonly Shortcut[] = [
  { keys: '← ↑ → ↓', label: 'Next box in this direction' },
  { keys: 'Enter', label: 'Show the task beside the graph' },
  { keys: 'Escape', label: 'Close the task' },
  { keys: '+ -', label: 'Zoom in or out' },
  { keys: '0', label: 'Fit the graph' },
]
const SEQUENCE = 1200 // milliseconds in which the second key must follow
const groups = new Map<object, { title: string; shortcuts: readonly Shortcut[] }>()
const watchers = new Set<() => void>()

/** Offer shortcuts while the component is shown. If two components offer the same keys, the later one wins. */
export function useShortcuts(title: string, shortcuts: readonly Shortcut[]): void {
  const latest = useRef(shortcuts)
  latest.current = shortcuts
  const keys = shortcuts.map((each) => each.keys).join('\n')
  useEffect(() => {
    const group = {}
    groups.set(group, {
      title,
      get shortcuts() {
        return latest.current
      },
    })
    for (const call of watchers) call()
    return () => {
      groups.delete(group)
      for (const call of watchers) call()
    }
  }, [title, keys])
}

function isOffered({ when }: Shortcut): boolean {
  return when?.() ?? true
}

/** Return the shortcuts that the page handles. */
function handled(): Shortcut[] {
  return [...groups.values()].flatMap((each) => each.shortcuts).filter((each) => each.run && isOffered(each))
}

function find(keys: string): Shortcut | undefined {
  return handled().findLast((each) => each.keys === keys)
}

function begins(key: string): boolean {
  return handled().some((each) => each.keys.startsWith(`${key} `))
}

/** Return whether keys belong to the element, because it takes text or a choice. */
function takesText(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false
  if (target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement)
    return true
  return target instanceof HTMLInputElement && !['checkbox', 'radio', 'button', 'range'].includes(target.type)
}

/** Handle the keys of the whole page. The returned function ends this. */
export function listenForKeys(): () => void {
  let first = ''
  let at = 0
  const onKey = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return
    if (takesText(event.target) || document.querySelector('dialog[open]')) return
    const sequence = first && performance.now() - at < SEQUENCE ? `${first} ${event.key}` : ''
    const found = (sequence && find(sequence)) || find(event.key)
    first = ''
    if (found) {
      event.preventDefault()
      found.run?.()
    } else if (begins(event.key)) {
      first = event.key
      at = performance.now()
    }
  }
  document.addEventListener('keydown', onKey)
  return () => document.removeEventListener('keydown', onKey)
}

/** The list of all shortcuts that hold at the moment. */
export function ShortcutHelp({ onClose }: { onClose: () => void }) {
  const [, redraw] = useReducer((count: number) => count + 1, 0)
  useEffect(() => {
    const call = () => redraw(undefined)
    watchers.add(call)
    return () => {
      watchers.delete(call)
    }
  }, [])
  const sections = new Map<string, Shortcut[]>()
  for (const { title, shortcuts } of groups.values()) {
    const offered = shortcuts.filter(isOffered)
    if (offered.length) sections.set(title, [...(sections.get(title) ?? []), ...offered])
  }
  return (
    <Dialog title="Keyboard shortcuts" onClose={onClose}>
      {[...sections].map(([title, shortcuts]) => (
        <section key={title} class="pg-keys">
          <h3>{title}</h3>
          <dl>
            {shortcuts.map((each) => (
              <div key={each.keys}>
                <dt>
                  {each.keys.split(' ').map((key) => (
                    <kbd key={key}>{key === 'Escape' ? 'Esc' : key}</kbd>
                  ))}
                </dt>
                <dd>{each.label}</dd>
              </div>
            ))}
          </dl>
        </section>
      ))}
    </Dialog>
  )
}
