// A bar that explains why the connection is not open, and offers a remedy.
import { useState } from 'preact/hooks'
import { useConnection } from './state/hooks'
import type { Store } from './state/store'

export function ConnectionBar({ store }: { store: Store }) {
  const { text, remedy } = useConnection(store)
  const [applying, setApplying] = useState(false)
  const [failure, setFailure] = useState('')
  if (!text) return null
  async function apply(): Promise<void> {
    if (!remedy) return
    setApplying(true)
    setFailure(await remedy.apply().catch(String))
    setApplying(false)
  }
  return (
    <div class="nbdag-notice nbdag-warning" role="alert">
      <span>
        {text} {failure}
      </span>
      {remedy ? (
        <button type="button" title={remedy.title} disabled={applying} onClick={apply}>
          {remedy.label}
        </button>
      ) : null}
    </div>
  )
}
