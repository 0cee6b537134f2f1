// The calendar of a pipeline: a square for each day of a year, coloured by the states of the day's runs. Days in the
// future show planned runs.
import { useEffect, useMemo, useRef } from 'preact/hooks'
import type { CalendarDay, Calendar as Data, ListedRun, Pipeline, RunList } from '../../api'
import { localText, plural, seconds } from '../../components/format'
import { Sign, stateStyle } from '../../components/Sign'
import type { RunState } from '../../messages'
import { path } from '../location'
import { Link, useQuery } from '../router'
import { zoneName } from '../schedule'
import { useShortcuts } from '../shortcuts'
import { Loaded } from '../states'
import { Time } from '../Time'
import { useResource } from '../useResource'

const WEEKS_BACK = 52
const WEEKS_AHEAD = 8
const DAY = 86_400_000 // milliseconds
const STATES: readonly RunState[] = ['failed', 'cancelled', 'running', 'queued', 'success']
const WEEKDAYS = ['Mon', '', 'Wed', '', 'Fri', '', 'Sun']

/** Return a day as the API writes it. Days are counted in UTC here, because they have no time. */
function dayText(at: number): string {
  return new Date(at).toISOString().slice(0, 10)
}

/** Return the weeks between two days, each as seven days from Monday. */
export function weeksOf(first: string, last: string): string[][] {
  const start = Date.parse(first)
  const monday = start - ((new Date(start).getUTCDay() + 6) % 7) * DAY
  const weeks: string[][] = []
  for (let week = monday; week <= Date.parse(last); week += 7 * DAY) {
    weeks.push(Array.from({ length: 7 }, (_, n) => dayText(week + n * DAY)))
  }
  return weeks
}

/** Return the background of a day: a stripe for each state, as wide as its share of the runs. */
export function stripes(runs: Readonly<Record<string, number>>): string {
  const total = Object.values(runs).reduce((sum, count) => sum + count, 0)
  let from = 0
  const stops = STATES.flatMap((state) => {
    const count = runs[state] ?? 0
    if (!count) return []
    const to = from + (count / total) * 100
    const stop = `${stateStyle(state).colour} ${from}% ${to}%`
    from = to
    return [stop]
  })
  return `linear-gradient(to top, ${stops.join(', ')})`
}

/** Return what happened on a day in words. */
function inWords(day: string, entry: CalendarDay | undefined): string {
  const date = localText(new Date(Date.parse(day)), {
    weekday: 'short',
    month: 'short',
    day: 'numeric',
    year: 'numeric',
    timeZone: 'UTC',
  })
  const counts = STATES.filter((state) => entry?.runs[state]).map(
    (state) => `${entry?.runs[state]} ${stateStyle(state).word}`,
  )
  if (entry?.planned) counts.push(`${plural(entry.planned, 'run')} planned`)
  return `${date}: ${counts.join(', ') || 'no runs'}`
}

export function Calendar({ pipeline: { id: dag } }: { pipeline: Pipeline }) {
  const today = dayText(Date.now() - new Date().getTimezoneOffset() * 60_000)
  const first = dayText(Date.parse(today) - WEEKS_BACK * 7 * DAY)
  const last = dayText(Date.parse(today) + WEEKS_AHEAD * 7 * DAY)
  const calendar = useResource<Data>(
    `${path`dags/${dag}/calendar`}?first=${first}&last=${last}`,
    (change) => change.dag === dag && change.kind !== 'task',
  )
  const [chosen, setChosen] = useQuery('day')
  return (
    <Loaded of={calendar}>
      {({ tz, days }) => {
        const entries = new Map(days.map((each) => [each.day, each]))
        return (
          <>
            <Year first={first} last={last} today={today} entries={entries} chosen={chosen} onChoose={setChosen} />
            <p class="pg-legend pg-calendar-legend">
              {STATES.toReversed().map((state) => (
                <span key={state}>
                  <i style={{ background: stateStyle(state).colour }} /> {stateStyle(state).word}
                </span>
              ))}
              <span>
                <i class="pg-planned" /> planned
              </span>
              <span>Days are those of {zoneName(tz)}, by the logical date of the runs.</span>
            </p>
            {chosen ? <RunsOfDay dag={dag} day={chosen} tz={tz} entry={entries.get(chosen)} /> : null}
          </>
        )
      }}
    </Loaded>
  )
}

interface YearProps {
  first: string
  last: string
  today: string
  entries: ReadonlyMap<string, CalendarDay>
  chosen: string
  onChoose: (day: string) => void
}

