// Text for numbers and times.

/** Return a duration as text: 0.3 s, 12 s, 3 min 5 s, 2 h 4 min. */
export function seconds(duration: number): string {
  if (duration < 9.95) return `${Math.max(0, duration).toFixed(1)} s`
  const whole = Math.round(duration)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`
}

/** Return a size as text: 12 B, 3.4 kB, 120 MB. */
export function bytes(count: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let size = count
  let unit = 0
  while (size >= 999.5 && unit < units.length - 1) {
    size /= 1000
    unit += 1
  }
  return `${unit && size < 9.95 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`
}

const formats = new Map<string, Intl.DateTimeFormat>()
export const MINUTES = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const
export const SECONDS = { ...MINUTES, second: '2-digit' } as const

/** Return a date or a time in the viewer's language. Formatters are cached, because creating one is slow. */
export function localText(at: Date, format: Intl.DateTimeFormatOptions): string {
  const key = JSON.stringify(format)
  const known = formats.get(key) ?? new Intl.DateTimeFormat([], format)
  formats.set(key, known)
  return known.format(at)
}

/** Return the day as text: Nov 29; with the year unless it is the current year. */
export function dayText(then: Date, now: Date): string {
  const year = then.getFullYear() === now.getFullYear() ? {} : ({ year: 'numeric' } as const)
  return localText(then, { month: 'short', day: 'numeric', ...year })
}

/** Return the date and the local time as text, with the year unless it is the current year. */
export function moment(at: number, now: number = Date.now() / 1000): string {
  const then = new Date(at * 1000)
  return `${dayText(then, new Date(now * 1000))}, ${localText(then, SECONDS)}`
}

/** Return the date and the time in UTC as text: 2026-11-29 14:02:05 UTC. */
export function utc(at: number): string {
  return `${new Date(at * 1000).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

/** Return the count with its noun: 1 task, 3 tasks. */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
