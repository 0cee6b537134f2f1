/** A list of functions to call after each change. */
export class Emitter {
  private readonly calls = new Set<() => void>()

  /** Call `call` at each change. The returned function ends this. */
  on(call: () => void): () => void {
    this.calls.add(call)
    return () => {
      this.calls.delete(call)
    }
  }

  emit(): void {
    for (const call of [...this.calls]) call()
  }
}
