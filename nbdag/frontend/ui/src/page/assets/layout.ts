// The layout of the lineage: pipelines and assets in layers, so that data flows from left to right.
export interface Flow {
  source: string
  target: string
}

export interface Placed {
  id: string
  layer: number
  row: number
}

const ROUNDS = 4 // number of passes that move connected nodes closer to each other

/** Return the nodes with their places. In a circle of flows, the flow that closes the circle is ignored. */
export function layered(ids: readonly string[], flows: readonly Flow[]): Placed[] {
  const layer = layersOf(ids, flows)
  const layers: string[][] = []
  for (const id of ids) {
    const at = layer.get(id) ?? 0
    layers[at] ??= []
    layers[at]?.push(id)
  }
  const near = new Map<string, string[]>(ids.map((id) => [id, []]))
  for (const { source, target } of flows) {
    near.get(source)?.push(target)
    near.get(target)?.push(source)
  }
  const row = new Map<string, number>()
  for (const each of layers) for (const [n, id] of (each ?? []).entries()) row.set(id, n)
  for (let round = 0; round < ROUNDS; round++) {
    for (const each of round % 2 ? layers.toReversed() : layers) {
      if (!each) continue
      const wanted = (id: string) => {
        const rows = (near.get(id) ?? []).map((other) => row.get(other) ?? 0)
        return rows.length ? rows.reduce((sum, one) => sum + one, 0) / rows.length : (row.get(id) ?? 0)
      }
      const places = new Map(each.map((id) => [id, wanted(id)]))
      each.sort((a, b) => (places.get(a) ?? 0) - (places.get(b) ?? 0))
      for (const [n, id] of each.entries()) row.set(id, n)
    }
  }
  return ids.map((id) => ({ id, layer: layer.get(id) ?? 0, row: row.get(id) ?? 0 }))
}

/** Return the layer of each node: the length of the longest path to it. A node without incoming flows is in the layer
 * before its first successor, so that its flows do not pass behind other nodes. */
function layersOf(ids: readonly string[], flows: readonly Flow[]): Map<string, number> {
  const before = new Map<string, string[]>(ids.map((id) => [id, []]))
  for (const { source, target } of flows) before.get(target)?.push(source)
  const layer = new Map<string, number>()
  const open = new Set<string>()
  const visit = (id: string): number => {
    const known = layer.get(id)
    if (known !== undefined) return known
    open.add(id)
    let found = 0
    for (const each of before.get(id) ?? []) if (!open.has(each)) found = Math.max(found, visit(each) + 1)
    open.delete(id)
    layer.set(id, found)
    return found
  }
  for (const id of ids) visit(id)
  for (const id of ids) {
    const after = flows
      .filter((flow) => flow.source === id && flow.target !== id)
      .map((flow) => layer.get(flow.target) ?? 1)
    if (!before.get(id)?.length && after.length) layer.set(id, Math.max(0, Math.min(...after) - 1))
  }
  return layer
}
