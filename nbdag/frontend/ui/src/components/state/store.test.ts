import { describe, expect, it, vi } from 'vitest'
import type { DisplayState, RunSummary } from '../../messages'
import { FakeTransport, INITIAL_STATE, node, picture } from '../fixtures'
import { RUNS, Store, taskTopic } from './store'

const RUN: RunSummary = { id: 'r1', state: 'running', created: 1, started: 1, ended: null, partial: false, error: '' }

function opened() {
  const transport = new FakeTransport()
  return { transport, store: new Store(transport, picture([node('a'), node('b')]), structuredClone(INITIAL_STATE)) }
}

describe('the store', () => {
  it('asks for missed changes when it opens', () => {
    expect(opened().transport.sent).toEqual([{ kind: 'hello', number: 0 }])
  })

  it('notifies only the subscribers of a changed task', () => {
    const { transport, store } = opened()
    const [a, b, other] = [vi.fn(), vi.fn(), vi.fn()]
    store.subscribe(taskTopic('', 'a'), a)
    store.subscribe(taskTopic('', 'b'), b)
    store.subscribe(taskTopic('r1', 'a'), other)
    transport.receive({ kind: 'change', number: 1, run: '', tasks: { a: { state: 'running' } }, summary: null })
    expect([a.mock.calls.length, b.mock.calls.length, other.mock.calls.length]).toEqual([1, 0, 0])
    expect(store.status('', 'a').state).toBe('running')
  })

  it('adds each run that begins, and keeps twenty', () => {
    const { transport, store } = opened()
    for (let n = 1; n <= 25; n += 1) {
      transport.receive({
        kind: 'change',
        number: n,
        run: `r${n}`,
        tasks: { a: { state: 'queued' } },
        summary: { ...RUN, id: `r${n}`, created: n },
      })
    }
    expect(store.newestRun).toBe('r25')
    expect(store.runs.length).toBe(20)
    expect(store.status('r1', 'a').state).toBe('none')
    store.load('r25')
    expect(transport.sent.length).toBe(1)
  })

  it('notices a run that has ended before its first change arrives', () => {
    const { transport, store } = opened()
    const change = (run: RunSummary) =>
      transport.receive({ kind: 'change', number: 1, run: run.id, tasks: {}, summary: run })
    change({ ...RUN, created: 5, state: 'success', ended: 6 })
    expect(store.newestRun).toBe('r1')
    transport.receive({ kind: 'run', summary: { ...RUN, id: 'old', created: 2, state: 'failed' }, tasks: {} })
    expect(store.newestRun).toBe('r1')
  })

  it('forgets runs that are neither listed nor shown', () => {
    const { transport, store } = opened()
    const stop = store.subscribe(taskTopic('r3', 'a'), vi.fn())
    for (let n = 1; n <= 3000; n += 1) {
      const summary = { ...RUN, id: `r${n}`, created: n }
      transport.receive({ kind: 'change', number: n, run: summary.id, tasks: { a: { state: 'running' } }, summary })
      transport.receive({
        kind: 'change',
        number: n,
        run: summary.id,
        tasks: { a: { state: 'success' } },
        summary: null,
      })
    }
    const kept = store as unknown as {
      statuses: Map<string, unknown>
      loaded: Set<string>
      subscribers: Map<string, unknown>
    }
    expect([...kept.statuses.keys()].filter((id) => !store.run(id))).toEqual(['', 'r3'])
    expect(kept.loaded.size).toBeLessThanOrEqual(21)
    expect(store.status('r3', 'a').state).toBe('success')
    stop()
    expect(kept.subscribers.size).toBe(0)
  })

  it('requests an unknown run once', () => {
    const { transport, store } = opened()
    store.load('old')
    store.load('old')
    expect(transport.sent.slice(1)).toEqual([{ kind: 'run', run: 'old' }])
  })

  it('gives a chain the state with the highest precedence', () => {
    const { transport, store } = opened()
    const change = (a: DisplayState, b: DisplayState) =>
      transport.receive({
        kind: 'change',
        number: 1,
        run: '',
        tasks: { a: { state: a, duration: 1 }, b: { state: b, duration: 2 } },
        summary: null,
      })
    change('success', 'failed')
    expect(store.combinedStatus('', ['a', 'b'])).toMatchObject({ state: 'failed', count: 2, ended: 1, duration: 3 })
    change('success', 'skipped')
    expect(store.combinedStatus('', ['a', 'b']).state).toBe('success')
  })

  it('replaces its state after a reset', () => {
    const { transport, store } = opened()
    const call = vi.fn()
    store.subscribe(taskTopic('', 'a'), call)
    transport.receive({ kind: 'reset', state: { ...INITIAL_STATE, number: 9, session: { a: { state: 'success' } } } })
    expect(call).toHaveBeenCalled()
    expect(store.status('', 'a').state).toBe('success')
  })

  it('has no listeners after they unsubscribe', () => {
    const { transport, store } = opened()
    const stops = [store.subscribe(RUNS, vi.fn()), store.onMessage(vi.fn())]
    expect(store.listeners).toBe(2)
    for (const stop of stops) stop()
    expect(store.listeners).toBe(0)
    store.close()
    expect(transport.receive({ kind: 'notice', level: 'info', text: '' })).toBeUndefined()
  })
})
