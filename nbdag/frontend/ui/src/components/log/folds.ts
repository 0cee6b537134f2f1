// Lines of a log that are folded: what a reader skips on the way to the error.
//
// These are folded: groups (`::group::TITLE` to `::endgroup::`, as in Airflow and GitHub), the frames of a traceback
// that are in installed packages, and repeated lines.
import { plural } from '../format'

export interface Fold {
  first: number // the first line; it stays in view
  end: number // the line after the last line
  label: string // the text that replaces the text of the first line; '' keeps the line's text
  note: string // what is folded: "12 lines"
}

const MIN_REPEATED = 4
const GROUP = /^(?:::group::|##\[group\])(.*)/
const END_OF_GROUP = /^(?:::endgroup::|##\[endgroup\])/
const FRAME = /^\s*File ["']?([^"':,]+)/
const PACKAGES = /[\\/](?:site-packages|dist-packages)[\\/]|[\\/]lib[\\/]python3|^<frozen |\.px[diy]$/

/** Return the folds of these lines, in order; no two overlap. */
export function findFolds(lines: readonly string[]): Fold[] {
  const found: Fold[] = []
  let n = 0
  while (n < lines.length) {
    const fold = groupAt(lines, n) ?? framesAt(lines, n) ?? repeatedAt(lines, n)
    if (fold) found.push(fold)
    n = fold ? fold.end : n + 1
  }
  return found
}

function groupAt(lines: readonly string[], first: number): Fold | undefined {
  const line = lines[first] ?? ''
  if (line[0] !== ':' && line[0] !== '#') return undefined
  const title = GROUP.exec(line)?.[1]
  if (title === undefined) return undefined
  let end = first + 1
  while (end < lines.length && !END_OF_GROUP.test(lines[end] ?? '') && !GROUP.test(lines[end] ?? '')) end++
  const closed = END_OF_GROUP.test(lines[end] ?? '')
  const count = end - first - 1
  return { first, end: closed ? end + 1 : end, label: title.trim() || 'Group', note: plural(count, 'line') }
}

/** Return the fold of consecutive frames of a traceback that are in installed packages. */
function framesAt(lines: readonly string[], first: number): Fold | undefined {
  if (!isPackageFrame(lines[first] ?? '')) return undefined
  let frames = 0
  let end = first
  while (end < lines.length && isPackageFrame(lines[end] ?? '')) {
    frames++
    end++
    while (end < lines.length && belongsToFrame(lines[end] ?? '')) end++
  }
  // IPython writes an empty line between two frames. Empty lines after the last frame are not folded.
  while (end > first + 1 && !(lines[end - 1] ?? '').trim()) end--
  if (end - first < 2) return undefined
  return { first, end, label: '', note: frames === 1 ? '1 frame in a package' : `${frames} frames in packages` }
}

function isPackageFrame(line: string): boolean {
  if (!line.includes('File ')) return false
  const path = FRAME.exec(line)?.[1]
  return path !== undefined && PACKAGES.test(path)
}

function belongsToFrame(line: string): boolean {
  if (!line.trim()) return true
  return !line.includes('File ') && /^(?:\s|-+>)/.test(line)
}

function repeatedAt(lines: readonly string[], first: number): Fold | undefined {
  const line = lines[first]
  if (!line || lines[first + 1] !== line) return undefined
  let end = first + 2
  while (end < lines.length && lines[end] === line) end++
  const count = end - first
  return count < MIN_REPEATED ? undefined : { first, end, label: '', note: `${count} times` }
}
