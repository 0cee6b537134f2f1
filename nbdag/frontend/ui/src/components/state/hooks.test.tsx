import { render } from 'preact'
import { expect, it, vi } from 'vitest'
import { FakeTransport, INITIAL_STATE, node, picture } from '../fixtures'
import { useStatus } from './hooks'
import { Store } from './store'

it('shows a change that arrives after the first drawing and before the subscription', async () => {
  const transport = new FakeTransport()
  const store = new Store(transport, picture([node('a')]), structuredClone(INITIAL_STATE))
  const root = document.createElement('div')
  function State() {
    return <b>{useStatus(store, '', ['a']).state}</b>
  }
  render(<State />, root) // effects, which subscribe, run later
  expect(store.listeners).toBe(0)
  transport.receive({ kind: 'change', number: 1, run: '', tasks: { a: { state: 'success' } }, summary: null })
  await vi.waitFor(() => expect(root.textContent).toBe('success'))
  render(null, root)
})
