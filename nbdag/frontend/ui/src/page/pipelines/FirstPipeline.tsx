// The list without pipelines: how to make the first one.
const CELLS: readonly (readonly [string, string])[] = [
  ['%load_ext nbdag', 'once, at the top of the notebook'],
  ['%dag sales --schedule "0 6 * * mon-fri" --tz Europe/Paris', 'name and schedule'],
  ['%%task extract\norders = read_orders()', 'each tagged cell is a task'],
  ['%%task report\nplot(orders)', 'it follows extract, because it reads orders'],
]

export function FirstPipeline({ onDeploy }: { onDeploy: () => void }) {
  return (
    <div class="pg-empty pg-first">
      <h2>No pipelines yet</h2>
      <p>A notebook becomes a pipeline when some of its cells are tagged as tasks and it is deployed.</p>
      <ol>
        <li>
          Tag cells of a notebook:
          <div class="pg-cells">
            {CELLS.map(([source, why]) => (
              <div key={source}>
                <pre>{source}</pre>
                <span class="nbdag-muted">{why}</span>
              </div>
            ))}
          </div>
        </li>
        <li>
          <button type="button" class="nbdag-primary" onClick={onDeploy}>
            Deploy a notebook…
          </button>{' '}
          or, in a terminal, <code>nbdag deploy sales.ipynb</code>
        </li>
        <li>
          A scheduler starts its runs: <code>nbdag up</code> includes one, <code>nbdag scheduler</code> is one alone.
        </li>
      </ol>
    </div>
  )
}
