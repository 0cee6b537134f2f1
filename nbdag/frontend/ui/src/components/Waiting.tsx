// The placeholder of a view that waits for an answer.
import { useConnection } from './state/hooks'
import type { Store } from './state/store'

export function Waiting({ store }: { store: Store }) {
  const { open, busy } = useConnection(store)
  return (
    <p class="nbdag-empty" role="status">
      {open
        ? busy
          ? 'Waiting for the kernel: it executes a cell, and answers after it.'
          : 'Loading…'
        : 'Not available without a connection.'}
    </p>
  )
}
