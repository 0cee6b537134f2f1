// Instants and durations. A time is shown in the viewer's zone; pointing at it shows it in UTC as well.
import { useEffect, useState } from 'preact/hooks'
import { dayText, localText, MINUTES, moment, SECONDS, seconds, utc } from '../components/format'
import { everySecond, useNow } from '../components/state/hooks'

/** Return an instant in words: "in 5 min", "3 h ago", "yesterday 06:00", "Mar 3, 06:00". */
export function ago(at: number, now: number): string {
  const distance = at - now
  const size = Math.abs(distance)
  const before = distance <= 0
  const say = (text: string) => (before ? `${text} ago` : `in ${text}`)
  if (size < 5) return before ? 'just now' : 'now'
  if (size < 60) return say(`${Math.round(size)} s`)
  if (size < 3600) return say(`${Math.round(size / 60)} min`)
  const [then, today] = [new Date(at * 1000), new Date(now * 1000)]
  const time = localText(then, MINUTES)
  const days = Math.round((midnight(then) - midnight(today)) / 86_400_000)
  if (days === 0) return size < 6 * 3600 ? say(`${Math.round(size / 3600)} h`) : `today ${time}`
  if (days === -1) return `yesterday ${time}`
  if (days === 1) return `tomorrow ${time}`
  if (days > 1 && days < 7) return `${localText(then, { weekday: 'short' })} ${time}`
  return `${dayText(then, today)}, ${time}`
}

function midnight(date: Date): number {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate(), 12).getTime()
}

const BOTH = {
  weekday: 'short',
  year: 'numeric',
  month: 'short',
  day: 'numeric',
  ...SECONDS,
  timeZoneName: 'short',
} as const

/** Return the local time with its zone, and the time in UTC, on two lines. */
export function bothZones(at: number): string {
  return `${localText(new Date(at * 1000), BOTH)}\n${utc(at)}`
}

/** An instant relative to now, with the exact time on hover. `exact` shows date and time of day instead. */
export function Time({ at, exact = false }: { at: number; exact?: boolean }) {
  const now = useMinute()
  const then = new Date(at * 1000)
  const text = exact ? moment(at, now) : ago(at, now)
  return (
    <time class="pg-time" dateTime={then.toISOString()} title={bothZones(at)}>
      {text}
    </time>
  )
}

/** Return the time; redraw every five seconds. A page may show hundreds of relative times, so not more often. */
function useMinute(): number {
  const [now, setNow] = useState(() => Date.now() / 1000)
  useEffect(() => everySecond((next) => setNow((before) => (next - before >= 4.5 ? next : before))), [])
  return now
}

/** The duration between two instants; it grows while there is no end. */
export function Duration({ from, to }: { from: number | null; to: number | null }) {
  const now = useNow(from !== null && to === null)
  return <>{from === null ? '' : seconds((to ?? now) - from)}</>
}
