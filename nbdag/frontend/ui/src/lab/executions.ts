// The executions of a notebook's cells, as this page has seen them. Executions and texts of the cells
// determine which tasks are stale, without a request to the kernel.
import type { Cell } from '@jupyterlab/notebook'
import type { CellExecution } from '../messages'

export class Executions {
  private readonly found = new Map<string, CellExecution>() // key: id of the cell
  private count = 0
  private readonly scheduled = new Map<string, string[]>() // key: id of a cell; value: texts of its queued executions
  private freeSince = 0 // when the kernel ended the previous cell, in milliseconds

  of(cell: string): CellExecution | undefined {
    return this.found.get(cell)
  }

  get size(): number {
    return this.found.size
  }

  /**
   * Record what the kernel reports: executions from before this page was opened, and the tasks of %%dag cells. With
   * `replaces`, the report replaces what this page has seen, except for cells that are still queued.
   */
  restore(executions: Record<string, CellExecution>, replaces = false): void {
    for (const [cell, each] of Object.entries(executions)) {
      this.count = Math.max(this.count, each.order)
      const known = this.found.get(cell)
      if (each.loaded) this.restoreLoaded(cell, each)
      else if (!known || (replaces && !this.scheduled.has(cell))) this.found.set(cell, each)
      else if (each.built && known.source === each.source) this.found.set(cell, { ...known, built: each.built })
    }
  }

  /** Record that the values of a cell were loaded from a run, unless that is recorded already. */
  private restoreLoaded(cell: string, { source, state, duration, reason }: CellExecution): void {
    const known = this.found.get(cell)
    if (known?.reason === reason && known.source === source) return
    const order = ++this.count
    this.found.set(cell, { source, order, changed: order, state, duration, reason })
  }

  /** Forget all executions, because the kernel was restarted. */
  clear(): void {
    this.found.clear()
    this.scheduled.clear()
  }

  /** Record that a cell was queued. */
  begin({ model }: Cell, now: number = performance.now()): void {
    const source = model.sharedModel.getSource()
    if (!this.scheduled.size) this.freeSince = now
    this.scheduled.set(model.id, [...(this.scheduled.get(model.id) ?? []), source])
    this.set(model.id, source, { state: 'running', duration: null, reason: '' })
  }

  /** Record that a cell has ended. */
  end({ model }: Cell, reason: string | undefined, now: number = performance.now()): void {
    const [source, ...later] = this.scheduled.get(model.id) ?? []
    if (source === undefined) return
    if (later.length) this.scheduled.set(model.id, later)
    else this.scheduled.delete(model.id)
    const duration = (now - this.freeSince) / 1000
    this.freeSince = now
    this.set(model.id, source, { state: reason === undefined ? 'success' : 'failed', duration, reason: reason ?? '' })
  }

  private set(cell: string, source: string, result: Pick<CellExecution, 'state' | 'duration' | 'reason'>): void {
    const before = this.found.get(cell)
    const ended = result.state !== 'running'
    const order = ended && before ? before.order : ++this.count
    const changed = before?.source === source ? before.changed : order
    const built = before?.source === source && before.built ? { built: before.built } : {}
    this.found.set(cell, { source, order, changed, ...result, ...built })
  }
}