function Year({ first, last, today, entries, chosen, onChoose }: YearProps) {
  const weeks = useMemo(() => weeksOf(first, last), [first, last])
  const frame = useRef<HTMLDivElement>(null)
  const reached = chosen || today
  useShortcuts('In the calendar', [
    { keys: '← →', label: 'A week earlier or later' },
    { keys: '↑ ↓', label: 'A day earlier or later' },
    { keys: 'Enter', label: 'Show the runs of the day' },
  ])
  useEffect(() => {
    // On a narrow page, the days around today are in view.
    const now = frame.current?.querySelector<HTMLElement>('[aria-current]')
    if (frame.current && now) frame.current.scrollLeft = now.offsetLeft - frame.current.clientWidth * 0.8
  }, [])

  function onKeyDown(event: KeyboardEvent): void {
    const step = { ArrowLeft: -7, ArrowRight: 7, ArrowUp: -1, ArrowDown: 1 }[event.key]
    const from = event.target instanceof HTMLElement ? event.target.dataset.day : undefined
    if (step === undefined || from === undefined) return
    event.preventDefault()
    const next = dayText(Date.parse(from) + step * DAY)
    frame.current?.querySelector<HTMLElement>(`[data-day="${next}"]`)?.focus()
  }

  const month = (day: string) => localText(new Date(Date.parse(day)), { month: 'short', timeZone: 'UTC' })
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: arrow keys move between the days, which are buttons
    <div class="pg-year" ref={frame} onKeyDown={onKeyDown}>
      <div class="pg-week pg-weekdays" aria-hidden="true">
        <span />
        {WEEKDAYS.map((each, n) => (
          <span key={n}>{each}</span>
        ))}
      </div>
      {weeks.map((week, n) => {
        const [monday = ''] = week
        const begins = month(monday) !== month(weeks[n - 1]?.[0] ?? first) || (n === 0 && isWhole(weeks, month))
        return (
          <div class="pg-week" key={monday}>
            <span class="pg-month" aria-hidden="true">
              {begins ? month(monday) : ''}
            </span>
            {week.map((day) => {
              if (day < first || day > last) return <span key={day} />
              const entry = entries.get(day)
              const ran = entry !== undefined && Object.keys(entry.runs).length > 0
              const label = inWords(day, entry)
              return (
                <button
                  type="button"
                  key={day}
                  data-day={day}
                  class={`pg-day${entry?.planned && !ran ? ' pg-planned' : ''}${ran ? ' pg-ran' : ''}`}
                  style={ran && entry ? { background: stripes(entry.runs) } : {}}
                  tabIndex={day === reached ? 0 : -1}
                  aria-label={label}
                  aria-pressed={day === chosen}
                  aria-current={day === today ? 'date' : undefined}
                  title={label}
                  onClick={() => onChoose(day === chosen ? '' : day)}
                />
              )
            })}
          </div>
        )
      })}
    </div>
  )
}

/** Return whether the first month has room for its name before the next begins. */
function isWhole(weeks: string[][], month: (day: string) => string): boolean {
  const name = month(weeks[0]?.[0] ?? '')
  return weeks.slice(0, 3).every(([monday = '']) => month(monday) === name)
}

interface DayProps {
  dag: string
  day: string
  tz: string
  entry: CalendarDay | undefined
}

const SEARCHED = 500 // number of latest runs that are searched for the runs of a day

function RunsOfDay({ dag, day, tz, entry }: DayProps) {
  const count = entry ? Object.values(entry.runs).reduce((sum, each) => sum + each, 0) : 0
  const runs = useResource<RunList>(
    count ? `runs?dag=${encodeURIComponent(dag)}&limit=${SEARCHED}` : undefined,
    (change) => change.dag === dag && change.kind === 'run',
  )
  const dayOf = useMemo(() => {
    const format = new Intl.DateTimeFormat('en-CA', { timeZone: tz, year: 'numeric', month: '2-digit', day: '2-digit' })
    return ({ logical_date }: ListedRun) => format.format(new Date(logical_date * 1000))
  }, [tz])
  return (
    <section class="pg-section" aria-label={`Runs of ${day}`}>
      <h2>{inWords(day, entry)}</h2>
      {count ? (
        <Loaded of={runs} lines={3}>
          {({ items }) => {
            const found = items.filter((each) => dayOf(each) === day)
            return (
              <>
                <table class="pg-table pg-fit">
                  <tbody>
                    {found.map((each) => (
                      <tr key={each.id}>
                        <td>
                          <span class="pg-state">
                            <Sign state={each.state} /> {stateStyle(each.state).word}
                          </span>
                        </td>
                        <td>
                          <Link to={path`/dags/${dag}/runs/${each.id}`}>{each.id}</Link>
                        </td>
                        <td>{each.kind}</td>
                        <td>
                          <Time at={each.started ?? each.created} exact />
                        </td>
                        <td class="pg-number">
                          {each.started !== null && each.ended !== null ? seconds(each.ended - each.started) : ''}
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
                {found.length < count ? (
                  <p class="nbdag-muted">Runs beyond the latest {SEARCHED} are not listed.</p>
                ) : null}
              </>
            )
          }}
        </Loaded>
      ) : null}
    </section>
  )
}
