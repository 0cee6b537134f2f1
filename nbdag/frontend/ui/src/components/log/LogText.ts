// The text of a log as lines. The end of the file is loaded first, then the rest backwards, so that the latest lines of
// a large log are shown at once. While the attempt runs, new bytes arrive at the end.
const NEWLINE = 10

export class LogText {
  lines: string[] = []
  start = 0 // offset in the file of the first byte that was received
  end = 0 // offset in the file after the last byte that was received
  private begin = new Uint8Array(0) // the incomplete line at `start`, with its newline
  private rest = '' // the last line, which has no newline yet
  private decoder = new TextDecoder()

  /** Return whether the log has been received from its beginning, so that its lines have numbers. */
  get complete(): boolean {
    return this.start === 0
  }

  /** Receive the first part, which may begin anywhere in the file. */
  open(bytes: Uint8Array, start: number): void {
    this.start = start
    this.end = start
    this.lines = []
    this.rest = ''
    this.decoder = new TextDecoder()
    const cut = start ? afterNewline(bytes) : 0
    this.begin = bytes.slice(0, cut)
    this.end = start + cut
    this.append(bytes.subarray(cut))
  }

  /** Receive the bytes at `end`. */
  append(bytes: Uint8Array): void {
    this.end += bytes.length
    const text = this.rest + this.decoder.decode(bytes, { stream: true })
    if (!text) return
    const lines = text.split('\n')
    const complete = this.rest ? this.lines.slice(0, -1) : this.lines
    this.rest = lines.at(-1) ?? ''
    if (!this.rest) lines.pop()
    // A new array, because views detect a change by comparing arrays.
    this.lines = complete.concat(shown(lines, text))
  }

  /** Receive the bytes that end at `start`. */
  prepend(bytes: Uint8Array): void {
    this.start -= bytes.length
    const all = new Uint8Array(bytes.length + this.begin.length)
    all.set(bytes)
    all.set(this.begin, bytes.length)
    const cut = this.start ? afterNewline(all) : 0
    this.begin = all.slice(0, cut)
    const text = new TextDecoder().decode(all.subarray(cut))
    if (!text) return
    const lines = text.split('\n')
    if (!lines.at(-1)) lines.pop()
    this.lines = shown(lines, text).concat(this.lines)
  }
}

function afterNewline(bytes: Uint8Array): number {
  const at = bytes.indexOf(NEWLINE)
  return at < 0 ? bytes.length : at + 1
}

/** Return the lines as a terminal shows them: only the last version of a line that was overwritten. */
function shown(lines: string[], text: string): string[] {
  if (!text.includes('\r')) return lines
  return lines.map((line) => {
    const end = line.endsWith('\r') ? line.slice(0, -1) : line
    return end.slice(end.lastIndexOf('\r') + 1)
  })
}
