import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { INITIAL_STATE, node, picture } from '../components/fixtures'
import { Store } from '../components/state/store'
import type { Message, Request, RunMessage, RunSummary } from '../messages'
import type { Change } from './live'
import { type Connections, RestTransport } from './transport'

const SUMMARY: RunSummary = {
  id: 'r+1',
  state: 'running',
  created: 1,
  started: 1,
  ended: null,
  partial: false,
  error: '',
}

class FakeServer implements Connections {
  asked: string[] = []
  posted: [string, unknown][] = []
  answers: Record<string, unknown> = {}
  change: (change: Change) => void = () => {}

  async get<T>(address: string): Promise<T> {
    this.asked.push(address)
    const found = this.answers[address] ?? { kind: 'none' }
    if (found instanceof Error) throw found
    return found as T
  }

  async post<T>(address: string, body?: unknown): Promise<T> {
    this.posted.push([address, body])
    return {} as T
  }

  onChange(call: (change: Change) => void): () => void {
    this.change = call
    return () => {
      this.change = () => {}
    }
  }
}

let server: FakeServer
let transport: RestTransport
let received: Message[]
beforeEach(() => {
  vi.useFakeTimers()
  server = new FakeServer()
  transport = new RestTransport('churn', 'r+1', server)
  received = []
  transport.listen((message) => received.push(message))
})
afterEach(() => {
  transport.close()
  vi.useRealTimers()
})

const settled = () => vi.advanceTimersByTimeAsync(2000)

describe('a request becomes a call', () => {
  const run = 'r+1'
  const cases: [Request, string][] = [
    [{ kind: 'run', run }, 'dags/churn/runs/r%2B1/tasks'],
    [{ kind: 'task', run, task: 'a' }, 'dags/churn/runs/r%2B1/tasks/a'],
    [{ kind: 'attempt', run, task: 'a', map_index: -1, try_number: 2 }, 'dags/churn/runs/r%2B1/tasks/a/attempts/-1/2'],
    [{ kind: 'value', run, task: 'a', name: 'df' }, 'dags/churn/runs/r%2B1/values/a/df'],
    [{ kind: 'timeline', run }, 'dags/churn/runs/r%2B1/timeline'],
    [{ kind: 'grid' }, 'dags/churn/grid'],
    [{ kind: 'metrics' }, 'dags/churn/metrics'],
    [
      { kind: 'layout', view: 'v', direction: 'TB', collapsed: true, folded: ['g h', 'i'] },
      'dags/churn/runs/r%2B1/graph?direction=TB&collapsed=true&folded=g+h&folded=i',
    ],
  ]
  it.each(cases)('%o', async (request, address) => {
    server.answers[address] = { kind: 'whatever' }
    transport.send(request)
    await settled()
    expect(server.asked).toEqual([address])
    expect(received).toHaveLength(1)
  })

  it('to clear, or to cancel', async () => {
    transport.send({ kind: 'action', action: 'retry', task: 'a', run })
    transport.send({ kind: 'action', action: 'retry_failed', task: '', run })
    transport.send({ kind: 'action', action: 'cancel', task: '', run })
    expect(server.posted).toEqual([
      ['dags/churn/runs/r%2B1/clear', { downstream: true, tasks: ['a'], dry_run: false }],
      ['dags/churn/runs/r%2B1/clear', { only_failed: true, tasks: [], dry_run: false }],
      ['dags/churn/runs/r%2B1/cancel', undefined],
    ])
  })

  it('once, while the answer is awaited', async () => {
    transport.send({ kind: 'timeline', run })
    transport.send({ kind: 'timeline', run })
    expect(server.asked).toHaveLength(1)
    await settled()
    transport.send({ kind: 'timeline', run })
    expect(server.asked).toHaveLength(2)
  })

  it('and its failure a notice', async () => {
    server.answers['dags/churn/runs/r%2B1/tasks/a'] = new Error('unknown task')
    transport.send({ kind: 'task', run, task: 'a' })
    await settled()
    expect(received).toEqual([{ kind: 'notice', level: 'error', text: 'unknown task' }])
  })
})

it('a store over the transport shows each change of its run, and of no other', async () => {
  const address = 'dags/churn/runs/r%2B1/tasks'
  const answer = (state: 'running' | 'success'): RunMessage => ({
    kind: 'run',
    summary: { ...SUMMARY, state },
    tasks: { a: { state } },
  })
  server.answers[address] = answer('running')
  const store = new Store(transport, picture([node('a')]), structuredClone(INITIAL_STATE))
  store.load('r+1')
  await settled()
  expect(store.status('r+1', 'a').state).toBe('running')

  server.answers[address] = answer('success')
  server.change({ kind: 'run', dag: 'churn', run: 'another' })
  server.change({ kind: 'run', dag: 'other', run: 'r+1' })
  await settled()
  expect(server.asked).toHaveLength(1)
  for (let n = 0; n < 10; n++) server.change({ kind: 'task', dag: 'churn', run: 'r+1', task: 'a' })
  await settled()
  expect(server.asked).toHaveLength(2)
  expect(store.status('r+1', 'a').state).toBe('success')
  expect(store.run('r+1')?.state).toBe('success')
  server.change({ kind: 'all' })
  await settled()
  expect(server.asked).toHaveLength(3)
})

it('a change that arrives while the run is read is read afterwards', async () => {
  transport.send({ kind: 'run', run: 'r+1' })
  transport.send({ kind: 'run', run: 'r+1' })
  transport.send({ kind: 'run', run: 'r+1' })
  expect(server.asked).toHaveLength(1)
  await settled()
  expect(server.asked).toHaveLength(2)
})

it('nothing is sent or received after the end', async () => {
  transport.send({ kind: 'timeline', run: 'r+1' })
  transport.close()
  server.change({ kind: 'all' })
  await settled()
  expect(server.asked).toHaveLength(1)
  expect(received).toEqual([])
})
