// A point in time: in the viewer's time zone, with UTC on hover.
import { moment, utc } from './format'

export function Time({ at }: { at: number }) {
  return (
    <time dateTime={new Date(at * 1000).toISOString()} title={utc(at)}>
      {moment(at)}
    </time>
  )
}
