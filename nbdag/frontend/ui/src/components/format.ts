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

/** Return the local time as text, with the date unless it is today. */
export function moment(at: number, now: number = Date.now() / 1000): string {
  const then = new Date(at * 1000)
  const time = then.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false })
  const same = then.toDateString() === new Date(now * 1000).toDateString()
  return same ? time : `${then.toLocaleDateString([], { month: 'short', day: 'numeric' })} ${time}`
}

/** Return the count with its noun: 1 task, 3 tasks. */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
