import { render } from 'preact'
import { act } from 'preact/test-utils'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Action, CellPlace } from '../messages'
import { App } from './App'
import { FakeTransport, INITIAL_STATE, node, picture } from './fixtures'
import { TaskActions } from './panel/TaskActions'
import { Store } from './state/store'
import type { Host } from './state/transport'

let root: HTMLElement
beforeEach(() => {
  root = document.createElement('div')
  document.body.append(root)
})
afterEach(() => {
  act(() => render(null, root))
  root.remove()
})

const ACTIONS: Action[] = ['all', 'only', 'upto', 'from', 'retry', 'retry_only', 'load']
const button = (text: string) => [...root.querySelectorAll('button')].find((each) => each.textContent?.includes(text))

function shown(host: Host = {}) {
  const transport = new FakeTransport()
  const drawn = { ...picture([node('a'), node('b', 200)], [['a', 'b']]), parameters: ['n'] }
  const session = { a: { state: 'stale' as const }, b: { state: 'stale' as const } }
  const store = new Store(transport, drawn, { ...structuredClone(INITIAL_STATE), session, actions: ACTIONS })
  act(() => render(<App store={store} host={host} />, root))
  return { transport, store }
}

describe('the form for the parameters of a run', () => {
  it('starts a run with the values that were changed, also by Enter', async () => {
    const { transport } = shown()
    act(() => button('Run with…')?.click())
    expect(transport.sent.at(-1)).toEqual({ kind: 'parameters' })
    act(() =>
      transport.receive({ kind: 'parameters', parameters: { properties: { n: { type: 'integer', default: 5 } } } }),
    )
    const input = root.querySelector<HTMLInputElement>('form input')
    const enter = (text: string) => {
      if (!input) return
      act(() => {
        input.value = text
        input.dispatchEvent(new Event('input', { bubbles: true }))
      })
      act(() => {
        input.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true }))
      })
    }
    enter('many')
    expect(root.querySelector('form')?.textContent).toContain('write a whole number')
    enter('7')
    await vi.waitFor(() =>
      expect(transport.sent.at(-1)).toEqual({ kind: 'action', action: 'all', task: '', run: '', parameters: { n: 7 } }),
    )
    expect(root.querySelector('form')).toBeNull()
  })
})

describe('stale tasks', () => {
  it('are executed by the page, in the order of the answer', async () => {
    const cells: CellPlace[] = [
      { index: 2, id: 'a' },
      { index: 4, id: 'b' },
    ]
    const execute = vi.fn(async () => 'Cell 5 failed.')
    const { transport } = shown({ execute })
    act(() => transport.receive({ kind: 'stale', cells }))
    expect(execute).not.toHaveBeenCalled() // nobody has asked
    act(() => button('Run stale (2)')?.click())
    expect(transport.sent.at(-1)).toEqual({ kind: 'stale' })
    await act(async () => transport.receive({ kind: 'stale', cells }))
    expect(execute.mock.calls).toEqual([[cells]])
    expect(root.querySelector('[role=alert]')?.textContent).toContain('Cell 5 failed.')
  })

  it('are not offered on a page that cannot execute cells', () => {
    shown()
    expect(button('Run stale')).toBeUndefined()
  })
})

describe('the actions on a task of a run', () => {
  const first = (changed: boolean) => {
    const { store } = shown()
    act(() =>
      render(
        <TaskActions store={store} run="r1" task="a" act={() => {}} state="failed" attempted changed={changed} />,
        root,
      ),
    )
    return [root.querySelector('button')?.textContent, root.querySelector('.nbdag-primary')?.textContent]
  }

  it('begin with a run of the new text if the cell has changed', () => {
    expect(first(true)).toEqual(['Run from here', 'Run from here'])
    expect(root.textContent).toContain('The cell has changed since this run.')
  })

  it('begin with a retry otherwise', () => {
    expect(first(false)).toEqual(['Clear and retry', 'Clear and retry'])
  })
})
