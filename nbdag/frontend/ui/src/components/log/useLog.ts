// Load a log: its end first, then the rest backwards, then what is written while the attempt runs.
import { useEffect, useReducer, useRef, useState } from 'preact/hooks'
import { LogText } from './LogText'

/** Some bytes of a log. */
export interface LogPart {
  bytes: Uint8Array
  start: number // offset of the first byte in the file
  size: number // size of the file in bytes
}

/** The source of a log. Both functions return undefined if there is no log yet. */
export interface LogSource {
  key: string // identifies the log
  address: string // where the log can be downloaded
  tail(count: number, signal: AbortSignal): Promise<LogPart | undefined>
  read(from: number, count: number, signal: AbortSignal): Promise<LogPart | undefined>
}

const FIRST = 256_000 // bytes that are read before anything is shown
const PART = 4_000_000 // bytes of each later request
const MAX_LOADED = 64_000_000 // bytes that are loaded at most
const POLL = 1000 // milliseconds between two requests for new bytes

export interface LoadedLog {
  lines: readonly string[]
  before: number // number of lines that were added above the lines that were loaded first
  complete: boolean // whether the first line is the first line of the log
  loading: boolean // whether earlier lines are still being loaded
  opened: boolean // whether the log was found
  size: number
  error: Error | undefined
  retry(): void
}

/** Return the log as it is loaded, and as it grows while `live` is true. */
export function useLog(source: LogSource, live: boolean): LoadedLog {
  const [, redraw] = useReducer((count: number) => count + 1, 0)
  const [attempt, setAttempt] = useState(0)
  const text = useRef(new LogText())
  const state = useRef({ before: 0, loading: true, opened: false, size: 0, error: undefined as Error | undefined })
  const isLive = useRef(live)
  const wake = useRef<() => void>(() => {})
  isLive.current = live

  useEffect(() => {
    const control = new AbortController()
    const { signal } = control
    const log = new LogText()
    text.current = log
    state.current = { before: 0, loading: true, opened: false, size: 0, error: undefined }
    const now = state.current

    const open = async (): Promise<boolean> => {
      const part = await source.tail(FIRST, signal)
      if (!part) return false
      log.open(part.bytes, part.start)
      Object.assign(now, { opened: true, size: part.size, before: 0 })
      return true
    }
    const loadEarlier = async (): Promise<void> => {
      while (log.start > 0 && log.end - log.start < MAX_LOADED) {
        const count = Math.min(PART, log.start)
        const part = await source.read(log.start - count, count, signal)
        if (!part || part.bytes.length !== count) return // the file has been replaced
        const lines = log.lines.length
        log.prepend(part.bytes)
        now.before += log.lines.length - lines
        redraw(undefined)
      }
    }
    const readOn = async (): Promise<void> => {
      for (;;) {
        const part = await source.read(log.end, PART, signal)
        if (!part) return
        if (part.size < log.end) {
          await open() // the file has been replaced
          return
        }
        now.size = part.size
        if (part.bytes.length) log.append(part.bytes)
        if (part.bytes.length < PART) return
      }
    }
    const follow = async (): Promise<void> => {
      redraw(undefined)
      for (let last = false; !last; ) {
        last = !isLive.current // after the attempt has ended, the log is read once more
        if (!last) {
          await new Promise<void>((resume) => {
            const timer = setTimeout(resume, POLL)
            wake.current = () => {
              clearTimeout(timer)
              resume()
            }
          })
        }
        if (signal.aborted) return
        const lines = log.lines
        const opened = now.opened
        if (opened) await readOn()
        else await open()
        if (log.lines !== lines || now.opened !== opened) redraw(undefined)
      }
    }
    const run = async (): Promise<void> => {
      const wasLive = isLive.current
      await open()
      redraw(undefined)
      if (now.opened) await loadEarlier()
      now.loading = false
      if (wasLive) await follow()
      else redraw(undefined)
    }
    run().catch((error: Error) => {
      if (signal.aborted) return
      now.loading = false
      now.error = error
      redraw(undefined)
    })
    return () => {
      control.abort()
      wake.current()
    }
  }, [source.key, attempt])

  useEffect(() => {
    if (!live) wake.current()
  }, [live])

  return {
    lines: text.current.lines,
    complete: text.current.complete,
    ...state.current,
    retry: () => setAttempt((count) => count + 1),
  }
}
