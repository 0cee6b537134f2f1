// The search in a log of any size: it pauses after each part of the log, so that typing never stalls.
import { useEffect, useState } from 'preact/hooks'
import { plain } from './ansi'

const PART = 40_000 // lines searched without a pause
const TYPING = 120 // milliseconds after the last key before a search begins

/** Return the pattern that a search text stands for: the text itself, or `/pattern/` as a regular expression. */
export function patternOf(query: string): RegExp | undefined {
  if (!query) return undefined
  const written = /^\/(.+)\/$/.exec(query)?.[1]
  if (written !== undefined) {
    try {
      return new RegExp(written, 'gi')
    } catch {
      // Not a complete expression: search for the text.
    }
  }
  return new RegExp(query.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'), 'gi')
}

/** Return the places in a line that match, as [from, to] pairs. */
export function placesIn(text: string, pattern: RegExp): [number, number][] {
  pattern.lastIndex = 0
  const found: [number, number][] = []
  for (const match of text.matchAll(pattern)) {
    if (match[0]) found.push([match.index, match.index + match[0].length])
  }
  return found
}

/** Search until `signal` is aborted. After each part, call `found` with the numbers of all matching lines so far. */
export async function search(
  lines: readonly string[],
  pattern: RegExp,
  found: (matches: number[], done: boolean) => void,
  signal: AbortSignal,
): Promise<void> {
  const matches: number[] = []
  const tests = new RegExp(pattern.source, 'i')
  for (let from = 0; ; from += PART) {
    const end = Math.min(from + PART, lines.length)
    for (let n = from; n < end; n++) if (tests.test(plain(lines[n] ?? ''))) matches.push(n)
    const done = end === lines.length
    found([...matches], done)
    if (done) return
    await new Promise((resume) => setTimeout(resume))
    if (signal.aborted) return
  }
}

interface Found {
  pattern: RegExp | undefined
  matches: readonly number[]
  done: boolean
}

/** Return the numbers of the matching lines found so far; redraw while the search finds more. */
export function useMatches(lines: readonly string[], pattern: RegExp | undefined) {
  const [found, setFound] = useState<Found>({ pattern: undefined, matches: NO_MATCHES, done: true })
  useEffect(() => {
    if (!pattern) return
    const control = new AbortController()
    const begin = () => search(lines, pattern, (matches, done) => setFound({ pattern, matches, done }), control.signal)
    const timer = setTimeout(begin, TYPING)
    return () => {
      clearTimeout(timer)
      control.abort()
    }
  }, [lines, pattern])
  const isCurrent = pattern !== undefined && found.pattern === pattern
  return {
    matches: isCurrent ? found.matches : NO_MATCHES,
    searching: pattern !== undefined && !(isCurrent && found.done),
  }
}

const NO_MATCHES: readonly number[] = []
