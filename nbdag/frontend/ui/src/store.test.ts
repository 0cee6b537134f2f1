import { describe, expect, it, vi } from 'vitest'
import { BEGINNING, Carrier, node, picture } from './fixtures'
import type { RunBrief } from './messages'
import { Store, topic } from './store'

const RUN: RunBrief = { id: 'r1', state: 'running', created: 1, started: 1, ended: null, partial: false, error: '' }

function begun() {
  const carrier = new Carrier()
  return { carrier, store: new Store(carrier, picture([node('a'), node('b')]), structuredClone(BEGINNING)) }
}

describe('the store', () => {
  it('asks at once whether it has missed anything', () => {
    expect(begun().carrier.sent).toEqual([{ kind: 'hello', number: 0 }])
  })

  it('tells only those who look at what moved', () => {
    const { carrier, store } = begun()
    const [a, b, other] = [vi.fn(), vi.fn(), vi.fn()]
    store.on(topic('', 'a'), a)
    store.on(topic('', 'b'), b)
    store.on(topic('r1', 'a'), other)
    carrier.hear({ kind: 'change', number: 1, of: '', tasks: { a: { state: 'running' } }, run: null })
    expect([a.mock.calls.length, b.mock.calls.length, other.mock.calls.length]).toEqual([1, 0, 0])
    expect(store.standing('', 'a').state).toBe('running')
  })

  it('knows a run that begins, whoever began it, and keeps twenty', () => {
    const { carrier, store } = begun()
    for (let n = 1; n <= 25; n += 1) {
      carrier.hear({
        kind: 'change',
        number: n,
        of: `r${n}`,
        tasks: { a: { state: 'queued' } },
        run: { ...RUN, id: `r${n}`, created: n },
      })
    }
    expect(store.newest).toBe('r25')
    expect(store.runs.length).toBe(20)
    expect(store.standing('r1', 'a').state).toBe('none')
    store.need('r25')
    expect(carrier.sent.length).toBe(1)
  })

  it('keeps nothing of runs that are offered no more, however many come, but of one that is looked at', () => {
    const { carrier, store } = begun()
    const stop = store.on(topic('r3', 'a'), vi.fn())
    for (let n = 1; n <= 3000; n += 1) {
      const run = { ...RUN, id: `r${n}`, created: n }
      carrier.hear({ kind: 'change', number: n, of: run.id, tasks: { a: { state: 'running' } }, run })
      carrier.hear({ kind: 'change', number: n, of: run.id, tasks: { a: { state: 'success' } }, run: null })
    }
    const kept = store as unknown as {
      standings: Map<string, unknown>
      known: Set<string>
      heard: Map<string, unknown>
    }
    expect([...kept.standings.keys()].filter((id) => !store.run(id))).toEqual(['', 'r3'])
    expect(kept.known.size).toBeLessThanOrEqual(21)
    expect(store.standing('r3', 'a').state).toBe('success')
    stop()
    expect(kept.heard.size).toBe(0)
  })

  it('asks for a run that it does not know, once', () => {
    const { carrier, store } = begun()
    store.need('old')
    store.need('old')
    expect(carrier.sent.slice(1)).toEqual([{ kind: 'look', run: 'old' }])
  })

  it('draws a chain by the state that matters most', () => {
    const { carrier, store } = begun()
    const say = (a: string, b: string) =>
      carrier.hear({
        kind: 'change',
        number: 1,
        of: '',
        tasks: { a: { state: a, duration: 1 }, b: { state: b, duration: 2 } },
        run: null,
      })
    say('success', 'failed')
    expect(store.together('', ['a', 'b'])).toMatchObject({ state: 'failed', count: 2, ended: 1, duration: 3 })
    say('success', 'skipped')
    expect(store.together('', ['a', 'b']).state).toBe('success')
  })

  it('takes all of it anew when it has missed something', () => {
    const { carrier, store } = begun()
    const call = vi.fn()
    store.on(topic('', 'a'), call)
    carrier.hear({ kind: 'all', all: { ...BEGINNING, number: 9, session: { a: { state: 'success' } } } })
    expect(call).toHaveBeenCalled()
    expect(store.standing('', 'a').state).toBe('success')
  })

  it('forgets who listened', () => {
    const { carrier, store } = begun()
    const stops = [store.on('runs', vi.fn()), store.answers(vi.fn())]
    expect(store.listeners).toBe(2)
    for (const stop of stops) stop()
    expect(store.listeners).toBe(0)
    store.close()
    expect(carrier.hear({ kind: 'notice', level: 'info', text: '' })).toBeUndefined()
  })
})
