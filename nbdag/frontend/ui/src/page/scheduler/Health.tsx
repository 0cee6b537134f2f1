// The checks of this installation. They take a moment, so they run on request.
import { useState } from 'preact/hooks'
import type { Health as Findings, HealthFinding } from '../../api'
import { Loaded } from '../states'
import { useResource } from '../useResource'

const SIGNS: Record<HealthFinding['level'], [sign: string, word: string]> = {
  ok: ['✓', 'in order'],
  note: ['i', 'note'],
  problem: ['✗', 'problem'],
}

export function Health() {
  const [wanted, setWanted] = useState(false)
  const health = useResource<Findings>(wanted ? 'health' : undefined, () => false)
  return (
    <section class="pg-section">
      <div class="pg-section-head">
        <h2>Installation</h2>
        <span class="nbdag-spacer" />
        <button type="button" disabled={health.loading} onClick={() => (wanted ? health.reload() : setWanted(true))}>
          {health.loading && wanted ? 'Checking…' : wanted ? 'Check again' : 'Check'}
        </button>
      </div>
      {wanted ? (
        <Loaded of={health} lines={4}>
          {({ items }) => (
            <ul class="pg-findings">
              {items.map((each) => (
                <li key={each.what} class={`pg-${each.level}`}>
                  <i role="img" aria-label={SIGNS[each.level][1]}>
                    {SIGNS[each.level][0]}
                  </i>
                  <strong>{each.what}</strong>
                  <span>{each.said}</span>
                </li>
              ))}
            </ul>
          )}
        </Loaded>
      ) : (
        <p class="nbdag-muted">
          Folders, kernels, the database and packages, as <code>nbdag doctor</code> checks them.
        </p>
      )}
    </section>
  )
}
