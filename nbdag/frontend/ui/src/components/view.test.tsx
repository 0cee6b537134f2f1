import { render } from 'preact'
import { act } from 'preact/test-utils'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { MimeType, RunSummary } from '../messages'
import { silentConnection } from '../widget/connection'
import { keepPicture, onEdited, toSvg, withImages } from '../widget/saved'
import { App } from './App'
import { FakeTransport, INITIAL_STATE, node, picture } from './fixtures'
import { Outputs, page } from './panel/Outputs'
import { Store } from './state/store'
import type { ConnectionStatus } from './state/transport'

let root: HTMLElement
beforeEach(() => {
  root = document.createElement('div')
  document.body.append(root)
})
afterEach(() => {
  act(() => render(null, root))
  root.remove()
})

function shown() {
  const transport = new FakeTransport()
  const store = new Store(transport, picture([node('a'), node('b', 200)], [['a', 'b']]), structuredClone(INITIAL_STATE))
  act(() => render(<App store={store} host={{}} />, root))
  return { transport, store }
}

const RUN: RunSummary = { id: 'r1', state: 'running', created: 1, started: 1, ended: null, partial: false, error: '' }
const progress = () => root.querySelector('.nbdag-progress')?.textContent
const box = (id: string) => root.querySelector<SVGElement>(`[data-id="${id}"]`)
const button = (text: string) => [...root.querySelectorAll('button')].find((each) => each.textContent?.includes(text))

describe('the app', () => {
  it('draws a box for each task, labelled with its status', () => {
    const { transport } = shown()
    expect(box('b')?.getAttribute('aria-label')).toBe('b, not run, follows a')
    act(() =>
      transport.receive({
        kind: 'change',
        number: 1,
        run: '',
        tasks: { b: { state: 'success', duration: 2 } },
        summary: null,
      }),
    )
    expect(box('b')?.dataset.state).toBe('success')
    expect(box('b')?.getAttribute('aria-label')).toBe('b, done, 2.0 s, follows a')
  })

  it('draws text only in boxes in view, and labels all boxes for screen readers', () => {
    const transport = new FakeTransport()
    const store = new Store(transport, picture([node('a'), node('far', 4000)]), structuredClone(INITIAL_STATE))
    act(() => render(<App store={store} host={{}} />, root))
    expect(box('a')?.textContent).toContain('a')
    expect(box('far')?.textContent).toBe('')
    expect(box('far')?.getAttribute('aria-label')).toBe('far, not run')
  })

  it('redraws only the box of a changed task', () => {
    const { transport } = shown()
    const other = box('a')?.outerHTML
    act(() =>
      transport.receive({ kind: 'change', number: 1, run: '', tasks: { b: { state: 'failed' } }, summary: null }),
    )
    expect(box('a')?.outerHTML).toBe(other)
    expect(transport.sent).toEqual([{ kind: 'hello', number: 0 }])
  })

  it('offers only the actions of the kernel', () => {
    shown()
    expect(button('Run all')).toBeDefined()
    expect(button('Deploy')).toBeUndefined()
    expect(button('Cancel')).toBeUndefined()
  })

  it('starts a run, shows it, and can cancel it', async () => {
    const { transport } = shown()
    await act(async () => button('Run all')?.click())
    expect(transport.sent.at(-1)).toEqual({ kind: 'action', action: 'all', task: '', run: '' })
    const summary: RunSummary = {
      id: 'r1',
      state: 'running',
      created: 1,
      started: 1,
      ended: null,
      partial: false,
      error: '',
    }
    act(() => transport.receive({ kind: 'change', number: 1, run: 'r1', tasks: { a: { state: 'running' } }, summary }))
    expect(box('a')?.dataset.state).toBe('running')
    act(() => button('Cancel')?.click())
    expect(transport.sent.at(-1)).toEqual({ kind: 'action', action: 'cancel', task: '', run: 'r1' })
  })

  it('reports the start of a run until the run begins', async () => {
    const transport = new FakeTransport()
    let saved = () => {}
    const save = () =>
      new Promise<void>((done) => {
        saved = done
      })
    const store = new Store(transport, picture([node('a')]), structuredClone(INITIAL_STATE))
    act(() => render(<App store={store} host={{ save }} />, root))
    await act(async () => button('Run all')?.click())
    expect(progress()).toBe('Saving the notebook…')
    await act(async () => saved())
    expect(progress()).toBe('Starting the run…')
    expect(button('Run all')?.disabled).toBe(true)
    act(() => transport.receive({ kind: 'change', number: 1, run: 'r1', tasks: {}, summary: RUN }))
    expect(progress()).toBeUndefined()
    expect(button('Run all')?.disabled).toBe(false)
  })

  it('reports the start of a run until an error ends it', async () => {
    const { transport } = shown()
    await act(async () => button('Run all')?.click())
    act(() => transport.receive({ kind: 'notice', level: 'error', text: 'no notebook' }))
    expect(progress()).toBeUndefined()
    expect(root.querySelector('.nbdag-error')?.textContent).toContain('no notebook')
  })

  it('reports a cancellation until the run has ended', async () => {
    const { transport } = shown()
    act(() => transport.receive({ kind: 'change', number: 1, run: 'r1', tasks: {}, summary: RUN }))
    await act(async () => button('Cancel')?.click())
    expect(progress()).toBe('Cancelling the run…')
    act(() =>
      transport.receive({ kind: 'change', number: 2, run: 'r1', tasks: { a: { state: 'failed' } }, summary: null }),
    )
    expect(progress()).toBe('Cancelling the run…')
    const summary: RunSummary = { ...RUN, state: 'cancelled', ended: 2 }
    act(() => transport.receive({ kind: 'change', number: 3, run: 'r1', tasks: {}, summary }))
    expect(progress()).toBeUndefined()
  })

  it('disables its actions and offers a remedy without a connection', async () => {
    let status: ConnectionStatus = { open: true, busy: true, text: '' }
    const listeners = new Set<() => void>()
    const apply = vi.fn(async () => 'It failed.')
    const connection = {
      status: () => status,
      listen: (call: () => void) => {
        listeners.add(call)
        return () => listeners.delete(call)
      },
    }
    const transport = Object.assign(new FakeTransport(), { connection })
    const store = new Store(transport, picture([node('a')]), structuredClone(INITIAL_STATE))
    act(() => render(<App store={store} host={{}} />, root))
    await act(async () => button('Run all')?.click())
    expect(progress()).toContain('The kernel executes a cell')
    status = {
      open: false,
      busy: false,
      text: 'The kernel was restarted.',
      remedy: { label: 'Again', title: '', apply },
    }
    act(() => {
      for (const call of listeners) call()
    })
    expect(progress()).toBeUndefined()
    expect(root.querySelector('[role=alert]')?.textContent).toContain('The kernel was restarted.')
    expect(button('Run all')?.disabled).toBe(true)
    await act(async () => button('Again')?.click())
    await vi.waitFor(() => expect(root.querySelector('[role=alert]')?.textContent).toContain('It failed.'))
  })

  it('leaves no listeners after it is removed', () => {
    const { store } = shown()
    expect(store.listeners).toBeGreaterThan(0)
    act(() => render(null, root))
    expect(store.listeners).toBe(0)
  })
})

