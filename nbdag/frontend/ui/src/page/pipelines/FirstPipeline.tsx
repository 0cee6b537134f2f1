// Shown instead of an empty list of pipelines: how to make the first pipeline.
const CELLS: readonly (readonly [string, string])[] = [
  ['%load_ext nbdag', 'once, at the top of the notebook'],
  ['%dag sales --schedule "0 6 * * mon-fri" --tz Europe/Paris', 'the name and the schedule'],
  ['%%task extract\norders = read_orders()', 'a tagged cell is a task'],
  ['%%task report\nplot(orders)', 'report follows extract, because it reads orders'],
]

export function FirstPipeline({ onDeploy }: { onDeploy: () => void }) {
  return (
    <div class="pg-empty pg-first">
      <h2>No pipelines yet</h2>
      <p>Tag cells of a notebook as tasks, then deploy it: it is a pipeline.</p>
      <ol>
        <li>
          Tag cells. In JupyterLab, choose <i>Make Cell a Task</i> in a cell’s toolbar; or write:
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
          Let a scheduler start its runs: <code>nbdag up</code> starts one with this page, <code>nbdag scheduler</code>{' '}
          starts one alone.
        </li>
      </ol>
    </div>
  )
}
