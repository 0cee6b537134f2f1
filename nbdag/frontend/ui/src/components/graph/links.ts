// The links between boxes: upstream, downstream, and the critical path.

export interface Link {
  source: string
  target: string
}

export class Links {
  readonly upstream = new Map<string, string[]>()
  readonly downstream = new Map<string, string[]>()

  constructor(links: readonly Link[]) {
    for (const { source, target } of links) {
      push(this.downstream, source, target)
      push(this.upstream, target, source)
    }
  }

  /** Return the box with all boxes upstream and downstream of it. */
  connected(id: string): Set<string> {
    const found = new Set([id])
    for (const neighbours of [this.upstream, this.downstream]) {
      const ahead = [id]
      const seen = new Set(ahead)
      for (let at = ahead.pop(); at !== undefined; at = ahead.pop()) {
        for (const next of neighbours.get(at) ?? []) {
          if (!seen.has(next)) {
            seen.add(next)
            found.add(next)
            ahead.push(next)
          }
        }
      }
    }
    return found
  }

  /** Return the path with the longest total duration. `order` is a run order of the boxes. */
  criticalPath(order: readonly string[], duration: (id: string) => number): string[] {
    const total = new Map<string, number>()
    const from = new Map<string, string>()
    let last: string | undefined
    for (const id of order) {
      let longest = 0
      for (const source of this.upstream.get(id) ?? []) {
        const sum = total.get(source) ?? 0
        if (sum > longest || (sum === longest && !from.has(id) && sum > 0)) {
          longest = sum
          from.set(id, source)
        }
      }
      const sum = longest + duration(id)
      total.set(id, sum)
      if (sum > 0 && (last === undefined || sum > (total.get(last) ?? 0))) last = id
    }
    const path: string[] = []
    for (let at = last; at !== undefined; at = from.get(at)) path.unshift(at)
    return path
  }
}

function push(map: Map<string, string[]>, key: string, value: string): void {
  const found = map.get(key)
  if (found) found.push(value)
  else map.set(key, [value])
}