describe('an app that stays open', () => {
  it('leaks no listeners or timers over many runs', async () => {
    vi.useFakeTimers()
    const { transport, store } = shown()
    const press = (text: string) => act(() => button(text)?.click())
    const minute = (n: number) => {
      const summary: RunSummary = {
        id: `r${n}`,
        state: 'running',
        created: n,
        started: n,
        ended: null,
        partial: false,
        error: '',
      }
      act(() =>
        transport.receive({ kind: 'change', number: n, run: summary.id, tasks: { a: { state: 'running' } }, summary }),
      )
      act(() => void box('b')?.dispatchEvent(new MouseEvent('click', { bubbles: true })))
      act(() => void vi.advanceTimersByTime(2000))
      for (const face of ['Timeline', 'Grid', 'Graph']) press(face)
      const ended: RunSummary = { ...summary, state: 'success', ended: n + 60 }
      act(() =>
        transport.receive({
          kind: 'change',
          number: n,
          run: summary.id,
          tasks: { a: { state: 'success' } },
          summary: ended,
        }),
      )
      press('×')
      press('Dismiss')
      const elsewhere = document.createElement('div')
      act(() => render(<App store={store} host={{}} />, elsewhere))
      act(() => render(null, elsewhere))
    }
    minute(1)
    const [listeners, timers] = [store.listeners, vi.getTimerCount()]
    for (let n = 2; n <= 25; n += 1) minute(n)
    expect([store.listeners, vi.getTimerCount()]).toEqual([listeners, timers])
    act(() => render(null, root))
    expect([store.listeners, vi.getTimerCount()]).toEqual([0, 0])
    vi.useRealTimers()
  }, 30_000)
})

