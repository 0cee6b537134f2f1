import type { RunDetails } from '../../api'
import type { ShownRun } from './runStore'

export function Compare(_: { details: RunDetails; shown: ShownRun; other: string | undefined }) {
  return null
}
