// Schedules in words: "weekdays at 06:00, Paris" instead of "0 6 * * mon-fri" in Europe/Paris.
import { useEffect, useReducer } from 'preact/hooks'

const PRESETS: Readonly<Record<string, string>> = {
  '@once': 'once',
  '@continuous': 'without pause',
  '@hourly': '0 * * * *',
  '@daily': '0 0 * * *',
  '@weekly': '0 0 * * 0',
  '@monthly': '0 0 1 * *',
  '@quarterly': '0 0 1 */3 *',
  '@yearly': '0 0 1 1 *',
}

type Describe = (cron: string) => string
let describe: Describe | undefined
let loading: Promise<void> | undefined

/** Load the module that describes cron expressions; it is not part of the first load. */
function load(): Promise<void> {
  loading ??= import('cronstrue').then(({ default: cronstrue }) => {
    describe = (cron) => cronstrue.toString(cron, { use24HourTimeFormat: true, verbose: false })
  })
  return loading
}

/** Return the name of a zone as people say it: Europe/Paris is Paris. */
export function zoneName(tz: string): string {
  return tz.includes('/') && !tz.startsWith('Etc/') ? (tz.split('/').at(-1) ?? tz).replaceAll('_', ' ') : tz
}

/** Return cronstrue's description as a phrase: "At 06:00, Monday through Friday" is "weekdays at 06:00". */
export function phrase(description: string): string {
  // A schedule with a day of the month and a day of the week runs on either; cronstrue writes "and" or a comma.
  const either = description.replace(/(of the month), (?:and on )?(?=\w+day\b)/, '$1 or on ')
  const [time = '', ...days] = either.split(', ')
  const day = days.join(', ').replace(/^only on /, '')
  const lower = (text: string) => text.charAt(0).toLowerCase() + text.slice(1)
  if (!/^At \d\d:\d\d/.test(time)) return lower(either)
  if (!day) return `daily ${lower(time)}`
  if (day === 'Monday through Friday') return `weekdays ${lower(time)}`
  if (/^((Sun|Mon|Tues|Wednes|Thurs|Fri|Satur)day( and |, )?)+$/.test(day)) {
    return day === 'Saturday and Sunday' || day === 'Sunday and Saturday'
      ? `weekends ${lower(time)}`
      : `${day.replaceAll('day', 'days')} ${lower(time)}`
  }
  if (/^on day 1 of the month$/.test(day)) return `first of the month ${lower(time)}`
  return `${lower(day)}, ${lower(time)}`
}

/** Return a schedule in words. Until `describe` is loaded, a cron expression is returned unchanged. */
export function inWords(schedule: string | null, tz: string | null, how: Describe | undefined = describe): string {
  if (schedule === null) return 'on request'
  const text = PRESETS[schedule.toLowerCase()] ?? schedule
  if (!isCron(text)) return text
  if (!how) return text
  try {
    const words = phrase(how(text))
    return /\d\d:\d\d/.test(words) ? `${words}, ${zoneName(tz ?? 'UTC')}` : words
  } catch {
    return text
  }
}

function isCron(text: string): boolean {
  return text.split(' ').length === 5 && /^[\d*]/.test(text)
}

/** Return a schedule in words; redraw when the module that describes cron expressions has been loaded. */
export function useScheduleWords(schedule: string | null, tz: string | null): string {
  const [, redraw] = useReducer((count: number) => count + 1, 0)
  useEffect(() => {
    if (describe || schedule === null) return
    let shown = true
    load().then(
      () => shown && redraw(undefined),
      () => undefined, // the expression itself stays
    )
    return () => {
      shown = false
    }
  }, [schedule])
  return inWords(schedule, tz)
}