describe('an output', () => {
  it('is in a frame without scripts if it is HTML', () => {
    act(() => render(<Outputs outputs={[{ mime: 'text/html', data: '<script>x</script>' }]} label="x" />, root))
    expect(root.querySelector('script')).toBeNull()
    expect(root.querySelector('iframe')?.getAttribute('sandbox')).toBe('allow-same-origin')
    expect(page('<b>', 'red', 'dark')).toContain("default-src 'none'")
  })

  it.each(['text/plain', 'text/markdown', 'text/x-error', 'application/javascript'])(
    'is text if its type is %s',
    (mime) => {
      act(() =>
        render(<Outputs outputs={[{ mime: mime as MimeType, data: '<img src=x onerror=y>' }]} label="x" />, root),
      )
      expect(root.querySelector('img')).toBeNull()
      expect(root.textContent).toBe('<img src=x onerror=y>')
    },
  )
})

describe('the saved picture', () => {
  const view = { 'application/vnd.jupyter.widget-view+json': { model_id: 'm' }, 'text/plain': 'as text' }

  it('replaces only outputs with the widget', () => {
    const others = [{ outputs: [{ data: { 'text/plain': '1' } }] }, {}]
    const written = withImages({ cells: [{ outputs: [{ data: view }] }, ...others] }, new Map([['m', () => '<svg/>']]))
    expect(written.cells?.[0]?.outputs).toEqual([
      { data: { 'image/svg+xml': '<svg/>', 'text/plain': 'as text' }, metadata: { nbdag: 'm' } },
    ])
    expect(written.cells?.slice(1)).toEqual(others)
  })

  it('is replaced by the widget when reopened, and remains after it is closed', () => {
    const changed: unknown[] = []
    const output = {
      data: { 'image/svg+xml': '' },
      metadata: { nbdag: 'm' },
      setData: (to: unknown) => changed.push(to),
    }
    const outputs = { length: 1, get: () => output }
    const notebook = {
      cells: { length: 1, get: () => ({ outputs }) },
      toJSON: () => ({ cells: [{ outputs: [{ data: view }] }] }),
    }
    const store = new Store(new FakeTransport(), picture([node('a')]), structuredClone(INITIAL_STATE))
    const context = { model: notebook, save: async () => {} }
    keepPicture(context, 'other', store)
    expect(changed).toEqual([])
    const stop = keepPicture(context, 'm', store)
    expect(changed.length).toBe(1)
    stop()
    expect(JSON.stringify(notebook.toJSON())).toContain('>a</text>')
  })

  it('escapes names', () => {
    const svg = toSvg(picture([node('<script>"&')]), () => ({ state: 'none' }))
    expect(svg).not.toContain('<script>')
    expect(svg).toContain('&#60;script&#62;&#34;&#38;')
  })
})

describe('edits of the notebook', () => {
  it('are reported once the user pauses, and only for cells that differ', () => {
    vi.useFakeTimers()
    const sources = ['x = 1', 'y = x']
    let changed = () => {}
    const cell = (n: number) => ({ id: `c${n}`, type: 'code', sharedModel: { getSource: () => sources[n] ?? '' } })
    const contentChanged = {
      connect: (call: (sender: unknown, value: unknown) => void) => {
        changed = () => call(undefined, undefined)
      },
      disconnect: vi.fn(),
    }
    const model = { toJSON: () => ({}), cells: { length: 2, get: cell }, dirty: false, contentChanged }
    const call = vi.fn()
    const stop = onEdited({ model, save: async () => {} }, call)
    changed()
    vi.advanceTimersByTime(1000)
    expect(call).not.toHaveBeenCalled()
    sources[1] = 'y = x + 1'
    changed()
    vi.advanceTimersByTime(200)
    changed()
    vi.advanceTimersByTime(399)
    expect(call).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1)
    expect(call.mock.calls).toEqual([[{ c1: 'y = x + 1' }]])
    changed()
    stop()
    expect(vi.getTimerCount()).toBe(0)
    expect(contentChanged.disconnect).toHaveBeenCalled()
    vi.useRealTimers()
  })
})

describe('the connection on a page that reports nothing', () => {
  it('is open until a request cannot be sent', () => {
    const { connection, fail } = silentConnection()
    const call = vi.fn()
    const stop = connection.listen(call)
    expect(connection.status().open).toBe(true)
    fail()
    fail()
    expect(connection.status()).toMatchObject({ open: false, text: expect.stringContaining('execute %dag again') })
    expect(call).toHaveBeenCalledTimes(1)
    stop()
  })
})
