import { render } from 'preact'
import { act } from 'preact/test-utils'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Change, Live, live } from './live'
import { Loaded } from './states'
import { clearCache, useResource } from './useResource'

class FakeSource {
  static readonly CONNECTING = 0
  static readonly OPEN = 1
  static readonly CLOSED = 2
  static opened: FakeSource[] = []
  readyState = 0
  onopen = () => {}
  onerror = () => {}
  onmessage = (_: MessageEvent<string>) => {}
  readonly listeners = new Map<string, (event: MessageEvent<string>) => void>()

  constructor(readonly url: string) {
    FakeSource.opened.push(this)
  }

  addEventListener(name: string, call: (event: MessageEvent<string>) => void): void {
    this.listeners.set(name, call)
  }

  close(): void {
    this.readyState = 2
  }

  accept(): void {
    this.readyState = 1
    this.onopen()
  }

  refuse(): void {
    this.readyState = 2
    this.onerror()
  }

  send(change: Change): void {
    this.listeners.get(change.kind)?.(new MessageEvent(change.kind, { data: JSON.stringify(change) }))
  }
}

const source = () => FakeSource.opened.at(-1) as FakeSource

beforeEach(() => {
  FakeSource.opened = []
  vi.stubGlobal('EventSource', FakeSource)
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

describe('the stream of changes', () => {
  function started() {
    vi.useFakeTimers()
    const found = new Live()
    const changes: Change[] = []
    found.onChange((change) => changes.push(change))
    found.start()
    return { found, changes }
  }

  it('is live once it is open, and has subscribers reload what they asked for before', () => {
    const { found, changes } = started()
    expect(found.connection).toBe('connecting')
    source().accept()
    expect(found.connection).toBe('live')
    expect(changes).toEqual([{ kind: 'all', before: expect.any(Number) }])
    source().send({ kind: 'run', dag: 'churn', run: 'a' })
    expect(changes[1]).toEqual({ kind: 'run', dag: 'churn', run: 'a' })
  })

  it('is replaced by polls where the server has none, and tried again', () => {
    const { found, changes } = started()
    source().refuse()
    expect(found.connection).toBe('polling')
    vi.advanceTimersByTime(9000)
    expect(changes.filter(({ kind }) => kind === 'all').length).toBeGreaterThanOrEqual(2)
    expect(FakeSource.opened.length).toBeGreaterThan(1)
    source().accept()
    expect(found.connection).toBe('live')
    const before = changes.length
    vi.advanceTimersByTime(9000)
    expect(changes.length).toBe(before)
  })

  it('ignores events that are not JSON', () => {
    const { changes } = started()
    source().accept()
    source().onmessage(new MessageEvent('message', { data: 'not JSON' }))
    expect(changes.length).toBe(1)
  })
})

describe('a resource', () => {
  let root: HTMLElement
  const answers: (() => Response | Promise<Response>)[] = []
  let asked: string[] = []

  beforeEach(() => {
    clearCache()
    asked = []
    answers.length = 0
    root = document.body.appendChild(document.createElement('div'))
    vi.stubGlobal('fetch', async (address: string) => {
      asked.push(address)
      const answer = answers.length > 1 ? answers.shift() : answers[0]
      return (answer ?? (() => Response.json({ text: 'first' })))()
    })
  })
  afterEach(() => {
    act(() => render(null, root))
    root.remove()
  })

  function View() {
    const found = useResource<{ text: string }>('dags/churn', ({ dag }) => dag === 'churn')
    return <Loaded of={found}>{({ text }) => <p>{text}</p>}</Loaded>
  }

  const shown = async (text: string) =>
    vi.waitFor(() => {
      act(() => {})
      expect(root.textContent).toContain(text)
    })
  // The shared stream reports a change to every component.
  const publish = (change: Change) => (live as unknown as { publish(change: Change): void }).publish(change)

  it('is loaded again after a change that affects it, and shows the old data meanwhile', async () => {
    answers.push(
      () => Response.json({ text: 'first' }),
      () => Response.json({ text: 'second' }),
    )
    act(() => render(<View />, root))
    await shown('first')
    publish({ kind: 'run', dag: 'other' })
    publish({ kind: 'run', dag: 'churn' })
    await shown('second')
    expect(asked).toEqual(['/nbdag/api/dags/churn', '/nbdag/api/dags/churn'])
  })

  it('keeps data that cannot be updated, and says so', async () => {
    answers.push(
      () => Response.json({ text: 'first' }),
      () => Response.json({ detail: 'The database is busy.', code: 'StoreBusyError' }, { status: 500 }),
    )
    act(() => render(<View />, root))
    await shown('first')
    publish({ kind: 'dag', dag: 'churn' })
    await shown('it could not be updated: The database is busy.')
    expect(root.textContent).toContain('first')
  })

  it.each([
    [
      () => Response.json({ detail: 'no DAG churn', next: 'deploy it', code: 'NotDeployedError' }, { status: 404 }),
      'Not found',
    ],
    [() => new Response('', { status: 403 }), 'You are signed out'],
    [() => Promise.reject(new TypeError('network')), 'No connection'],
    [() => new Response('', { status: 502 }), 'No connection'],
  ])('that has no data shows why (%#)', async (answer, title) => {
    answers.push(answer)
    act(() => render(<View />, root))
    await shown(title)
  })
})
